"""Segments: how items are told apart by one column, so that each part is certified by itself. The same for who certifies and
who decides.

A segment is a value of a String, Integer or Boolean (`event.country`), or a class of a number (`event.amount:50,500`: below 50,
from 50 to 500, from 500 on).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, FieldType

VALUES = frozenset({FieldType.STRING, FieldType.INTEGER, FieldType.BOOLEAN})
"""The types whose values name segments"""
NUMBERS = frozenset({FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE})
"""The types that can be divided into classes"""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A column, and where it is divided into classes: ascending, each edge in the class above it."""

    column: str
    edges: tuple[Decimal, ...] = ()

    def __str__(self) -> str:
        """What `segmentation` reads as the same; certificates name it so."""
        return self.column if not self.edges else f"{self.column}:{','.join(f'{edge:f}' for edge in self.edges)}"

    @property
    def types(self) -> frozenset[FieldType]:
        """The types that the column may have."""
        return NUMBERS if self.edges else VALUES

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in ascending order."""
        edges = [f"{edge:f}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(edges)]
        return (f"below {edges[0]}", *between, f"from {edges[-1]}")

    def texts(self, column: Column) -> list[str | None]:
        """What segment each row is in; None where the value is missing."""
        if self.edges:
            places = self._places(column.double()).tolist()
            return [None if at < 0 else self.classes[at] for at in places]
        values = [
            None if absent else value
            for value, absent in zip(column.values.tolist(), _missing(column).tolist(), strict=True)
        ]
        return self.of(values)

    def of(self, values: Iterable[object]) -> list[str | None]:
        """The same of values as JSON, or its texts, has them."""
        if self.edges:
            numbers = np.array([np.nan if each is None else float(str(each)) for each in values], dtype=np.float64)
            return [None if at < 0 else self.classes[at] for at in self._places(numbers).tolist()]
        return [None if each is None else str(each).lower() if isinstance(each, bool) else str(each) for each in values]

    def are_in(self, column: Column, names: frozenset[str]) -> Mask:
        """Which rows lie in one of these segments; none of a column of another type. Asked for every batch, of all its rows."""
        if column.type.type not in self.types:
            return np.zeros(len(column), dtype=np.bool_)
        if self.edges:
            held = np.array([*(name in names for name in self.classes), False], dtype=np.bool_)
            return held[self._places(column.double())]
        if column.type.type is FieldType.STRING:
            held = np.fromiter(map(names.__contains__, column.values), dtype=np.bool_, count=len(column))
        elif column.type.type is FieldType.BOOLEAN:
            held = np.array(["false" in names, "true" in names])[column.values.astype(np.intp)]
        else:
            held = np.isin(column.values, [int(name) for name in names if name.lstrip("-").isdigit()])
        return held & ~_missing(column)

    def _places(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        """The position of each number's class; -1 where it is missing."""
        places = np.array([float(edge) for edge in self.edges]).searchsorted(numbers, side="right")
        return np.where(np.isnan(numbers), np.intp(-1), places)


@lru_cache(maxsize=256)
def segmentation(text: str) -> Segmentation:
    """Read `node.output`, or `node.output:edge,edge,…`. Raises ValueError."""
    column, colon, listed = text.partition(":")
    if not colon:
        return Segmentation(column=column)
    try:
        edges = tuple(Decimal(each) for each in listed.split(","))
    except InvalidOperation:
        edges = ()
    if not edges or not all(each.is_finite() for each in edges) or list(edges) != sorted(set(edges)):
        raise ValueError(f'"{text}": behind the colon stand numbers that ascend, such as event.amount:50,500')
    return Segmentation(column=column, edges=tuple(_plain(each) for each in edges))


def _plain(edge: Decimal) -> Decimal:
    """Without zeros at the end, so that 50 and 50.0 are one edge."""
    return Decimal(f"{edge.normalize():f}")


def _missing(column: Column) -> Mask:
    return np.zeros(len(column), dtype=np.bool_) if column.missing is None else column.missing
