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
        self._values = {
            name: np.zeros((rows, type_.width) if type_.width else rows, DTYPES[type_.type])
            for name, type_ in view.types.items()
        }
        self._missing = {name: np.ones(rows, np.bool_) for name in view.types}

    def write(
        self, feature: CompiledFeature, output: str, rows: Ints, values: npt.NDArray[Any], known: Mask | None = None
    ) -> None:
        """Write an output for these rows; where it is not `known` it is the feature's default, or else missing."""
        if known is None:
            self._values[output][rows] = values
            self._missing[output][rows] = False
        else:
            default = feature.default
            self._values[output][rows] = np.where(known, values, 0 if default is None else default)
            self._missing[output][rows] = ~known if default is None else False

    def batch(self, *, late: Mask, stale: Mask) -> FeatureBatch:
        """Everything written, but nothing for rows that are late or stale."""
        blank = np.flatnonzero(late | stale)
        columns = {}
        for name, type_ in self._view.types.items():
            values, missing = self._values[name], self._missing[name]
            if len(blank):
                missing[blank] = True
            if missing.any():
                values[missing] = 0
                columns[name] = Column(type=type_, values=values, missing=missing)
            else:
                columns[name] = Column(type=type_, values=values)
        return FeatureBatch(columns=columns, late=late, stale=stale)
