"""Labels: from verdicts and from imports, stored once, counted, and given out for retraining."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pointsman.governance.access import Role
from pointsman.labels.counts import counted
from pointsman.labels.importing import Truth
from pointsman.labels.read import known_labels, known_numbers
from pointsman.labels.store import import_labels
from pointsman.ledger.verify import verify
from pointsman.reviews import queue, verdicts
from pointsman.reviews.verdicts import Said
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
LABELS = "/v1/graphs/card-fraud/labels"
NOW = datetime.now(UTC)


@pytest.fixture
def connection(database_url):
    with connect(database_url) as opened:
        yield opened


def judged(connection, answer, verdict: str, now: datetime = NOW) -> None:
    item = UUID(str(answer["decision"]))
    queue.claim(connection, item, "ann", lease=timedelta(minutes=15), now=now)
    verdicts.decide(connection, item, Said(verdict=verdict, reason="seen", reviewer="ann"), whole_case=True, now=now)


def stored(connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT event_id, value, source, propensity, author FROM labels ORDER BY seq").fetchall()


def test_the_verdict_that_is_named_as_the_label_says_true_and_any_other_false(to_review, connection) -> None:
    first, second = to_review(card_id="a"), to_review(card_id="b")
    judged(connection, first, "fraud")
    judged(connection, second, "legitimate")
    assert stored(connection) == [
        (first["id"], True, "Verdict", 1.0, "ann"),
        (second["id"], False, "Verdict", 1.0, "ann"),
    ]


def test_an_item_that_nobody_decides_in_time_gets_no_label(to_review, connection, library) -> None:
    to_review()
    assert verdicts.expire(connection, library.graph.resolved.graph_uid, NOW + timedelta(days=2)) == 1
    assert stored(connection) == []


def test_ground_truth_is_imported_once_and_what_does_not_fit_is_named(decide, call, connection) -> None:
    known = [decide(card_id=f"c{at}")["id"] for at in range(3)]
    body = {
        "labels": [
            {"event": known[0], "label": True, "knownAt": "2026-04-01T00:00:00Z"},
            {"event": known[1], "label": False},
            {"event": "never-seen", "label": True},
        ],
        "source": "chargebacks.csv",
    }
    done = call("POST", LABELS, json=body).json()
    assert (done["new"], done["repeated"], done["unknown"]) == (2, 0, ["never-seen"])
    again = call("POST", LABELS, json=body).json()
    assert (again["new"], again["repeated"], again["batch"]) == (0, 2, None)
    other = {"labels": [{"event": known[0], "label": False}]}
    assert call("POST", LABELS, json=other).json()["conflicts"] == [{"event": known[0], "label": False, "before": True}]
    assert call("POST", LABELS, json=other | {"replace": True}).json()["new"] == 1
    assert [row[:3] for row in stored(connection)] == [
        (known[0], True, "Import"),
        (known[1], False, "Import"),
        (known[0], False, "Import"),
    ]
    connection.commit()
    assert verify(connection).holds
    kinds = connection.execute("SELECT count(*) FROM ledger WHERE kind = 'labels'").fetchone()
    assert kinds == (2,)


def test_a_batch_that_was_changed_afterwards_is_found_by_the_ledger(decide, call, owner_url) -> None:
    call("POST", LABELS, json={"labels": [{"event": decide()["id"], "label": True}]})
    with connect(owner_url) as owner:
        owner.execute("UPDATE label_batches SET body = body || ' '::bytea")
        owner.commit()
        (problem,) = verify(owner).problems
    assert "labels's stored body" in problem


def test_counts_know_silence_and_what_still_waits(decide, to_review, call, connection) -> None:
    long_ago, today = "2025-01-01T10:00:00Z", datetime.now(UTC).isoformat()
    silent = decide(occurred_at=long_ago, card_id="a", terminal_id="a")
    assert silent["outcome"] == "approve"
    decide(occurred_at=today, card_id="b", terminal_id="b")
    judged(connection, to_review(occurred_at=today, card_id="c", terminal_id="c"), "fraud")
    found = call("GET", f"{LABELS}/counts").json()
    assert (found["decisions"], found["labelled"], found["waiting"]) == (3, 2, 1)
    by_source = {each["source"]: (each["true"], each["false"]) for each in found["items"]}
    assert by_source == {"Silence": (0, 1), "Verdict": (1, 0)}


def test_what_is_counted_in_the_store_is_what_is_counted_one_by_one(
    decide, to_review, call, connection, library
) -> None:
    spec, uid = library.graph.resolved.graph.spec, library.graph.resolved.graph_uid
    times = ("2025-01-01T10:00:00Z", datetime.now(UTC).isoformat())
    events = [decide(occurred_at=times[at % 2], card_id=f"c{at}", terminal_id=f"t{at}")["id"] for at in range(8)]
    said = [{"labels": [{"event": event, "label": at % 3 == 0}]} for at, event in enumerate(events[2:])]
    for at, body in enumerate(said):
        call("POST", LABELS, json=body | ({"propensity": 0.5} if at % 2 else {}))
    call("POST", LABELS, json={"labels": [{"event": events[2], "label": False}], "replace": True})
    for at in range(2):
        judged(
            connection, to_review(occurred_at=times[1], card_id=f"r{at}", terminal_id="r"), ("fraud", "legitimate")[at]
        )
    one_by_one = counted(*known_labels(connection, uid, spec, NOW + timedelta(minutes=1)))
    together = counted(*known_numbers(connection, uid, spec, NOW + timedelta(minutes=1)))
    assert together == one_by_one
    assert {each["source"] for each in together["items"]} == {"Silence", "Import", "Verdict"}
    assert together["setAside"] > 0


def test_the_retraining_set_has_features_as_they_were_recorded_and_no_personal_field(
    to_review, call, connection
) -> None:
    answer = to_review()
    judged(connection, answer, "fraud")
    (row,) = call("GET", f"{LABELS}/set").json()["items"]
    assert (row["id"], row["label"], row["weight"], row["source"]) == (answer["id"], True, 1.0, "Verdict")
    assert row["score"] == answer["score"]
    assert row["features"]["event.amount"] == "9000.00"
    assert "card.count_24h" in row["features"]
    assert "event.card_account" not in row["features"]  # the contract says that it is personal


def test_pages_hold_each_label_once(decide, call) -> None:
    events = [decide(card_id=f"c{at}")["id"] for at in range(5)]
    call("POST", LABELS, json={"labels": [{"event": each, "label": False} for each in events], "propensity": 1})
    listed, query = [], ""
    while query is not None:
        page = call("GET", f"{LABELS}?limit=2{query}").json()
        listed += [each["id"] for each in page["items"]]
        query = f"&cursor={page['next']}" if page["next"] else None
    assert listed == events[::-1]
    exported, query = [], ""
    while query is not None:
        page = call("GET", f"{LABELS}/set?limit=2{query}").json()
        exported += [each["id"] for each in page["items"]]
        query = f"&cursor={page['next']}" if page["next"] else None
    assert exported == events


def test_only_who_operates_imports_and_exports(decide, call) -> None:
    body = {"labels": [{"event": decide()["id"], "label": True}]}
    for role, status in ((Role.VIEWER, 403), (Role.REVIEWER, 403), (Role.OPERATOR, 200)):
        assert call("POST", LABELS, role=role, by=role, json=body).status_code == status
        assert call("GET", f"{LABELS}/set", role=role, by=role).status_code == status
        assert call("GET", LABELS, role=role, by=role).status_code == 200


def test_two_imports_at_once_write_each_label_once(decide, database_url, library) -> None:
    from concurrent.futures import ThreadPoolExecutor

    events = [decide(card_id=f"c{at}")["id"] for at in range(20)]
    truths = [Truth(event_id=str(each), value=True, known_at=NOW) for each in events]

    def once(_: int) -> int:
        with connect(database_url) as own:
            done = import_labels(
                own,
                library.graph.resolved.graph_uid,
                truths,
                author="ann",
                source="",
                propensity=None,
                replace=False,
                now=NOW,
            )
            return done.new

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(once, range(4))) == 20
