"""A reviewer's work by commands: claim, a first call, all on one screen, a verdict; and another person's approval."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from pointsman.cli.main import app
from pointsman.governance.access import Role
from pointsman.store.database import connect

pytestmark = pytest.mark.slow


@pytest.fixture
def pointsman(address, call, key_of, monkeypatch):
    """Runs commands against the API as somebody."""
    texts = {"rea": key_of(Role.REVIEWER, "rea"), "opa": key_of(Role.OPERATOR, "opa")}
    call("GET", "/v1/graphs/card-fraud/labels", by="other")  # keys are known in order
    monkeypatch.setenv("POINTSMAN_API", address)
    monkeypatch.setenv("COLUMNS", "400")

    def run(who: str, *arguments: str) -> str:
        monkeypatch.setenv("POINTSMAN_API_KEY", texts[who])
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.output

    return run


def test_from_claim_to_approval(pointsman, to_review, owner_url, graph) -> None:
    with connect(owner_url) as opened:
        for place, value in (
            ("{graph,spec,review,blindShare}", '"100%"'),
            ("{targets,0,spec,approval}", '{"type": "Always", "policy": "OnePerson"}'),
        ):
            opened.execute("UPDATE revisions SET body = jsonb_set(body, %s, %s::jsonb)", (place, value))
        opened.commit()
    item = str(to_review()["decision"])[:8]
    assert item in pointsman("rea", "reviews", "claim", "-g", graph)
    before = pointsman("rea", "reviews", "show", item)
    assert "hidden until you have said yours" in before
    assert "AmountOverLimit" not in before
    assert "AmountOverLimit" in pointsman("rea", "reviews", "call", item, "fraud")
    after = pointsman("rea", "reviews", "show", item)
    for seen in (
        "AmountOverLimit",
        "drove the score",
        "amount = 9000",
        "otherwise",
        "verdict fraud",
        "once 1 have approved it",
    ):
        assert seen in after, seen
    assert "decided" in pointsman("rea", "reviews", "decide", item, "fraud", "-r", "phoned")
    listed = pointsman("opa", "approvals", "list", "-g", graph, "-o", "yaml")
    action, digest = (re.search(rf"{name}: '?([0-9a-f-]+)", listed)[1] for name in ("action_id", "digest"))
    assert pointsman("opa", "approvals", "approve", action, "-r", "ok", "--digest", digest) == (
        "approved: 1 of 1 have approved it\n"
    )
    assert "approved" in pointsman("opa", "approvals", "show", action)
    assert '"reviewers work cases"' in pointsman("opa", "policies", "show")
    assert "open" in pointsman("rea", "reviews", "count", "-g", graph)
