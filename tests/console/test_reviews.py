"""Reviews: a case is held by one reviewer, decided once, and its verdict's actions reach the outbox once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pointsman.console.metrics import Verdicts
from pointsman.console.store import Store
from pointsman.console.sweeping import sweep
from pointsman.ledger.verify import verify
from pointsman.reviews import queue, verdicts
from pointsman.reviews.verdicts import Said
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
LEASE = timedelta(minutes=15)


@pytest.fixture
def connection(database_url):
    with connect(database_url) as opened:
        yield opened


@pytest.fixture
def uid(library):
    return library.graph.resolved.graph_uid


def review_of(answer) -> UUID:
    return UUID(str(answer["decision"]))


def test_items_of_one_card_are_one_case_claimed_together(to_review, connection) -> None:
    first, second, other = to_review(), to_review(), to_review(card_id="card-2")
    held = queue.claim(connection, review_of(first), "ann", lease=LEASE, now=NOW)
    assert {each["review_id"] for each in held} == {review_of(first), review_of(second)}
    assert queue.one(connection, review_of(other))["lease_owner"] is None


def test_a_case_that_somebody_holds_is_not_given_to_another_until_the_lease_ends(to_review, connection) -> None:
    item = review_of(to_review())
    queue.claim(connection, item, "ann", lease=LEASE, now=NOW)
    with pytest.raises(queue.Conflict, match='"ann" holds this case'):
        queue.claim(connection, item, "bob", lease=LEASE, now=NOW + LEASE - timedelta(seconds=1))
    queue.claim(connection, item, "bob", lease=LEASE, now=NOW + LEASE)
    with pytest.raises(queue.Conflict, match="claim the item first"):
        verdicts.decide(
            connection, item, Said(verdict="fraud", reason="r", reviewer="ann"), whole_case=True, now=NOW + LEASE
        )


def test_a_new_item_of_a_held_case_is_not_another_reviewers(to_review, connection) -> None:
    queue.claim(connection, review_of(to_review()), "ann", lease=LEASE, now=NOW)
    late = review_of(to_review())
    with pytest.raises(queue.Conflict):
        queue.claim(connection, late, "bob", lease=LEASE, now=NOW)


def test_many_reviewers_who_ask_at_once_never_hold_one_case(to_review, database_url, uid) -> None:
    for card in range(12):
        to_review(card_id=f"card-{card}")
        to_review(card_id=f"card-{card}")

    def work(who: str) -> list[UUID]:
        with connect(database_url) as own:
            got = list[UUID]()
            while items := queue.claim_next(own, uid, who, lease=LEASE, now=NOW):
                got += [each["review_id"] for each in items]
            return got

    with ThreadPoolExecutor(max_workers=6) as threads:
        held = [id_ for ids in threads.map(work, [f"r{n}" for n in range(6)]) for id_ in ids]
    assert len(held) == len(set(held)) == 24


def test_the_highest_priority_comes_first_and_what_is_escalated_before_it(to_review, connection, uid) -> None:
    small, large = to_review(card_id="a", amount="6000.00"), to_review(card_id="b", amount="9000.00")
    (item,) = queue.claim_next(connection, uid, "ann", lease=LEASE, now=NOW)
    assert item["review_id"] == review_of(large)
    queue.release(connection, item["review_id"], "ann")
    connection.execute("UPDATE reviews SET deadline_at = %s WHERE review_id = %s", (NOW, review_of(small)))
    connection.commit()
    assert queue.escalate(connection, uid, NOW) == 1
    assert queue.escalate(connection, uid, NOW) == 0
    (item,) = queue.claim_next(connection, uid, "ann", lease=LEASE, now=NOW)
    assert item["review_id"] == review_of(small)


def test_a_verdicts_action_reaches_the_outbox_once_however_often_it_is_said(to_review, connection) -> None:
    item, said = review_of(to_review()), Said(verdict="fraud", reason="the holder says so", reviewer="ann")
    queue.claim(connection, item, "ann", lease=LEASE, now=NOW)
    for _ in range(2):
        (done,) = verdicts.decide(connection, item, said, whole_case=True, now=NOW)
        assert (done["state"], done["verdict"], done["reviewer"]) == ("decided", "fraud", "ann")
    rows = connection.execute("SELECT target, operation, parameters FROM outbox").fetchall()
    assert rows == [("accounts", "freeze", {"account": "account-1"})]
    connection.commit()
    assert verify(connection).holds


def test_another_verdict_afterwards_is_a_conflict(to_review, connection) -> None:
    item = review_of(to_review())
    queue.claim(connection, item, "ann", lease=LEASE, now=NOW)
    verdicts.decide(connection, item, Said(verdict="legitimate", reason="r", reviewer="ann"), whole_case=True, now=NOW)
    with pytest.raises(queue.Conflict, match="has ended: legitimate by ann"):
        verdicts.decide(connection, item, Said(verdict="fraud", reason="r", reviewer="ann"), whole_case=True, now=NOW)
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_a_verdict_that_the_graph_does_not_declare_changes_nothing(to_review, connection) -> None:
    item = review_of(to_review())
    queue.claim(connection, item, "ann", lease=LEASE, now=NOW)
    with pytest.raises(verdicts.Refused, match="fraud, legitimate"):
        verdicts.decide(connection, item, Said(verdict="maybe", reason="r", reviewer="ann"), whole_case=True, now=NOW)
    assert queue.one(connection, item)["state"] == "open"


def test_overdue_items_expire_where_the_graph_says_so(to_review, connection, uid) -> None:
    item = review_of(to_review())
    assert verdicts.expire(connection, uid, NOW) == 0
    assert verdicts.expire(connection, uid, NOW + timedelta(days=2)) == 1
    ended = queue.one(connection, item)
    assert (ended["state"], ended["verdict"], ended["reviewer"]) == ("expired", None, "pointsman")
    assert verify(connection).holds


@pytest.mark.parametrize(
    ("says", "state", "became"), [("Escalate", "open", "escalated"), ("Expire", "expired", "expired")]
)
def test_the_sweep_does_what_the_graph_says_and_counts_it_once(
    to_review, connection, database_url, says, state, became
) -> None:
    item = review_of(to_review())
    connection.execute("UPDATE reviews SET deadline_at = now() - interval '1 second'")
    connection.execute(
        "UPDATE objects SET document = jsonb_set(document, '{spec,review,onDeadline}', to_jsonb(%s::text))", (says,)
    )
    connection.commit()
    store, counted = Store(database_url), Verdicts()
    store.open()
    for _ in range(2):
        sweep(store, counted)
    store.close()
    ended = queue.one(connection, item)
    assert (ended["state"], ended["escalated_at"] is not None) == (state, says == "Escalate")
    labels = {"graph": "card-fraud", "became": became}
    assert counted.registry.get_sample_value("pointsman_reviews_past_deadline_total", labels) == 1


def test_over_the_api_a_reviewer_works_a_case_to_its_end(to_review, call, graph) -> None:
    item = str(review_of(to_review()))
    (listed,) = call("GET", f"/v1/reviews?graph={graph}").json()["items"]
    assert (listed["review_id"], listed["reasons"]) == (item, ["AmountOverLimit"])
    assert call("POST", "/v1/reviews/claim", json={"graph": graph}).json()["items"][0]["lease_owner"] == "ann"
    assert call("POST", f"/v1/reviews/{item}/claim", by="bob", json={}).status_code == 409
    refused = call("POST", f"/v1/reviews/{item}/verdict", json={"verdict": "fraud"})
    assert (refused.status_code, refused.json()["error"]) == (422, "body.reason: Field required")
    done = call("POST", f"/v1/reviews/{item}/verdict", json={"verdict": "fraud", "reason": "phoned"})
    assert done.json()["items"][0]["state"] == "decided"
    shown = call("GET", f"/v1/reviews/{item}").json()
    assert shown["behind"]["actions"][0]["name"] == "freeze"
    assert call("GET", f"/v1/reviews?graph={graph}").json()["items"] == []


def test_pages_of_reviews_hold_every_item_once(to_review, call, graph) -> None:
    sent = {str(review_of(to_review(card_id=f"c{n}", amount=f"{6000 + n % 3}.00"))) for n in range(7)}
    got, after = list[str](), ""
    while True:
        page = call("GET", f"/v1/reviews?graph={graph}&limit=3{after}").json()
        got += [each["review_id"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&cursor={page['next']}"
    assert len(got) == 7
    assert set(got) == sent


def test_a_console_finds_items_by_band_reason_and_holder_and_counts_them(to_review, decide, call, graph) -> None:
    mine, other = str(review_of(to_review(card_id="a"))), str(review_of(to_review(card_id="b")))
    call("POST", f"/v1/reviews/{mine[:8]}/claim", json={})

    def found(**query: object) -> set[str]:
        answer = call("GET", "/v1/reviews", params={"graph": graph, **query})
        return {each["review_id"] for each in answer.json()["items"]}

    band = call("GET", f"/v1/reviews/{mine}").json()["behind"]["decision"]["band"]
    assert found() == found(band=band) == found(reason="AmountOverLimit") == {mine, other}
    assert found(mine=True) == {mine}
    assert found(band="review") == found(reason="ReviewBand") == set()
    counted = call("GET", f"/v1/graphs/{graph}/reviews").json()
    assert (counted["open"], counted["held"], counted["mine"], counted["escalated"]) == (2, 1, 1, 0)
    assert counted["byBand"] == [{"band": band, "items": 2}]
    assert counted["byReason"] == [{"reason": "AmountOverLimit", "items": 2}]
    assert sum(each["items"] for each in counted["byAge"]) == 2
    assert counted["atStake"] == 18000
    assert call("GET", f"/v1/graphs/{graph}/reviews", by="bob").json()["mine"] == 0
    assert call("GET", f"/v1/reviews/{'0' * 8}").status_code == 404
