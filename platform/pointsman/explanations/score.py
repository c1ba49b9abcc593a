"""A graph's score as a function of what it is made of, over recorded values. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pointsman.api.node_order import mentions
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.features.definition import compile_view
from pointsman.graphs.contract import compile_contract
from pointsman.graphs.expressions import compile_expression
from pointsman.graphs.resolve import ResolvedGraph

KINDS = {bool: FieldType.BOOLEAN, int: FieldType.INTEGER, float: FieldType.DOUBLE, str: FieldType.STRING}
"""The types of what models and lists give, as it was recorded"""


class Score:
    """The score of a revision, for values with the types of one decision's. Raises KeyError where one is missing."""

    def __init__(self, resolved: ResolvedGraph, values: Mapping[str, object]) -> None:
        known = {f"event.{name}": type_ for name, type_ in compile_contract(resolved.stream).types.items()}
        views = {view.metadata.name: view for view in resolved.views}
        for node in resolved.graph.spec.nodes:
            if node.features is not None:
                types = compile_view(views[node.features.view_ref.name], resolved.stream).types
                known |= {f"{node.name}.{name}": type_ for name, type_ in types.items()}
        self.references = tuple(map(str, mentions(resolved.graph.spec.score)))
        self._types = {
            each: known.get(each) or ColumnType(type=KINDS[type(values[each])])
            for each in self.references
            if values[each] is not None
        }
        self._score = compile_expression(resolved.graph.spec.score, self._types)

    def of(self, values: Mapping[str, object]) -> float:
        """The score; NaN where there is none."""
        columns = {name: _column(type_, values[name]) for name, type_ in self._types.items()}
        return float(self._score.evaluate(columns).double()[0])


def _column(type_: ColumnType, value: object) -> Column:
    if type_.type is FieldType.STRING:
        return Column(type=type_, values=np.array([value], dtype=object))
    if type_.type is FieldType.DECIMAL:
        value = round(float(value) * 10**type_.scale)  # type: ignore[arg-type]  # a number, by its type
    return Column(type=type_, values=np.array([value]))
