"""Personal values: viewers see masks, admins values, and of a case's decisions the reviewers who hold or decided it too."""

from __future__ import annotations

import pytest

from pointsman.governance.access import Role
from pointsman.governance.masking import MASK, masked

slow = pytest.mark.slow


@pytest.fixture
def item(to_review) -> str:
    return str(to_review(note="met at the gate, 5 Main Street")["decision"])


def seen(call, path: str, by: str, role: Role) -> str:
    answer = call("GET", path, by=by, role=role)
    assert answer.status_code == 200
    return answer.text


@slow
@pytest.mark.parametrize("path", ["/v1/decisions/{}", "/v1/reviews/{}", "/v1/reviews/{}/explanation"])
def test_values_are_for_admins_and_the_reviewers_of_the_case(item, call, path) -> None:
    place = path.format(item)
    assert "account-1" in seen(call, place, "ann", Role.ADMIN)
    for by, role in (("vic", Role.VIEWER), ("opa", Role.OPERATOR), ("bob", Role.REVIEWER)):
        assert "account-1" not in (text := seen(call, place, by, role)), by
        assert MASK in text
        assert "Main Street" not in text, "what the contract does not declare may be personal"
        assert "9000" in text, "what is not personal is shown"
    call("POST", f"/v1/reviews/{item}/claim", by="bob", role=Role.REVIEWER, json={})
    assert "account-1" in seen(call, place, "bob", Role.REVIEWER)
    assert "account-1" not in seen(call, place, "cid", Role.REVIEWER)
    said = {"verdict": "legitimate", "reason": "r"}
    call("POST", f"/v1/reviews/{item}/verdict", by="bob", role=Role.REVIEWER, json=said)
    assert "account-1" in seen(call, place, "bob", Role.REVIEWER)


@slow
def test_parameters_of_actions_that_a_personal_field_fills_are_masked(item, call) -> None:
    call("POST", f"/v1/reviews/{item}/claim", json={})
    call("POST", f"/v1/reviews/{item}/verdict", json={"verdict": "fraud", "reason": "r"})
    (action,) = call("GET", f"/v1/decisions/{item}", by="vic", role=Role.VIEWER).json()["actions"]
    assert action["parameters"] == {"account": MASK}


@slow
def test_a_case_that_a_personal_field_names_is_masked_in_the_queue(to_review, call, graph, owner_url) -> None:
    from pointsman.store.database import connect

    to_review()
    with connect(owner_url) as opened:
        opened.execute(
            "UPDATE revisions SET body = jsonb_set(body, '{graph,spec,review,groupBy}', '\"event.card_account\"')"
        )
        opened.execute(
            "UPDATE graph_heads SET revision = (SELECT digest FROM revisions WHERE kind = 'DecisionGraph' LIMIT 1)"
        )
        opened.commit()
    (shown,) = call("GET", f"/v1/reviews?graph={graph}", by="vic", role=Role.VIEWER).json()["items"]
    assert shown["case_key"] == MASK
    (shown,) = call("GET", f"/v1/reviews?graph={graph}").json()["items"]
    assert shown["case_key"] == "card-1"


@slow
def test_a_dead_letters_personal_fields_are_masked_for_who_may_send_it_again(decide, call, graph) -> None:
    decide(amount="a lot")
    (letter,) = call("GET", f"/v1/deadletters?graph={graph}").json()["items"]
    event = call("GET", f"/v1/deadletters/{letter['id']}", by="opa", role=Role.OPERATOR).json()["event"]
    assert (event["card_account"], event["card_id"], event["amount"]) == (MASK, "card-1", "a lot")
    assert call("GET", f"/v1/deadletters/{letter['id']}").json()["event"]["card_account"] == "account-1"


def test_what_is_marked_is_masked_at_any_depth_and_nothing_else() -> None:
    answer = {
        "items": [{"a": 1, "b": None, "c": {"d.e": 2, "f": 3}, "personal": ["a", "b", "c.d.e", "none.x"]}],
        "a": 4,
    }
    marks = answer["items"][0]["personal"]
    assert masked(answer) == {"items": [{"a": MASK, "b": None, "c": {"d.e": MASK, "f": 3}, "personal": marks}], "a": 4}
    assert answer["items"][0]["a"] == 1, "the answer itself stays as it was"
