"""What a reviewer is told of a score: from what was recorded, by the models that decided, over a real store and API."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest
from typer.testing import CliRunner

from pointsman.cli.main import app
from pointsman.explanations.explain import explained
from pointsman.store.database import connect

pytestmark = pytest.mark.slow


@pytest.fixture
def item(decide, to_review) -> str:
    for at in range(12):
        decide(amount=f"{10 + 7 * at}.00", card_id=f"card-{at % 3}", occurred_at=f"2026-03-02T09:{10 + at}:00Z")
    return str(to_review()["decision"])


def test_the_features_that_drove_a_score_are_told_in_order_with_values(item, call) -> None:
    told = call("GET", f"/v1/reviews/{item}/explanation").json()
    assert told["notExplained"] == []
    by_node = {each["node"]: each for each in told["models"]}
    assert {node: each["method"] for node, each in by_node.items()} == {"boosted": "TreeSHAP", "sequence": "Occlusion"}
    for each in by_node.values():
        assert each["answer"] == each["recorded"]
        assert each["comparedWith"] == "12 decisions before it"
    trees = [each for each in told["drivers"] if each["model"] == "boosted"]
    boosted = by_node["boosted"]
    assert sum(each["contribution"] for each in trees) == pytest.approx(boosted["total"] - boosted["expected"])
    assert sum(each["ofScore"] for each in trees) == pytest.approx(boosted["ofScore"])
    sizes = [abs(each["ofScore"]) for each in told["drivers"]]
    assert sizes == sorted(sizes, reverse=True)
    (amount,) = (each for each in trees if each["feature"] == "amount")
    assert (amount["of"], amount["value"]) == (["event.amount"], 9000.0)
    assert call("GET", f"/v1/reviews/{item}/explanation").json() == told


def test_each_other_outcome_is_told_with_what_it_would_do(item, call) -> None:
    told = call("GET", f"/v1/reviews/{item}/explanation").json()["alternatives"]
    freeze = next(each for each in told if each["name"] == "freeze")
    assert (freeze["fromScore"], freeze["outcome"], freeze["wasTaken"]) == ("0.85", "decline", False)
    effect = {
        "action": "freeze",
        "target": "accounts",
        "operation": "freeze",
        "parameters": {"account": "account-1"},
        "compensation": "unfreeze",
        "approvals": 0,
        "personal": ["parameters.account"],
    }
    assert freeze["effects"] == [effect]
    verdicts = {each["name"]: len(each["effects"]) for each in told if each["by"] == "verdict"}
    assert verdicts == {"fraud": 1, "legitimate": 0}


def test_the_first_decision_of_a_graph_is_compared_with_the_models_own_example(to_review, database_url) -> None:
    id_ = UUID(str(to_review()["decision"]))
    with connect(database_url) as connection:
        told = explained(connection, id_)
    assert {each["comparedWith"] for each in told["models"]} == {"the model's own example"}


def test_a_model_whose_files_are_not_here_is_said_and_the_rest_is_told(item, database_url, owner_url) -> None:
    with connect(owner_url) as connection:
        (body,) = connection.execute("SELECT body FROM revisions").fetchone()
        body["models"]["boosted"]["folder"] = "/nowhere"
        connection.execute("UPDATE revisions SET body = %s::jsonb", (orjson.dumps(body).decode(),))
        connection.commit()
    with connect(database_url) as connection:
        told = explained(connection, UUID(item))
    assert [each["node"] for each in told["models"]] == ["sequence"]
    (problem,) = told["notExplained"]
    assert problem.startswith("boosted.probability: the model cannot be asked here")
    assert told["alternatives"]


def test_the_command_shows_features_models_and_outcomes(item, address, key_of, monkeypatch) -> None:
    monkeypatch.setenv("POINTSMAN_API", address)
    monkeypatch.setenv("POINTSMAN_API_KEY", key_of(name="eve"))
    while (shown := CliRunner().invoke(app, ["reviews", "explain", item])).exit_code and "not known" in str(
        shown.exception
    ):
        pass
    assert shown.exit_code == 0, shown.exception
    for wanted in ("OFSCORE", "amount", "TreeSHAP", "Occlusion", "freeze: freeze at accounts"):
        assert wanted in shown.stdout
