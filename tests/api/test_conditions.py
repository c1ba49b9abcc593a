"""Conditions: Ready is computed, and the same state gives the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.conditions import Condition, Status, find, from_dicts, merge, ready, to_dicts
from pointsman.api.reasons import Reason

NOW = datetime(2026, 5, 1, 12, 0, 0, 987654, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def condition(type_: str, status: Status = "True", **changes: object) -> Condition:
    values = {"reason": Reason.Resolved, "observed_generation": 3} | changes
    return Condition(type=type_, status=status, **values)


def test_ready_is_true_when_everything_is() -> None:
    summary = ready([condition("Resolved"), condition("Serving")], generation=3)
    assert (summary.type, summary.status, summary.reason) == ("Ready", "True", Reason.Ready)


def test_ready_is_false_with_the_cause_when_someone_must_act() -> None:
    waiting = condition("Serving", "Unknown", reason=Reason.ModelStarting)
    broken = condition("Resolved", "False", reason=Reason.AliasNotFound, message='set the alias "champion"')
    summary = ready([waiting, broken], generation=3)
    assert (summary.status, summary.reason, summary.message) == ("False", broken.reason, broken.message)


def test_ready_is_unknown_while_something_is_waited_for() -> None:
    waiting = condition("Serving", "Unknown", reason=Reason.ModelStarting)
    assert ready([condition("Resolved"), waiting], generation=3).status == "Unknown"
    assert ready([condition("Resolved"), waiting], generation=3).reason is Reason.ModelStarting


def test_ready_is_never_true_for_a_stale_generation() -> None:
    summary = ready([condition("Serving", observed_generation=2)], generation=3)
    assert (summary.status, summary.observed_generation) == ("Unknown", 3)
    assert '"Serving"' in summary.message


def test_nothing_observed_is_not_ready() -> None:
    assert ready([], generation=1).status == "Unknown"


def test_a_ready_that_was_set_by_hand_does_not_count() -> None:
    assert ready([condition("Ready")], generation=3).status == "Unknown"
    assert ready([condition("Ready"), condition("Serving", "False")], generation=3).status == "False"


def test_what_only_informs_keeps_nothing_from_being_ready() -> None:
    ignored = condition("Honoured", "False", reason=Reason.NotHonouredHere)
    assert ready([condition("Serving"), ignored], generation=3).status == "True"


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = merge([], [condition("Serving", "Unknown")], NOW)
    same = merge(first, [condition("Serving", "Unknown", message="still waiting")], LATER)
    changed = merge(same, [condition("Serving", "True")], LATER)
    assert same[0].last_transition_time == first[0].last_transition_time == NOW.replace(microsecond=0)
    assert same[0].message == "still waiting"
    assert changed[0].last_transition_time == LATER.replace(microsecond=0)


def test_what_is_no_longer_said_is_gone() -> None:
    assert merge([condition("Old")], [condition("New")], NOW)[0].type == "New"
    assert find(merge([condition("Old")], [condition("New")], NOW), "Old") is None


statuses = st.sampled_from(["True", "False", "Unknown"])
sets = st.lists(
    st.builds(condition, st.sampled_from(["Resolved", "Serving", "Bound"]), statuses),
    max_size=3,
    unique_by=lambda each: each.type,
)


@pytest.mark.slow
@given(sets, sets)
def test_the_same_state_gives_the_same_bytes_in_any_order_and_at_any_time(
    old: list[Condition], new: list[Condition]
) -> None:
    once = merge(old, new, NOW)
    again = merge(once, list(reversed(new)), LATER)
    assert json.dumps(to_dicts(once)) == json.dumps(to_dicts(again))


@given(sets)
def test_what_is_written_is_read_back(some: list[Condition]) -> None:
    merged = merge([], some, NOW)
    assert from_dicts(to_dicts(merged)) == merged


def test_a_condition_is_written_as_kubernetes_writes_it() -> None:
    (written,) = to_dicts(merge([], [condition("Serving", message='model "a" answers')], NOW))
    assert written == {
        "type": "Serving",
        "status": "True",
        "reason": "Resolved",
        "message": 'model "a" answers',
        "observedGeneration": 3,
        "lastTransitionTime": "2026-05-01T12:00:00Z",
    }


def test_a_status_that_is_none_is_refused() -> None:
    written = condition("Serving").to_dict() | {"status": "Maybe"}
    with pytest.raises(ValueError, match="Maybe"):
        Condition.from_dict(written)
