"""Bands without a live certificate, where the graph declares what their items get: nothing acts, a sample is seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pointsman.api.decision_graph import Audit, DecisionGraphSpec, Uncertified
from pointsman.api.meta import Percent
from pointsman.certificates.live import LiveBands
from pointsman.decisions.accept import accept
from pointsman.decisions.record import Records, records
from pointsman.decisions.stats import Tally, tally
from pointsman.graphs.audit import draws
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
ROWS = 400
BEGINNING = LiveBands(never=frozenset({0, 2}))


@pytest.fixture(scope="module")
def library() -> GraphLibrary:
    """The fraud example: while a band has no certificate all is approved, and people see a fifth of it."""
    found = load(EXAMPLE)
    resolved = found.graph.resolved
    changes = {
        "certificates": "Required",
        "uncertified": Uncertified(outcome="approve", sample=Percent("20%")),
        "audit": Audit(sample=Percent("5%")),
        "bands": [
            band.model_copy(update={"below": None if band.below is None else type(band.below)("0.0001")})
            for band in resolved.graph.spec.bands
        ],
    }
    graph = resolved.graph.model_copy(update={"spec": resolved.graph.spec.model_copy(update=changes)})
    return GraphLibrary(compile_graph(resolved.model_copy(update={"graph": graph}), found._ports), found._ports)


def decided(library: GraphLibrary, live: LiveBands = BEGINNING) -> tuple[Records, Tally]:
    """What is recorded and counted of events of which one in four goes to a person by a rule; scores are made."""
    rows = [
        {
            "transaction_id": f"t{at}",
            "occurred_at": "2026-03-02T10:00:00Z",
            "amount": "9000.00" if at % 4 == 0 else "12.50",
            "card_id": f"c{at}",
            "terminal_id": f"t{at}",
            "card_account": "a",
        }
        for at in range(ROWS)
    ]
    graph = library.graph
    accepted = accept(graph, rows, lambda ids: {}, source="test", arrived=int(NOW.timestamp() * 1e6))
    found = evaluate(graph, accepted.columns, GraphState(graph.views), library._ports, now=NOW)
    evaluation = type(found)(**(vars(found) | {"score": np.where(np.arange(ROWS) % 2, 0.9, 0.00001)}))
    sample = draws(graph.resolved.graph_uid, accepted.decision_ids)
    concluded = triage(graph, evaluation, np.zeros(ROWS, dtype=np.bool_), sample, live)
    kept = records(
        graph,
        decision_ids=accepted.decision_ids,
        events=accepted.events,
        first_seq=0,
        evaluation=evaluation,
        triage=concluded,
        decided_at=NOW,
    )
    return kept, tally(graph, evaluation, concluded)


def test_nothing_acts_before_the_certificate_and_what_would_have_been_is_recorded(library) -> None:
    kept, _ = decided(library)
    assert kept.actions == ()
    bodies = [json.loads(body) for body in kept.decisions.bodies]
    by_rule = [body for body in bodies if "AmountOverLimit" in body["reasons"]]
    others = [body for body in bodies if "AmountOverLimit" not in body["reasons"]]
    assert len(by_rule) == ROWS // 4
    assert {(body["outcome"], "shadow" in body) for body in by_rule} == {("review", False)}
    assert {body["outcome"] for body in others} == {"approve"}
    assert {(body["band"], body["shadow"]["outcome"]) for body in others} == {
        ("approve", "approve"),
        ("freeze", "decline"),
    }
    assert all(body["reasons"][0] == "NoLiveCertificate" for body in others)


def test_people_see_the_declared_share_with_the_probability_of_its_draw(library) -> None:
    kept, _ = decided(library)
    bodies = {body["event"]["id"]: body for body in map(json.loads, kept.decisions.bodies)}
    seen = [each.event_id for each in kept.reviews if "ShadowSample" in each.reasons]
    assert ROWS * 0.75 * 0.12 < len(seen) < ROWS * 0.75 * 0.28
    assert {bodies[each]["audit"]["propensity"] for each in seen} == {0.2}
    assert len(kept.reviews) == len(seen) + ROWS // 4
    assert not any("audit" in body for name, body in bodies.items() if name not in seen)


def test_what_is_certified_acts_and_is_audited_while_the_other_band_is_still_a_shadow(library) -> None:
    kept, counted = decided(library, LiveBands(whole=frozenset({2}), never=frozenset({0})))
    bodies = [json.loads(body) for body in kept.decisions.bodies]
    freeze = [body for body in bodies if body["band"] == "freeze" and body["outcome"] != "review"]
    assert {body["outcome"] for body in freeze} == {"decline"}
    assert len(kept.actions) == len(freeze) == counted.automatic
    assert {body["audit"]["propensity"] for body in freeze if "audit" in body} == {0.05}
    assert {body["shadow"]["outcome"] for body in bodies if "shadow" in body} == {"approve"}


def test_a_band_whose_certificate_ended_or_that_was_demoted_goes_to_people_all_the_same(library) -> None:
    kept, counted = decided(library, LiveBands(demoted=LiveBands(whole=frozenset({0}))))
    assert set(kept.decisions.outcomes) == {"review"}
    assert counted.automatic == 0


def test_what_only_follows_the_declared_outcome_counts_as_that_and_not_as_automatic(library) -> None:
    kept, counted = decided(library)
    assert counted.automatic == 0
    assert sum(count for _, outcome, count, _ in counted.outcomes if outcome == "approve") == len(
        [each for each in kept.decisions.outcomes if each == "approve"]
    )
    assert dict(counted.because)["ShadowSample"] == sum("ShadowSample" in each.reasons for each in kept.reviews)
    assert dict(counted.because)["NoLiveCertificate"] == ROWS // 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"uncertified": {"outcome": "review"}}, "go to review where spec.uncertified is left out"),
        ({"uncertified": {"outcome": "approve"}, "certificates": "NotRequired"}, "nothing is uncertified"),
    ],
    ids=["review is what happens without it", "where nothing is required nothing is uncertified"],
)
def test_what_makes_no_sense_is_refused(library, changes, says) -> None:
    document = library.graph.resolved.graph.document()["spec"]
    with pytest.raises(ValidationError, match=says):
        DecisionGraphSpec.model_validate(document | changes)
