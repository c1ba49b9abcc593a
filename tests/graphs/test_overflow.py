"""Past `review.maxOpen`, what people have no room for gets the declared outcome: no item, no action, and it says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pointsman.api.decision_graph import DecisionGraph
from pointsman.decisions.accept import accept
from pointsman.decisions.record import records
from pointsman.decisions.stats import tally
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def library() -> GraphLibrary:
    """The fraud example, which defers what people have no room for."""
    found = load(EXAMPLE)
    resolved = found.graph.resolved
    review = resolved.graph.spec.review.model_copy(update={"overflow_outcome": "defer"})
    graph = resolved.graph.model_copy(update={"spec": resolved.graph.spec.model_copy(update={"review": review})})
    return GraphLibrary(compile_graph(resolved.model_copy(update={"graph": graph}), found.ports), found.ports)


def test_the_first_items_find_room_and_later_ones_get_the_declared_outcome(library) -> None:
    graph, rows = library.graph, [event(at, amount="9000.00" if at < 6 else "12.50") for at in range(8)]
    accepted = accept(graph, rows, lambda ids: {}, source="test", arrived=int(NOW.timestamp() * 1e6))
    evaluation = evaluate(graph, accepted.columns, GraphState(graph.views), library.ports, now=NOW)
    nothing, draws = np.zeros(8, dtype=np.bool_), np.where(np.arange(8) == 7, 0.0, 1.0)
    found = triage(graph, evaluation, nothing, draws, room=2)
    assert found.outcomes == ["review"] * 2 + ["defer"] * 4 + ["approve"] * 2
    assert found.reasons[1:3] == [("AmountOverLimit",), ("AmountOverLimit", "ReviewOverflow")]
    assert not any(mask[2:6].any() for mask in found.acting.values())
    written = records(
        graph, decision_ids=accepted.decision_ids, events=accepted.events, first_seq=0, evaluation=evaluation,
        triage=found, decided_at=NOW,
    )  # fmt: skip
    assert [each.event_id for each in written.reviews] == ["t0", "t1", "t7"], "an audited item is seen all the same"
    counted = tally(graph, evaluation, found)
    assert (counted.overflowed, counted.automatic) == (4, 2)
    assert sum(count for _, outcome, count, _ in counted.outcomes if outcome == "defer") == 4
    assert dict(counted.because)["AmountOverLimit"] == 2
    assert triage(graph, evaluation, nothing, draws).outcomes[:6] == ["review"] * 6


@pytest.mark.parametrize(
    ("outcome", "says"),
    [("review", "what there is too much of"), ("approve", "no promise covers this"), ("defer", None)],
)
def test_no_promise_is_borrowed_for_what_is_not_certified(library, outcome, says) -> None:
    document = library.graph.resolved.graph.document()
    document["spec"]["certificates"] = "Required"
    for band in document["spec"]["bands"]:
        if band["outcome"] != "review":
            band["promise"] = {"maxError": "1%"}
    document["spec"]["review"]["overflowOutcome"] = outcome
    if says is None:
        assert DecisionGraph.model_validate(document).spec.review.overflow_outcome == outcome
        return
    with pytest.raises(Exception, match=says):
        DecisionGraph.model_validate(document)


def event(at: int, **changes: str) -> dict[str, str]:
    return {
        "transaction_id": f"t{at}",
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": "12.50",
        "card_id": f"c{at}",
        "terminal_id": f"t{at}",
        "card_account": "a",
    } | changes
