"""Explains a recorded decision: what drove its score, in order, and what each other outcome would have done.

The models are those of the revision that decided, opened by their digests; their answers are computed again from the
recorded features and compared with those that were recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import TupleRow, dict_row
from pydantic.alias_generators import to_camel

from pointsman.decisions.recorded import Recorded, Values, before, recorded
from pointsman.explanations.alternatives import Alternative, alternatives
from pointsman.explanations.model import Driver, Explained, ExplainedModel, opened
from pointsman.explanations.occlusion import Row
from pointsman.explanations.score import Score
from pointsman.governance.masking import PERSONAL, is_personal, personal_parameters
from pointsman.graphs.ports import NUMPY_TYPES
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.models.artifact import ArtifactRefused
from pointsman.models.session import InvalidInput, RunFailed

BACKGROUND = 512
"""So many decisions before it are what a decision is compared with."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Told:
    """One model output's explanation; `slope` leads from its unit to the score's."""

    node: str
    output: str
    background: str
    effect: float
    slope: float
    explained: Explained


def explained(connection: psycopg.Connection[TupleRow], decision_id: Any) -> Json:
    """The explanation of one decision, as JSON. The same each time while the decisions before it are stored.

    Raises recorded.NotRecorded.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        decision = recorded(cursor, [decision_id])[decision_id]
        others = before(cursor, decision, BACKGROUND)
    body, resolved = decision.body, decision.resolved
    told, problems = _told(decision, others)
    drivers = [(each, driver) for each in told for driver in each.explained.drivers]
    drivers.sort(key=lambda pair: -abs(pair[1].contribution * pair[0].slope))
    return {
        "decision": body["decision"],
        "score": body["score"],
        "expression": resolved.graph.spec.score,
        "drivers": [_driver(each, driver, resolved) for each, driver in drivers],
        "models": [_model(decision, each) for each in told],
        "notExplained": problems,
        "alternatives": [
            _alternative(each, resolved)
            for each in alternatives(resolved, decision.columns, band=body["band"], outcome=body["outcome"])
        ],
    }


def _told(decision: Recorded, others: Sequence[Values]) -> tuple[list[_Told], list[str]]:
    """What is explained of the score, the strongest first, and what cannot be, and why."""
    resolved, values = decision.resolved, decision.columns
    if decision.body["score"] is None:
        return [], ["there is no score: the decision's reasons say why"]
    score, told, problems = Score(resolved, values), list[_Told](), list[str]()
    for reference in score.references:
        node, _, output = reference.partition(".")
        if node not in resolved.models:
            problems.append(f"{reference}: it enters the score as it is")
            continue
        pinned, spec = resolved.models[node], resolved.graph.spec.node(node)
        assert spec is not None
        assert spec.model is not None
        try:
            model = opened(pinned.folder, pinned.digest)
            rows = [row for each in others if (row := _row(model, spec.model.inputs, each)) is not None]
            row = _row(model, spec.model.inputs, values)
            if row is None:
                problems.append(f"{reference}: the event is no longer stored")
                continue
            found = model.explain(row, rows or model.example(), output)
        except (ArtifactRefused, RunFailed, InvalidInput, OSError) as error:
            problems.append(f"{reference}: the model cannot be asked here: {error}")
            continue
        effect = decision.body["score"] - score.of({**values, reference: found.baseline})
        way = found.total - found.expected
        told.append(
            _Told(
                node=node,
                output=output,
                background=f"{len(rows)} decisions before it" if rows else "the model's own example",
                effect=effect,
                slope=effect / way if way else 0.0,
                explained=found,
            )
        )
    return sorted(told, key=lambda each: -abs(each.effect)), problems


def _row(model: ExplainedModel, inputs: Mapping[str, str], values: Values) -> Row | None:
    """A model's inputs, of one row; None where one is missing."""
    found = dict[str, Any]()
    for name, (dtype, rank) in model.inputs.items():
        value = values.get(inputs[name])
        if value is None:
            return None
        array = np.array([value], dtype=np.float64).astype(NUMPY_TYPES[dtype])
        found[name] = array.reshape(1, -1) if rank == 2 else array
    return found


def _driver(told: _Told, driver: Driver, resolved: ResolvedGraph) -> Json:
    node = resolved.graph.spec.node(told.node)
    assert node is not None
    assert node.model is not None
    references = [node.model.inputs[each] for each in driver.of]
    return {
        "feature": driver.feature,
        "of": references,
        "value": driver.value,
        "contribution": driver.contribution,
        "ofScore": driver.contribution * told.slope,
        "model": told.node,
        PERSONAL: ["value"] if any(is_personal(each, resolved) for each in references) else [],
    }


def _alternative(found: Alternative, resolved: ResolvedGraph) -> Json:
    effects = [{**asdict(each), PERSONAL: personal_parameters(each.action, resolved)} for each in found.effects]
    return {to_camel(key): value for key, value in asdict(found).items()} | {"effects": effects}


def _model(decision: Recorded, told: _Told) -> Json:
    found, pinned = told.explained, decision.resolved.models[told.node]
    kept = decision.columns[f"{told.node}.{told.output}"]
    return {
        "node": told.node,
        "output": told.output,
        "name": pinned.name,
        "version": pinned.version,
        "digest": pinned.digest,
        "method": found.method,
        "unit": found.unit,
        "comparedWith": told.background,
        "expected": found.expected,
        "total": found.total,
        "answer": found.output,
        "recorded": kept,
        "ofScore": told.effect,
    }
