"""Scores decisions anew from what was recorded of them: their events and their features, under another model. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, ColumnType, FieldType
from pointsman.features.batch import DTYPES
from pointsman.graphs.compile import CompiledGraph, FeatureStep, ListStep, ModelStep
from pointsman.graphs.decide import GraphState, evaluate
from pointsman.graphs.ports import ModelPort

AT_ALL_TIMES = datetime(1970, 1, 1, tzinfo=UTC)
"""Models and expressions do not ask for the time"""


def rescore(
    graph: CompiledGraph,
    ports: Mapping[str, ModelPort],
    events: Sequence[object],
    values: Sequence[Mapping[str, Any]],
) -> npt.NDArray[np.float64]:
    """The scores that the graph's models give to decided events; NaN where there is none.

    `values` are those that stand in the decisions' records, by `node.output`, aligned with the events: features and lists are
    taken from them, so that the views must be those of the graph.
    """
    batch = graph.contract.read(events)
    columns = {f"event.{name}": column for name, column in batch.columns.items()}
    recorded = [values[at] for at in batch.good.tolist()]
    for step in graph.steps:
        if isinstance(step, FeatureStep):
            types = {f"{step.node}.{output}": type_ for output, type_ in step.view.types.items()}
        elif isinstance(step, ListStep):
            types = {f"{step.node}.{each.name}": ColumnType(type=FieldType.BOOLEAN) for each in step.lists}
        else:
            continue
        for name, type_ in types.items():
            columns[name] = _column(type_, [each.get(name) for each in recorded])
    models = dataclasses.replace(graph, steps=tuple(each for each in graph.steps if isinstance(each, ModelStep)))
    scores = np.full(len(events), np.nan)
    if len(batch.good):
        scores[batch.good] = evaluate(models, columns, GraphState({}), ports, now=AT_ALL_TIMES).score
    return scores


def _column(type_: ColumnType, found: Sequence[Any]) -> Column:
    """A column from what a record says in natural units."""
    missing = np.array([each is None for each in found], dtype=np.bool_)
    mask = missing if missing.any() else None
    if type_.width:
        nothing = [np.nan] * type_.width
        rows = [nothing if each is None else [np.nan if one is None else one for one in each] for each in found]
        return Column(type=type_, values=np.array(rows, dtype=np.float64).reshape(-1, type_.width), missing=mask)
    if type_.type is FieldType.STRING:
        texts = np.array(["" if each is None else each for each in found], dtype=object)
        return Column(type=type_, values=texts, missing=mask)
    numbers = [0 if each is None else each for each in found]
    if type_.scale:
        numbers = [round(each * 10**type_.scale) for each in numbers]
    return Column(type=type_, values=np.array(numbers, dtype=DTYPES[type_.type]), missing=mask)
