"""Verdicts on audited items feed the band's monitor; on alarm the band is demoted, in the same transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from pointsman.decisions import certificate_store
from pointsman.decisions.engine import Submission
from pointsman.labels.importing import Truth
from pointsman.labels.store import import_labels
from pointsman.ledger.verify import verify
from pointsman.library import GraphLibrary
from pointsman.monitoring.store import watched
from pointsman.reviews import queue, verdicts
from pointsman.reviews.verdicts import Said
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
ENOUGH = 3
"""So many wrong items in a row are past all doubt, where 0.1 % was promised"""


@pytest.fixture(scope="module")
def library(audited_library) -> GraphLibrary:
    """The fraud example, all of whose items people see."""
    return audited_library("100%")


@pytest.fixture
def uid(library) -> UUID:
    return library.graph.resolved.graph_uid


@pytest.fixture
def connection(database_url):
    with connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def audited(decide):
    """Approved items that wait for a person as well."""

    def make(count: int) -> list[dict[str, object]]:
        answers = [decide(card_id=f"c{at}", terminal_id=f"t{at}") for at in range(count)]
        assert all(each["outcome"] == "approve" and "AuditSample" in each["reasons"] for each in answers)
        return answers

    return make


def judge(connection, answer, verdict: str) -> None:
    item = UUID(str(answer["decision"]))
    if queue.one(connection, item)["state"] == "open":
        queue.claim(connection, item, "ann", lease=timedelta(minutes=15), now=NOW)
    verdicts.decide(connection, item, Said(verdict=verdict, reason="seen", reviewer="ann"), whole_case=False, now=NOW)


def the_monitor(connection, uid):
    (found,) = watched(connection, uid)
    return found


def test_each_audited_verdict_counts_once(audited, connection, uid) -> None:
    first, second = audited(2)
    judge(connection, first, "legitimate")
    judge(connection, second, "fraud")
    judge(connection, second, "fraud")
    found = the_monitor(connection, uid)
    assert (found.band, found.monitor.labelled, found.monitor.wrong, found.alarmed_at) == ("approve", 2, 1, None)


def test_what_people_saw_for_another_reason_is_no_evidence(to_review, connection, uid) -> None:
    for _ in range(ENOUGH):
        judge(connection, to_review(), "fraud")
    assert watched(connection, uid) == []


def test_an_alarm_demotes_the_band_once_and_the_ledger_holds_it(audited, connection, uid) -> None:
    for each in audited(ENOUGH + 2):
        judge(connection, each, "fraud")
    (demotion,) = certificate_store.demotions(connection, uid)
    assert (demotion.band, demotion.segment, demotion.author) == ("approve", None, "monitor")
    assert f"{ENOUGH} of {ENOUGH} audited items are wrong; at most 0.1000% was promised" == demotion.comment
    found = the_monitor(connection, uid)
    assert (found.monitor.wrong, found.alarmed_at) == (ENOUGH + 2, NOW)
    events = connection.execute("SELECT count(*) FROM certificate_events WHERE change = 'demoted'").fetchone()
    assert events == (1,)
    assert verify(connection).holds


def test_good_items_do_not_alarm(audited, connection, uid) -> None:
    for each in audited(20):
        judge(connection, each, "legitimate")
    assert certificate_store.demotions(connection, uid) == []


def test_a_verdict_that_fails_feeds_nothing(audited, connection, uid, monkeypatch) -> None:
    (answer,) = audited(1)

    def broken(*_: object) -> None:
        raise RuntimeError("the store went away")

    monkeypatch.setattr(verdicts, "_end", broken)
    with pytest.raises(RuntimeError):
        judge(connection, answer, "fraud")
    assert watched(connection, uid) == []
    assert connection.execute("SELECT count(*) FROM labels").fetchone() == (0,)


def test_imports_are_evidence_only_where_it_is_known_how_their_events_were_chosen(audited, connection, uid) -> None:
    answers = audited(2)

    def bring(answer, propensity: float | None) -> None:
        truths = [Truth(event_id=str(answer["id"]), value=True, known_at=NOW)]
        how = {"author": "ann", "source": "", "replace": False, "now": NOW}
        import_labels(connection, uid, truths, propensity=propensity, **how)

    bring(answers[0], None)  # charge-backs: one hears of the true ones alone
    assert watched(connection, uid) == []
    bring(answers[1], 1.0)
    assert the_monitor(connection, uid).monitor.wrong == 1
    judge(connection, answers[0], "legitimate")  # what was brought before outweighs it
    found = the_monitor(connection, uid).monitor
    assert (found.labelled, found.wrong) == (2, 2)


def test_the_api_shows_monitors_and_a_demoted_band_takes_a_certificate_and_a_second_person(
    audited, connection, call
) -> None:
    for each in audited(ENOUGH):
        judge(connection, each, "fraud")
    found = call("GET", "/v1/graphs/card-fraud/monitors").json()
    assert [each["band"] for each in found["demoted"]] == ["approve"]
    (shown,) = found["items"]
    assert shown["evidence"] >= shown["alarmAt"]
    answer = call("POST", "/v1/graphs/card-fraud/bands/approve/rearm", json={"comment": "it is fine"})
    assert answer.status_code == 409
    assert "certify it first" in answer.json()["error"]


def test_what_the_graph_decides_on_is_compared_with_what_it_was(engine, call) -> None:
    def send(count: int, amount: int, **more: object) -> None:
        events = [
            {
                "transaction_id": uuid4().hex,
                "occurred_at": "2026-03-02T10:00:00Z",
                "amount": f"{amount + at % 50}.50",
                "card_id": f"c{at}",
                "terminal_id": f"t{at}",
                "card_account": "a",
            }
            | more
            for at in range(count)
        ]
        engine.process([Submission(events=events, arrived=0.0, synchronous=False)])

    send(400, 10)
    send(200, 10)
    unchanged = call("GET", "/v1/graphs/card-fraud/drift?newest=200").json()
    assert "event.amount" not in [each["name"] for each in unchanged["inputs"] if each["changed"]]
    send(200, 300, tip=1)
    found = call("GET", "/v1/graphs/card-fraud/drift?newest=200").json()
    assert (found["before"], found["now"]) == (600, 200)
    assert "event.amount" in [each["name"] for each in found["inputs"] if each["changed"]]
    assert found["unknownFields"] == {"tip": 200}
    assert found["inDoubt"] == []  # nothing is certified
