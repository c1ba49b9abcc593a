"""What a view answers for a batch of rows, and the sheet on which both engines write their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, FieldType
from pointsman.features.definition import CompiledFeature, CompiledView

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DTYPES: dict[FieldType, npt.DTypeLike] = {
    FieldType.INTEGER: np.int64,
    FieldType.DECIMAL: np.int64,
    FieldType.TIMESTAMP: np.int64,
    FieldType.DOUBLE: np.float64,
    FieldType.BOOLEAN: np.bool_,
}


@dataclass(frozen=True, kw_only=True)
class FeatureBatch:
    """The features of a batch, by output name, and the rows whose features are all missing and why."""

    columns: dict[str, Column]
    late: Mask
    stale: Mask


class Answers:
    """Answers for some rows, written feature by feature; whatever is not written stays missing."""

    def __init__(self, view: CompiledView, rows: int) -> None:
        self._view, self._rows = view, rows
        self._values = dict[str, npt.NDArray[Any]]()
        self._missing = dict[str, Mask]()

    def write(
        self, feature: CompiledFeature, output: str, rows: Ints, values: npt.NDArray[Any], known: Mask | None = None
    ) -> None:
        """Write an output for these rows; where it is not `known` it is the feature's default, or else missing."""
        if output not in self._values:
            self._begin(output, whole=len(rows) == self._rows)
        default = feature.default
        if known is not None:
            values = np.where(known, values, 0 if default is None else default)
        self._values[output][rows] = values
        if known is not None and default is None:
            if output not in self._missing:
                self._missing[output] = np.zeros(self._rows, np.bool_)
            self._missing[output][rows] = ~known
        elif output in self._missing:
            self._missing[output][rows] = False

    def batch(self, *, late: Mask, stale: Mask) -> FeatureBatch:
        """Everything written, but nothing for rows that are late or stale."""
        none = late | stale
        blank = none if none.any() else None
        columns = {}
        for name, type_ in self._view.types.items():
            if name not in self._values:
                self._begin(name, whole=False)
            values, missing = self._values[name], self._missing.get(name)
            if blank is not None:
                missing = blank if missing is None else missing | blank
            if missing is not None and missing.any():
                values[missing] = 0
                columns[name] = Column(type=type_, values=values, missing=missing)
            else:
                columns[name] = Column(type=type_, values=values)
        return FeatureBatch(columns=columns, late=late, stale=stale)

    def _begin(self, output: str, *, whole: bool) -> None:
        """Make room for an output; what is written whole at once needs nothing in it before."""
        type_ = self._view.types[output]
        shape = (self._rows, type_.width) if type_.width else (self._rows,)
        if whole:
            self._values[output] = np.empty(shape, DTYPES[type_.type])
        else:
            self._values[output] = np.zeros(shape, DTYPES[type_.type])
            self._missing[output] = np.ones(self._rows, np.bool_)
