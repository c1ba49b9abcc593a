"""Of a share of cases a reviewer sees the model's view only after a first call of their own, whatever they ask for."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from pointsman.governance.access import Role
from pointsman.ledger.verify import verify
from pointsman.reviews.blind import is_blind
from pointsman.reviews.veil import record_without_view
from pointsman.store.database import connect

slow = pytest.mark.slow
SAID = {"verdict": "fraud", "reason": "phoned"}


@pytest.fixture
def all_blind(graph, owner_url):
    """The graph hides the model's view of every case."""
    with connect(owner_url) as opened:
        opened.execute("UPDATE revisions SET body = jsonb_set(body, '{graph,spec,review,blindShare}', '\"100%\"')")
        opened.commit()


@pytest.fixture
def item(all_blind, decide) -> str:
    return str(decide(amount="9000.00")["decision"])


@slow
def test_the_models_view_is_shown_to_nobody_before_their_first_call(item, call, graph) -> None:
    for by, role in (("ann", Role.ADMIN), ("bob", Role.REVIEWER), ("vic", Role.VIEWER)):
        (listed,) = call("GET", f"/v1/reviews?graph={graph}", by=by, role=role).json()["items"]
        assert (listed["awaits_first_call"], listed["reasons"], listed["priority"]) == (True, None, None)
        shown = call("GET", f"/v1/reviews/{item}", by=by, role=role).json()["behind"]
        for record in (shown, call("GET", f"/v1/decisions/{item}", by=by, role=role).json()):
            decision = record["decision"]
            assert [decision[name] for name in ("score", "band", "outcome", "reasons")] == [None] * 4
            assert {name.partition(".")[0] for name in decision["values"]} == {"card", "terminal", "known"}
            assert "rules" not in decision
            assert record["event"]["raw"]["amount"] == "9000.00"
        refused = call("GET", f"/v1/reviews/{item}/explanation", by=by, role=role)
        assert (refused.status_code, "say your first call first" in refused.text) == (409, True)
        (listed,) = call("GET", f"/v1/decisions?graph={graph}", by=by, role=role).json()["items"]
        assert (listed["decision"], listed["score"], listed["outcome"]) == (item, None, None)
        assert call("GET", f"/v1/decisions?graph={graph}&outcome=review", by=by, role=role).json()["items"] == []


@slow
def test_after_a_first_call_the_view_is_shown_to_who_said_it_and_the_verdict_may_differ(
    item, call, graph, database_url
) -> None:
    def ask(path: str, body: dict[str, object], by: str = "bob"):
        return call("POST", f"/v1/reviews/{item}/{path}", by=by, role=Role.REVIEWER, json=body)

    assert ask("call", {"verdict": "fraud"}).json()["error"].startswith("claim the item first")
    (held,) = ask("claim", {}).json()["items"]
    assert held["reasons"] is None
    early = ask("verdict", SAID)
    assert (early.status_code, "first call" in early.text) == (409, True)
    assert ask("call", {"verdict": "maybe"}).status_code == 422
    for _ in range(2):
        (said,) = ask("call", {"verdict": "fraud"}).json()["items"]
        assert (said["awaits_first_call"], said["reasons"]) == (False, ["AmountOverLimit"])
    assert (changed := ask("call", {"verdict": "legitimate"})).status_code == 409, changed.text
    decision = call("GET", f"/v1/reviews/{item}", by="bob", role=Role.REVIEWER).json()["behind"]["decision"]
    assert decision["score"] is not None
    assert (
        call("GET", f"/v1/reviews/{item}", by="cid", role=Role.REVIEWER).json()["behind"]["decision"]["score"] is None
    )
    done = ask("verdict", {"verdict": "legitimate", "reason": "the model sees no risk"}).json()["items"][0]
    assert (done["verdict"], done["state"]) == ("legitimate", "decided")
    assert call("GET", f"/v1/decisions/{item}", by="cid", role=Role.REVIEWER).json()["decision"]["score"] is not None
    anchoring = call("GET", f"/v1/graphs/{graph}/reviewers").json()["anchoring"]
    assert (anchoring["items"], anchoring["kept"]) == (1, 0)
    with connect(database_url) as connection:
        assert connection.execute("SELECT kind FROM ledger WHERE kind = 'first call'").rowcount == 1
        connection.commit()
        assert verify(connection).holds


@slow
def test_a_first_call_is_for_the_whole_case_and_for_no_item_that_hides_nothing(item, decide, call, owner_url) -> None:
    other = str(decide(amount="9000.00")["decision"])
    call("POST", f"/v1/reviews/{item}/claim", json={})
    assert len(call("POST", f"/v1/reviews/{item}/call", json={"verdict": "fraud"}).json()["items"]) == 2
    assert len(call("POST", f"/v1/reviews/{other}/verdict", json=SAID).json()["items"]) == 2
    with connect(owner_url) as opened:
        opened.execute("UPDATE revisions SET body = body #- '{graph,spec,review,blindShare}'")
        opened.commit()
    plain = str(decide(amount="9000.00")["decision"])
    call("POST", f"/v1/reviews/{plain}/claim", json={})
    refused = call("POST", f"/v1/reviews/{plain}/call", json={"verdict": "fraud"})
    assert (refused.status_code, refused.json()["error"]) == (409, "nothing of this case is hidden from you: decide it")


@slow
def test_an_item_about_an_effect_hides_nothing_and_one_of_a_sample_does(all_blind, decide, call, owner_url) -> None:
    effect, sampled = (UUID(str(decide()["decision"])) for _ in range(2))
    drawn = ["NoLiveCertificate", "ShadowSample"]
    with connect(owner_url) as opened:
        opened.execute("UPDATE decisions SET reasons = %s WHERE decision_id = %s", (drawn, sampled))
        for id_, reasons in ((effect, ["OutcomeUnknown"]), (sampled, drawn)):
            opened.execute(
                "INSERT INTO reviews (review_id, decision_id, graph_uid, event_id, reasons, opened_at) "
                "SELECT decision_id, decision_id, graph_uid, event_id, %s, now() FROM decisions WHERE decision_id = %s",
                (reasons, id_),
            )
        opened.commit()
    for id_, hides in ((effect, False), (sampled, True)):
        assert call("GET", f"/v1/reviews/{id_}").json()["awaits_first_call"] == hides
        assert (call("GET", f"/v1/decisions/{id_}").json()["decision"]["score"] is None) == hides


def test_cases_are_drawn_whole_by_their_key() -> None:
    graph = uuid4()
    drawn = [is_blind(graph, uuid4(), f"card-{number}", 0.1) for number in range(4000)]
    assert 320 < sum(drawn) < 480
    assert drawn == [is_blind(graph, uuid4(), f"card-{number}", 0.1) for number in range(4000)]
    assert 320 < sum(is_blind(graph, UUID(int=number), None, 0.1) for number in range(4000)) < 480


def test_a_record_without_the_models_view_keeps_facts_alone() -> None:
    record = {
        "decision": {
            "score": 0.4, "band": "freeze", "outcome": "decline", "reasons": ["AuditSample"], "audit": {"propensity": 0.1},
            "shadow": {"outcome": "decline"},
            "actions": [{"name": "freeze"}], "rules": ["limits.over"], "seq": 3,
            "values": {"card.count_1h": 2, "boosted.probability": 0.4},
        },
        "revision": {"nodes": {"card": "Features", "boosted": "Model"}},
        "actions": [{"name": "freeze"}], "review": {"reasons": ["AuditSample"], "state": "open"}, "event": {"raw": {}},
    }  # fmt: skip
    shown = record_without_view(record)
    assert shown["decision"] == {
        "score": None, "band": None, "outcome": None, "reasons": None, "seq": 3, "actions": [],
        "values": {"card.count_1h": 2},
    }  # fmt: skip
    assert (shown["actions"], shown["certificates"], shown["review"]["reasons"]) == ([], [], None)
    assert record_without_view({**record, "revision": None})["decision"]["values"] == {}
