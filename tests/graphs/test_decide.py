"""Triage: what goes to a person, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pointsman.graphs.compile import InvalidGraph, compile_graph
from pointsman.graphs.ports import ModelFailed
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
EVENT = {
    "transaction_id": "t1",
    "occurred_at": "2026-03-02T10:00:00Z",
    "amount": "12.50",
    "card_id": "c",
    "terminal_id": "t",
    "card_account": "a",
}


@pytest.fixture(scope="module")
def library() -> GraphLibrary:
    return load(EXAMPLE)


def recompiled(library: GraphLibrary, **changes: object) -> GraphLibrary:
    """The same graph with other fields in its specification."""
    resolved = library.graph.resolved
    spec = resolved.graph.spec.model_copy(update=changes)
    graph = resolved.graph.model_copy(update={"spec": spec})
    changed = resolved.model_copy(update={"graph": graph})
    return GraphLibrary(compile_graph(changed, library._ports), library._ports)


def test_an_ordinary_event_is_decided_automatically(library: GraphLibrary) -> None:
    (answer,) = GraphLibrary(library.graph, library._ports).decide([EVENT])
    assert (answer["outcome"], answer["band"], answer["reasons"]) == ("approve", "approve", [])


def test_without_a_certificate_no_band_acts_when_they_are_required(library: GraphLibrary) -> None:
    (answer,) = recompiled(library, certificates="Required").decide([EVENT])
    assert (answer["outcome"], answer["reasons"]) == ("review", ["NoLiveCertificate"])


def test_a_model_that_fails_sends_the_batch_to_people(library: GraphLibrary) -> None:
    class Broken:
        def __init__(self, port) -> None:
            self.inputs, self.outputs = port.inputs, port.outputs

        def infer(self, inputs):
            raise ModelFailed("gone")

    ports = {**library._ports, "boosted": Broken(library._ports["boosted"])}
    (answer,) = GraphLibrary(library.graph, ports).decide([EVENT])
    assert (answer["outcome"], answer["score"], answer["reasons"]) == ("review", None, ["ModelError"])


def test_a_broken_row_does_not_harm_its_neighbours(library: GraphLibrary) -> None:
    broken = {**EVENT, "transaction_id": "t2", "amount": "a lot"}
    other = {**EVENT, "transaction_id": "t3"}
    answers = GraphLibrary(library.graph, library._ports).decide([EVENT, broken, other])
    assert [each["outcome"] for each in answers] == ["approve", "deadLetter", "approve"]


def test_inputs_bind_by_name_and_a_missing_or_superfluous_one_is_refused(library: GraphLibrary) -> None:
    nodes = list(library.graph.resolved.graph.spec.nodes)
    at = next(index for index, node in enumerate(nodes) if node.name == "boosted")
    inputs = dict(nodes[at].model.inputs)
    inputs["amuont"] = inputs.pop("amount")
    model = nodes[at].model.model_copy(update={"inputs": inputs})
    nodes[at] = nodes[at].model_copy(update={"model": model})
    with pytest.raises(InvalidGraph) as refused:
        recompiled(library, nodes=nodes)
    text = str(refused.value)
    assert '"amount" is given nothing' in text
    assert 'did you mean "amount"' in text


def test_scores_are_the_same_alone_and_in_any_batch(library: GraphLibrary) -> None:
    rows = [{**EVENT, "transaction_id": f"t{at}", "amount": f"{at * 7 % 900}.10"} for at in range(200)]
    together = GraphLibrary(library.graph, library._ports).decide(rows)
    one_by_one = GraphLibrary(library.graph, library._ports)
    alone = [one_by_one.decide([row])[0] for row in rows]
    assert np.array_equal([each["score"] for each in together], [each["score"] for each in alone])
