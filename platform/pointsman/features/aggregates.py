"""Aggregates over ranges of an entity's rows: what a view answers once a batch's rows stand in their places. Vectorised.

The online engine keeps every entity's rows in a segment of pooled arrays, by event time. A window is a range of positions in
it, found by a binary search over all rows and windows at once, and its sum is a difference of two running sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import FieldType
from pointsman.features.batch import DTYPES, Answers
from pointsman.features.clock import Ints, Mask
from pointsman.features.definition import CompiledFeature, CompiledView

Array = npt.NDArray[Any]


class FieldRows:
    """The pooled columns of one aggregated field."""

    def __init__(self, view: CompiledView, name: str, size: int) -> None:
        self.name = name
        kind = view.field_types[name].type
        self.summed = kind in (FieldType.INTEGER, FieldType.DECIMAL)
        self.value: Array = np.zeros(size, DTYPES[kind])
        self.present: Mask = np.ones(size, np.bool_)
        self.sum_before: Ints = np.zeros(size if self.summed else 0, np.int64)
        self.count_before: Ints = np.zeros(size, np.int64)

    def running(self, values: Array, present: Mask) -> list[tuple[Ints, Array, Array]]:
        """The running sums, each with what a row adds to it: the pool's column, and these values."""
        sums: list[tuple[Ints, Array, Array]] = [(self.count_before, self.present, present.astype(np.int64))]
        if self.summed:
            sums.append((self.sum_before, self.value, np.where(present, values, 0)))
        return sums

    def columns(self) -> list[str]:
        return ["value", "present", "count_before", *(["sum_before"] if self.summed else [])]


def answer(
    view: CompiledView,
    pool: Ints,
    fields: Mapping[str, FieldRows],
    *,
    rows: Ints,
    start: Ints,
    position: Ints,
    times: Ints,
    answers: Answers,
) -> None:
    """Write the features of `rows`, which happened at `times` and stand at `position` in segments that begin at `start`.

    `pool` are the times of all rows.
    """
    edges = _left_edges(view, pool, start, position, times)
    for feature in view.features:
        low = edges[feature.window_us]
        high = position + 1 if feature.include_current else position
        name, aggregate = feature.outputs[0], feature.aggregate
        if aggregate == "Count":
            answers.write(feature, name, rows, high - low)
        elif aggregate == "SinceLast":
            newest = pool[np.maximum(high - 1, 0)]
            answers.write(feature, name, rows, (times - newest) / 1e6, high > low)
        elif aggregate == "Sequence":
            answers.write(feature, name, rows, _sequence(view, feature, pool, fields, low, high, times))
        else:
            assert feature.field is not None
            _of_field(view, feature, fields[feature.field], rows, low, high, answers)


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """All positions of [start, start + length), range after range."""
    ends = np.cumsum(lengths)
    positions: Ints = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return positions


def count_not_newer(pool: Ints, start: Ints, end: Ints, limit: Ints) -> Ints:
    """How many rows of each segment [start, end) have a time of at most `limit`. Broadcasts; a binary search over all."""
    at = np.broadcast_to(start, np.broadcast_shapes(start.shape, limit.shape)).copy()
    longest = int((end - start).max(initial=0))
    step = 1 << longest.bit_length()
    while step := step >> 1:
        further = at + step
        older = further <= end
        older &= pool.take(further - 1, mode="clip") <= limit
        np.copyto(at, further, where=older)
    found: Ints = at - start
    return found


def _left_edges(view: CompiledView, pool: Ints, start: Ints, position: Ints, times: Ints) -> dict[int | None, Ints]:
    """For each window and row the first position whose time is newer than t - window."""
    windows = [window for window in dict.fromkeys(each.window_us for each in view.features) if window]
    oldest = times - np.array(windows, np.int64)[:, None]
    low = start + count_not_newer(pool, start, position, oldest)
    return {None: start, **dict(zip(windows, low, strict=True))}


def _of_field(
    view: CompiledView, feature: CompiledFeature, field: FieldRows, rows: Ints, low: Ints, high: Ints, answers: Answers
) -> None:
    name, aggregate = feature.outputs[0], feature.aggregate
    if aggregate == "Last":
        for back, output in enumerate(feature.outputs):
            at = np.maximum(high - 1 - back, 0)
            answers.write(feature, output, rows, field.value[at], (high - 1 - back >= low) & field.present[at])
        return
    if aggregate == "Sum":
        answers.write(feature, name, rows, _between(field.sum_before, field.value, field, feature, low, high))
        return
    count = _between(field.count_before, field.present, field, feature, low, high)
    if aggregate == "Mean":
        total = _between(field.sum_before, field.value, field, feature, low, high)
        scale = float(10 ** view.field_types[field.name].scale)
        mean = total.astype(np.float64) / np.maximum(count, 1) / scale
        answers.write(feature, name, rows, mean, count > 0)
    else:
        answers.write(feature, name, rows, _extreme(field, aggregate, low, high), count > 0)


def _between(before: Ints, own: Array, field: FieldRows, feature: CompiledFeature, low: Ints, high: Ints) -> Ints:
    """The sum over [low, high), from the sums before each position; `high` is the row's own position, or the one after."""
    if not feature.include_current:
        outside: Ints = before[high] - before[low]
        return outside
    last = high - 1
    within: Ints = before[last] + np.where(field.present[last], own[last], 0) - before[low]
    return within


def _sequence(
    view: CompiledView,
    feature: CompiledFeature,
    pool: Ints,
    fields: Mapping[str, FieldRows],
    low: Ints,
    high: Ints,
    times: Ints,
) -> Array:
    """Rows by width: the newest positions of [low, high), the oldest first."""
    positions = high[:, None] - np.arange(feature.type.width, 0, -1)
    there = positions >= low[:, None]
    at = np.maximum(positions, 0)
    if feature.field is None:
        following = np.column_stack([pool[at[:, 1:]], times])
        return np.where(there, (following - pool[at]) / 1e6, 0.0)
    field = fields[feature.field]
    scale = float(10 ** view.field_types[feature.field].scale)
    return np.where(there & field.present[at], field.value[at] / scale, 0.0)


def _extreme(field: FieldRows, aggregate: str, low: Ints, high: Ints) -> Array:
    """Min or Max over [low, high) of the values that are present; 0 where there is none."""
    lengths = high - low
    answer = np.zeros(len(low), field.value.dtype)
    some = lengths > 0
    if not some.any():
        return answer
    positions = ranges(low[some], lengths[some])
    values = field.value[positions]
    if field.value.dtype == np.float64:
        neutral: float | int = np.inf if aggregate == "Min" else -np.inf
    else:
        limits = np.iinfo(np.int64)
        neutral = limits.max if aggregate == "Min" else limits.min
    values = np.where(field.present[positions], values, neutral)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[some])[:-1]])
    reduce = np.minimum.reduceat if aggregate == "Min" else np.maximum.reduceat
    answer[some] = reduce(values, offsets)
    return answer
