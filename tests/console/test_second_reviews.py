"""Second opinions are blind and have no effect; golden items look like any other; a person is one whatever keys they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest

from pointsman.governance import keys
from pointsman.governance.access import Role
from pointsman.ledger.verify import verify
from pointsman.reviews import queue, second, verdicts
from pointsman.reviews.measures import measures
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


@pytest.fixture
def all_twice(library, database_url, owner_url, graph):
    """The graph asks for a second opinion on every item."""
    with connect(owner_url) as opened:
        opened.execute("UPDATE revisions SET body = jsonb_set(body, '{graph,spec,review,secondShare}', '\"100%\"')")
        opened.commit()


def decided(connection, item: UUID, who: str, verdict: str = "fraud", *, after: float = 60) -> queue.Item:
    queue.claim(connection, item, who, lease=LEASE, now=NOW)
    (done,) = verdicts.decide(
        connection, item, Said(verdict=verdict, reason="r", reviewer=who), whole_case=True,
        now=NOW + timedelta(seconds=after),
    )  # fmt: skip
    return done


def only_open(connection, uid) -> queue.Item:
    wanted = queue.Wanted(graph_uid=uid, state="open", case=None, after=None, limit=10)
    (found,) = queue.listed(connection, wanted)
    return found


def test_a_second_opinion_is_another_persons_and_changes_nothing_outside(all_twice, to_review, connection, uid) -> None:
    decided(connection, UUID(str(to_review()["decision"])), "ann")
    again = only_open(connection, uid)
    with pytest.raises(queue.Conflict, match="you have decided its decision already"):
        queue.claim(connection, again["review_id"], "ann", lease=LEASE, now=NOW)
    assert queue.claim_next(connection, uid, "ann", lease=LEASE, now=NOW) == []
    decided(connection, again["review_id"], "bob", "legitimate", after=20)
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    assert connection.execute("SELECT value FROM labels").fetchall() == [(True,)]
    assert connection.execute("SELECT count(*) FROM reviews WHERE state = 'open'").fetchone() == (0,)
    found = measures(second.given(connection, uid, NOW))
    (pair,) = found.pairs
    assert (pair.reviewers, pair.items, pair.agreed) == (("ann", "bob"), 1, 0)
    assert [(each.reviewer, each.p50_seconds) for each in found.reviewers] == [("ann", 60), ("bob", 20)]
    connection.commit()
    assert verify(connection).holds


def test_who_gives_the_second_opinion_does_not_see_the_first(all_twice, to_review, call, connection, uid) -> None:
    item = str(to_review()["decision"])
    call("POST", f"/v1/reviews/{item}/claim", json={})
    given = call("POST", f"/v1/reviews/{item}/verdict", json={"verdict": "fraud", "reason": "phoned"}).json()["items"]
    assert given[0]["verdict"] == "fraud"
    again = str(only_open(connection, uid)["review_id"])
    connection.commit()
    for place in (item, again):
        shown = call("GET", f"/v1/reviews/{place}", by="bob", role=Role.REVIEWER).json()
        assert (shown["verdict"], shown["verdict_reason"], shown["reviewer"]) == (None, None, None)
        assert shown["behind"]["actions"] == []
        assert "purpose" not in shown
    told = call("GET", f"/v1/decisions/{item}", by="bob", role=Role.REVIEWER).json()
    assert (told["actions"], told["review"]) == ([], None)
    assert call("GET", f"/v1/decisions/{item}", by="vic", role=Role.VIEWER).json()["actions"] != []
    refused = call("POST", f"/v1/reviews/{item}/verdict", by="bob", json={"verdict": "fraud", "reason": "r"})
    assert (refused.status_code, "fraud" in refused.text) == (409, False)
    call("POST", f"/v1/reviews/{again}/claim", by="bob", json={})
    call("POST", f"/v1/reviews/{again}/verdict", by="bob", json={"verdict": "fraud", "reason": "r"})
    assert call("GET", f"/v1/reviews/{item}", by="bob").json()["verdict"] == "fraud"


def test_a_share_of_decisions_is_drawn_by_their_ids() -> None:
    ids = [UUID(int=at * 2**64 + 7) for at in range(4000)]
    drawn = [second.is_drawn(each, 0.05) for each in ids]
    assert drawn == [second.is_drawn(each, 0.05) for each in ids]
    assert 150 < sum(drawn) < 250
    assert all(second.is_drawn(each, 1.0) for each in ids)
    assert not any(second.is_drawn(each, 0.0) for each in ids)


def test_a_golden_item_is_worked_like_any_other_and_counted(decide, call, connection, uid, graph) -> None:
    decision = str(decide()["decision"])
    planted = call("POST", "/v1/reviews/golden", json={"decision": decision, "verdict": "legitimate"}).json()["review"]
    assert call("POST", f"/v1/reviews/{planted}/claim", json={}).status_code == 409, "its author knows the answer"
    (held,) = call("POST", "/v1/reviews/claim", by="bob", json={"graph": graph}).json()["items"]
    assert held["review_id"] == planted
    call("POST", f"/v1/reviews/{planted}/verdict", by="bob", json={"verdict": "fraud", "reason": "r"})
    told = call("GET", f"/v1/graphs/{graph}/reviewers").json()
    assert [(each["golden"], each["golden_right"]) for each in told["reviewers"]] == [(1, 0)]
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    refused = call("POST", "/v1/reviews/golden", json={"decision": decision, "verdict": "maybe"})
    assert (refused.status_code, refused.json()["error"]) == (
        422, 'verdict: "maybe" is not declared by the graph; it has fraud, legitimate',
    )  # fmt: skip


def test_a_person_with_two_keys_is_one_reviewer(all_twice, to_review, address, key_of, connection, uid) -> None:
    item = str(to_review()["decision"])
    texts = [key_of(Role.REVIEWER, name, subject="ann") for name in ("ann-desk", "ann-phone")]
    with httpx2.Client(base_url=address, trust_env=False) as client:

        def ask(text: str, method: str, path: str, **more):
            while (answer := client.request(method, path, headers={"authorization": f"Bearer {text}"}, **more)) and (
                answer.status_code == 401
            ):
                pass
            return answer

        assert ask(texts[0], "POST", f"/v1/reviews/{item}/claim", json={}).status_code == 200
        given = ask(texts[1], "POST", f"/v1/reviews/{item}/verdict", json={"verdict": "fraud", "reason": "r"})
        assert given.json()["items"][0]["reviewer"] == "ann"
        again = only_open(connection, uid)["review_id"]
        connection.commit()
        assert ask(texts[1], "POST", f"/v1/reviews/{again}/claim", json={}).status_code == 409


def test_a_rotated_key_and_its_successor_are_valid_side_by_side_and_no_third(connection) -> None:
    first, _ = keys.make(
        connection, "ann", Role.REVIEWER, expires_at=NOW + timedelta(days=90), now=NOW, subject="ann@bank"
    )
    later = NOW + timedelta(days=80)
    made, _, (old,) = keys.rotate(connection, "ann", overlap=timedelta(days=1), now=later)
    assert (made.name, made.subject, made.role) == ("ann", "ann@bank", Role.REVIEWER)
    assert made.expires_at == later + timedelta(days=90)
    assert (old.key_id, old.expires_at) == (first.key_id, later + timedelta(days=1))
    assert all(each.is_valid(later + timedelta(hours=23)) for each in (old, made))
    _, _, ended = keys.rotate(connection, "ann", overlap=timedelta(days=1), now=later + timedelta(hours=1))
    soon = later + timedelta(hours=2)
    assert [each.is_valid(soon) for each in keys.all_keys(connection).values()] == [False, True, True]
    assert len(ended) == 2
    with pytest.raises(keys.NoSuchKey):
        keys.rotate(connection, "bob", overlap=timedelta(0), now=NOW)
