"""Segments: the value of one column by which items are told apart. The same text for who certifies and who decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, FieldType

SEGMENT_TYPES = frozenset({FieldType.STRING, FieldType.INTEGER, FieldType.BOOLEAN})
"""The types whose values name segments; a number that is not counted has none."""


def texts(column: Column) -> list[str | None]:
    """What segment each row is in; None where the value is missing."""
    if column.type.type is FieldType.BOOLEAN:
        named: list[str] = ["true" if value else "false" for value in column.values.tolist()]
    else:
        named = list(map(str, column.values.tolist()))
    if column.missing is None:
        return list(named)
    return [None if absent else text for text, absent in zip(named, column.missing.tolist(), strict=True)]


def are_in(column: Column, values: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Which rows lie in one of these segments."""
    return np.fromiter((text in values for text in texts(column)), dtype=np.bool_, count=len(column))
