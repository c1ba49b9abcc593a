"""A verdict's action that needs approval waits for others than who asked for it, and is sent only as they saw it."""

from __future__ import annotations

import pytest

from pointsman.actions import outbox
from pointsman.actions.batches import Batches
from pointsman.actions.gate import Breaker
from pointsman.api.action_target import ActionTarget
from pointsman.governance.access import Role
from pointsman.governance.masking import MASK
from pointsman.ledger.verify import verify
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
SAID = {"verdict": "fraud", "reason": "phoned"}


@pytest.fixture
def all_approved(graph, owner_url, library) -> ActionTarget:
    """The graph's target wants two others to approve everything."""
    with connect(owner_url) as opened:
        opened.execute(
            "UPDATE revisions SET body = jsonb_set(body, '{targets,0,spec,approval}', '{\"type\": \"Always\"}')"
        )
        opened.commit()
    (target,) = library.graph.resolved.targets
    document = target.document()
    document["spec"]["approval"] = {"type": "Always"}
    return ActionTarget.model_validate(document)


@pytest.fixture
def proposed(all_approved, decide, call, graph) -> dict[str, object]:
    """A freeze that ann, a reviewer, has asked for."""
    item = str(decide(amount="9000.00")["decision"])
    call("POST", f"/v1/reviews/{item}/claim", role=Role.REVIEWER, json={})
    assert call("POST", f"/v1/reviews/{item}/verdict", role=Role.REVIEWER, json=SAID).status_code == 200
    (found,) = call("GET", f"/v1/approvals?graph={graph}").json()["items"]
    return found


def test_two_others_approve_it_by_what_they_saw_and_then_it_is_sent(
    proposed, all_approved, call, key_of, database_url, graph
) -> None:
    path, yes = f"/v1/approvals/{proposed['action_id']}", {"approve": True, "reason": "r", "digest": proposed["digest"]}
    assert (proposed["name"], proposed["proposer"], proposed["people"], proposed["said"]) == ("freeze", "ann", 2, [])
    assert call("POST", path, by="rob", role=Role.REVIEWER, json=yes).status_code == 403
    own = call("POST", path, by="ann", role=Role.OPERATOR, json=yes)
    assert (own.status_code, "you have asked for it" in own.text) == (409, True), (
        "another key makes nobody another person"
    )
    other = call("POST", path, by="bob", role=Role.OPERATOR, json={**yes, "digest": "0" * 64})
    assert (other.status_code, "look at it again" in other.text) == (409, True)
    with connect(database_url) as connection, connection.cursor() as cursor:
        batches = Batches(all_approved, owner="d", size=10, lease_seconds=60)

        def begun() -> list[str]:
            claimed = batches.claim(cursor, 0, Breaker(), None)
            found = batches.begin(cursor, 0, claimed)
            assert found is not None
            connection.commit()
            return [str(claim.action_id) for claim, _, _ in found.work]

        for by, state in (("bob", "checked"), ("cid", "approved")):
            assert begun() == []
            for _ in range(2):
                shown = call("POST", path, by=by, role=Role.OPERATOR, json=yes).json()
                assert (shown["state"], shown["parameters"]) == (state, {"account": MASK})
        assert begun() == [proposed["action_id"]]
        told = call("GET", f"/v1/decisions/{proposed['decision_id']}").json()["actions"][0]
        assert [each["approver"] for each in told["approvals"]] == ["bob", "cid"]
        assert call("GET", f"/v1/approvals?graph={graph}").json()["items"] == []
        assert verify(connection).holds


def test_what_was_changed_after_it_was_approved_is_not_sent(proposed, all_approved, call, database_url) -> None:
    path, yes = f"/v1/approvals/{proposed['action_id']}", {"approve": True, "reason": "r", "digest": proposed["digest"]}
    for by in ("bob", "cid"):
        call("POST", path, by=by, role=Role.OPERATOR, json=yes)
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute('UPDATE outbox SET parameters = \'{"account": "another"}\'')
        batches = Batches(all_approved, owner="d", size=10, lease_seconds=60)
        found = batches.begin(cursor, 0, batches.claim(cursor, 0, Breaker(), None))
        assert found is not None
        assert ([*found.work], [each.step.reason for each in found.settled]) == ([], ["ApprovalNotAvailable"])


def test_who_may_be_asked_for_a_second_opinion_is_not_told_by_what_waits_for_approval(
    all_approved, decide, call, graph, owner_url
) -> None:
    with connect(owner_url) as opened:
        opened.execute("UPDATE revisions SET body = jsonb_set(body, '{graph,spec,review,secondShare}', '\"100%\"')")
        opened.commit()
    item = str(decide(amount="9000.00")["decision"])
    call("POST", f"/v1/reviews/{item}/claim", role=Role.REVIEWER, json={})
    call("POST", f"/v1/reviews/{item}/verdict", role=Role.REVIEWER, json=SAID)
    (waits,) = call("GET", f"/v1/approvals?graph={graph}", by="opa", role=Role.OPERATOR).json()["items"]
    assert call("GET", f"/v1/approvals?graph={graph}", by="bob", role=Role.REVIEWER).json()["items"] == []
    assert call("GET", f"/v1/approvals/{waits['action_id']}", by="bob", role=Role.REVIEWER).status_code == 409
    assert call("GET", f"/v1/approvals/{waits['action_id']}", role=Role.REVIEWER).status_code == 200, (
        "ann has said hers"
    )


def test_one_refusal_ends_it_and_nothing_is_said_afterwards(proposed, call) -> None:
    path, no = f"/v1/approvals/{proposed['action_id']}", {"approve": False, "reason": "r", "digest": proposed["digest"]}
    assert call("POST", path, by="bob", role=Role.OPERATOR, json=no).json()["state"] == "rejected"
    late = call("POST", path, by="cid", role=Role.OPERATOR, json={**no, "approve": True})
    assert (late.status_code, late.json()["error"]) == (409, "the action is rejected already")
    assert call("GET", path).json()["said"][0]["reason"] == "r"


def test_what_nobody_approves_in_time_expires(proposed, database_url) -> None:
    with connect(database_url) as connection, connection.cursor() as cursor:
        now = outbox.clock(cursor)
        assert outbox.claim_expired(cursor, owner="d", limit=10, lease_seconds=60, now=now) == []
        cursor.execute("UPDATE outbox SET expires_at = now() - interval '1 second'")
        (claim,) = outbox.claim_expired(cursor, owner="d", limit=10, lease_seconds=60, now=now)
        assert (str(claim.action_id), claim.approved_by) == (proposed["action_id"], None)
