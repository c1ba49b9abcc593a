"""A status is written when it says something else than before, and only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.conditions import Condition, Status
from pointsman.api.reasons import Reason
from pointsman.planning import Told, judge, set_aside, written

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def serving(status: Status) -> Condition:
    return Condition(type="Serving", status=status, reason=Reason.ModelServing, message="m")


def told(status: Status = "True", **fields: object) -> Told:
    return Told(conditions=judge((lambda _: serving(status),), None, generation=2), fields=fields)


def as_bytes(status: dict[str, object]) -> bytes:
    return orjson.dumps(status, option=orjson.OPT_SORT_KEYS)


@given(
    st.sampled_from(["True", "False", "Unknown"]), st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.none())
)
def test_the_same_is_written_with_the_same_bytes_however_much_later(status: Status, fields: dict[str, object]) -> None:
    same = Told(conditions=told(status).conditions, fields=fields)
    first = written(same, {}, generation=2, now=NOW)
    again = written(same, first, generation=2, now=LATER)
    assert as_bytes(again) == as_bytes(first)
    assert again == orjson.loads(as_bytes(first)), "what comes back from the database compares equal"


def test_a_condition_that_changed_is_dated_anew_and_one_that_was_reworded_keeps_its_time() -> None:
    first = written(told("True"), {}, generation=2, now=NOW)
    after = written(told("False"), first, generation=2, now=LATER)
    assert {each["type"]: each["lastTransitionTime"] for each in after["conditions"]} == {
        "Ready": "2026-11-03T13:00:00Z",
        "Serving": "2026-11-03T13:00:00Z",
    }
    message = replace(serving("True"), message="another")
    reworded = Told(conditions=judge((lambda _: message,), None, generation=2), fields={})
    kept = written(reworded, first, generation=2, now=LATER)["conditions"]
    assert {each["lastTransitionTime"] for each in kept} == {"2026-11-03T12:00:00Z"}


def test_fields_without_a_value_are_left_out() -> None:
    status = written(told(version=None, digest="d", replicas=0), {}, generation=2, now=NOW)
    assert {name for name in status if name != "conditions"} == {"observedGeneration", "digest", "replicas"}


def test_a_status_of_an_unknown_release_is_written_anew() -> None:
    before = {"conditions": [{"type": "Ready", "status": "True", "reason": "NoSuchReason"}]}
    assert written(told(), before, generation=2, now=NOW) == written(told(), {}, generation=2, now=NOW)


def test_facts_that_do_not_apply_say_nothing() -> None:
    conditions = judge((lambda _: None, lambda _: serving("True")), None, generation=2)
    assert [each.type for each in conditions] == ["Serving", "Ready"]


def test_what_is_set_aside_is_listed_with_what_it_means() -> None:
    assert set_aside({}).status == "True"
    found = set_aside({"spec.route": "loopback alone", "spec.slo": "no budget"})
    assert (found.status, found.message) == ("False", "set aside here: spec.route: loopback alone; spec.slo: no budget")
