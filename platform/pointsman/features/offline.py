"""The offline engine: features as of each row's moment, over a whole history at once. For training, and to check `online`.

Entity by entity, every row is compared with every other: which rows it sees is written down as a matrix. It is slower than
the online engine, and so plain that it can be read against the definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column
from pointsman.features.batch import Answers, FeatureBatch
from pointsman.features.clock import NEVER, Ints, Mask, lateness
from pointsman.features.definition import CompiledFeature, CompiledView

MATRIX_CELLS = 4_000_000
"""A matrix is cut into bands of rows of at most so many cells."""


def as_of(view: CompiledView, entity: Column, event_time: Ints, fields: Mapping[str, Column]) -> FeatureBatch:
    """The features of all rows, given in sequence order."""
    late, stale, _ = lateness(view, event_time, NEVER)
    counted = ~late if entity.missing is None else ~late & ~entity.missing
    rows = np.flatnonzero(counted)
    answers = Answers(view, len(event_time))
    if len(rows):
        _, codes = np.unique(entity.values[rows], return_inverse=True)
        order = np.argsort(codes, kind="stable")
        borders = np.flatnonzero(np.diff(codes[order])) + 1
        for group in np.split(rows[order], borders):
            _answer_entity(view, group, event_time, fields, answers)
    return answers.batch(late=late, stale=stale)


def _answer_entity(
    view: CompiledView, group: Ints, event_time: Ints, fields: Mapping[str, Column], answers: Answers
) -> None:
    """One entity's rows, in sequence order."""
    times = event_time[group]
    for band in _bands(len(group)):
        asked = group[band]
        seen_times = times[: band.stop]
        here = times[band][:, None]
        sequence = np.arange(band.stop)
        not_newer = seen_times <= here
        for feature in view.features:
            own = np.arange(band.start, band.stop)[:, None]
            earlier = sequence <= own if feature.include_current else sequence < own
            visible = not_newer & earlier
            if feature.window_us is not None:
                visible &= seen_times > here - feature.window_us
            _write(feature, view, asked, group[: band.stop], visible, times[band], event_time, fields, answers)


def _bands(rows: int) -> Iterator[slice]:
    height = max(1, MATRIX_CELLS // max(rows, 1))
    for start in range(0, rows, height):
        yield slice(start, min(rows, start + height))


def _write(
    feature: CompiledFeature,
    view: CompiledView,
    asked: Ints,
    seen: Ints,
    visible: Mask,
    now: Ints,
    event_time: Ints,
    fields: Mapping[str, Column],
    answers: Answers,
) -> None:
    name, aggregate = feature.outputs[0], feature.aggregate
    if aggregate == "Count":
        answers.write(feature, name, asked, visible.sum(axis=1))
        return
    times = event_time[seen]
    if aggregate == "SinceLast":
        newest = np.where(visible, times, NEVER).max(axis=1, initial=NEVER)
        heard = np.asarray(visible.any(axis=1))
        answers.write(feature, name, asked, (now - np.where(heard, newest, now)) / 1e6, heard)
        return
    if aggregate == "Sequence":
        answers.write(feature, name, asked, _sequence(feature, view, seen, visible, now, times, fields))
        return
    assert feature.field is not None
    column = fields[feature.field]
    values = column.values[seen]
    present = np.ones(len(seen), np.bool_) if column.missing is None else ~column.missing[seen]
    if aggregate == "Last":
        by_age = np.lexsort((np.arange(len(seen)), times))[::-1]
        ranked = visible[:, by_age]
        number = np.cumsum(ranked, axis=1)
        for back, output in enumerate(feature.outputs):
            chosen = ranked & (number == back + 1)
            at = by_age[chosen.argmax(axis=1)]
            answers.write(feature, output, asked, values[at], np.asarray(chosen.any(axis=1) & present[at]))
        return
    used = visible & present
    some = np.asarray(used.any(axis=1))
    if aggregate in ("Sum", "Mean"):
        total = np.where(used, values, 0).sum(axis=1, dtype=np.int64)
        if aggregate == "Sum":
            answers.write(feature, name, asked, total)
        else:
            scale = float(10 ** view.field_types[feature.field].scale)
            mean = total.astype(np.float64) / np.maximum(used.sum(axis=1), 1) / scale
            answers.write(feature, name, asked, mean, some)
        return
    limits = np.iinfo(np.int64) if values.dtype == np.int64 else np.finfo(np.float64)
    if aggregate == "Min":
        extreme = np.where(used, values, limits.max).min(axis=1, initial=limits.max)
    else:
        extreme = np.where(used, values, limits.min).max(axis=1, initial=limits.min)
    answers.write(feature, name, asked, extreme, some)


def _sequence(
    feature: CompiledFeature,
    view: CompiledView,
    seen: Ints,
    visible: Mask,
    now: Ints,
    times: Ints,
    fields: Mapping[str, Column],
) -> npt.NDArray[np.float64]:
    """The newest visible rows of each asked row, written from the right."""
    width = feature.type.width
    answer = np.zeros((len(visible), width))
    by_time = np.lexsort((np.arange(len(seen)), times))
    for row, sees in enumerate(visible):
        newest = by_time[sees[by_time]][-width:]
        if not len(newest):
            continue
        if feature.field is None:
            answer[row, -len(newest) :] = np.diff(np.append(times[newest], now[row])) / 1e6
        else:
            column = fields[feature.field]
            scale = float(10 ** view.field_types[feature.field].scale)
            values = column.values[seen[newest]] / scale
            if column.missing is not None:
                values = np.where(column.missing[seen[newest]], 0.0, values)
            answer[row, -len(newest) :] = values
    return answer
