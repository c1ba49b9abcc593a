"""Columns: what flows between the nodes of a graph, and from a contract into features.

A batch is a set of equally long columns. Row order is sequence order. A value that is absent is marked in `missing`,
never encoded in the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt


class FieldType(StrEnum):
    """The types a contract's field, a feature and a model's output may have."""

    STRING = "String"
    """object array of str"""
    INTEGER = "Integer"
    """int64"""
    DECIMAL = "Decimal"
    """int64 in minor units: the value times 10**scale"""
    DOUBLE = "Double"
    """float64"""
    BOOLEAN = "Boolean"
    """bool"""
    TIMESTAMP = "Timestamp"
    """int64 microseconds since 1970-01-01 UTC"""


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A field's type; `scale` is the number of decimal places of a Decimal and 0 for all others.

    A column with a `width` holds a vector of so many doubles in each row; width 0 is a single value.
    """

    type: FieldType
    scale: int = 0
    width: int = 0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a batch: an array of rows, or of rows by width.

    `missing` is a bool mask of as many rows, or None where every value is present.
    """

    type: ColumnType
    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def double(self) -> npt.NDArray[np.float64]:
        """The values as float64 in natural units (a Decimal divided by 10**scale), NaN where missing.

        Raises TypeError for strings.
        """
        if self.type.type is FieldType.STRING:
            raise TypeError("a String column has no number")
        values = self.values.astype(np.float64)
        if self.type.scale:
            values = values / float(10**self.type.scale)
        if self.missing is not None:
            values[self.missing] = np.nan
        return values

    def take(self, rows: npt.NDArray[Any]) -> Column:
        """The rows at these positions, or where a bool mask of the same length is True."""
        return Column(
            type=self.type, values=self.values[rows], missing=None if self.missing is None else self.missing[rows]
        )
