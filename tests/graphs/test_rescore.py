"""What was recorded of decisions is enough to score them again, to the bit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson

from pointsman.decisions import bodies
from pointsman.decisions.accept import accept
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.graphs.decide import GraphState, evaluate
from pointsman.graphs.rescore import rescore
from pointsman.library import load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"


def test_recorded_features_give_the_recorded_scores_and_another_model_gives_others() -> None:
    library = load(EXAMPLE)
    graph, ports = library.graph, library._ports
    made = generate(GeneratorSettings(days=2, customers=300, terminals=100, beyond_lateness_share=0.01))
    events = [orjson.loads(line) for line in as_json_lines(made)]
    accepted = accept(graph, events, lambda ids: {}, source="test", arrived=0)
    scored = evaluate(graph, accepted.columns, GraphState(graph.views), ports, now=datetime.now(UTC))
    columns = {name: bodies.column(each) for name, each in scored.columns.items() if not name.startswith("event.")}
    recorded = [orjson.loads(text) for text in bodies.objects(columns)]
    decided = [events[at] for at in accepted.positions]
    again = rescore(graph, ports, decided, recorded)
    assert 0 < np.isnan(scored.score).sum() < 50
    assert np.array_equal(again, scored.score, equal_nan=True)

    class Halved:
        def __init__(self, port) -> None:
            self.inputs, self.outputs, self._port = port.inputs, port.outputs, port

        def infer(self, inputs):
            return {name: each / 2 for name, each in self._port.infer(inputs).items()}

    other = rescore(graph, {**ports, "boosted": Halved(ports["boosted"])}, decided, recorded)
    known = ~np.isnan(again)
    assert (other[known] < again[known]).all()
