"""Rows of many requests in one array, so that a queue which knows one array a request can join and part them. Pure.

An array of rows has a field for each tensor. Its type is the model's: what does not fit is no array of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pointsman.models.tensors import NUMPY_TYPES, TensorSpec
from pointsman_serving.oip.tensors import Array


def row_type(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> np.dtype[Any] | None:
    """A row of the inputs; None where a row is not a row: a first size is fixed, or another one is not."""
    if not all(each.shape[:1] == (-1,) for each in (*inputs, *outputs)):
        return None
    if any(-1 in each.shape[1:] for each in inputs):
        return None
    return np.dtype([(each.name, NUMPY_TYPES[each.dtype], each.shape[1:]) for each in inputs])


def as_rows(arrays: Mapping[str, Array], row: np.dtype[Any]) -> Array | None:
    """The arrays as one of rows; None where they are not all there, of these types and sizes, and of one number of rows from 1."""
    names = row.names or ()
    if arrays.keys() != set(names):
        return None
    count = {array.shape[:1] for array in arrays.values()}
    if len(count) != 1 or count <= {(), (0,)}:
        return None
    for name in names:
        type_, array = row[name], arrays[name]
        if (array.dtype, array.shape[1:]) != (type_.base, type_.shape):
            return None
    return joined({name: arrays[name] for name in names}, row)


def joined(arrays: Mapping[str, Array], row: np.dtype[Any] | None = None) -> Array:
    """Arrays of as many rows each, as one; by default the type of a row is what they have."""
    if row is None:
        row = np.dtype([(name, array.dtype, array.shape[1:]) for name, array in arrays.items()])
    rows = np.empty(len(next(iter(arrays.values()))), row)
    for name, array in arrays.items():
        rows[name] = array
    return rows


def parted(rows: Array) -> dict[str, Array]:
    """The arrays of which the rows are made, each whole in memory."""
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
