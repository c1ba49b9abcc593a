"""The online engine: the state of one view, advanced batch by batch, vectorised over the batch.

Every entity owns a segment of pooled arrays that holds its rows by event time: the time, and for each aggregated field the
value and the running sum of all values before it. A window's aggregate is then a difference between two positions, found by
a binary search over all rows at once. Sums wrap around int64; differences of wrapped sums are exact all the same.

A row that is older than the newest row of its entity is rare: the batch is cut there and the row is put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, FieldType
from pointsman.features.batch import DTYPES, Answers, FeatureBatch
from pointsman.features.clock import NEVER, Ints, Mask, lateness
from pointsman.features.definition import CompiledFeature, CompiledView

__all__ = ["FeatureBatch", "OnlineState"]

FIRST_CAPACITY = 8
FIRST_POOL = 1 << 14

Array = npt.NDArray[Any]


class _Field:
    """The pooled columns of one aggregated field."""

    def __init__(self, view: CompiledView, name: str, size: int) -> None:
        kind = view.field_types[name].type
        self.summed = kind in (FieldType.INTEGER, FieldType.DECIMAL)
        self.value: Array = np.zeros(size, DTYPES[kind])
        self.present: Mask = np.ones(size, np.bool_)
        self.sum_before: Ints = np.zeros(size if self.summed else 0, np.int64)
        self.count_before: Ints = np.zeros(size, np.int64)

    def columns(self) -> list[str]:
        return ["value", "present", "count_before", *(["sum_before"] if self.summed else [])]


class OnlineState:
    """What a view remembers. One writer; `advance`, then `commit` or `rollback`."""

    def __init__(self, view: CompiledView) -> None:
        self._view = view
        self._slots = dict[object, int]()
        self._start: Ints = np.zeros(FIRST_POOL, np.int64)
        self._length: Ints = np.zeros(FIRST_POOL, np.int64)
        self._capacity: Ints = np.zeros(FIRST_POOL, np.int64)
        self._used = 0
        self._times: Ints = np.zeros(FIRST_POOL, np.int64)
        self._fields = {name: _Field(view, name, FIRST_POOL) for name in view.fields}
        self._clock = NEVER
        self._kept_clock = NEVER
        self._undo = list[tuple[Ints, Ints] | tuple[int, int]]()

    @property
    def entities(self) -> int:
        """How many entities are remembered."""
        return len(self._slots)

    @property
    def pool_rows(self) -> int:
        """How many rows there is room for."""
        return len(self._times)

    def advance(self, entity: Column, event_time: Ints, fields: Mapping[str, Column]) -> FeatureBatch:
        """Look up and add rows, in sequence order; each sees the ones before it, of this batch too."""
        rows = len(event_time)
        late, stale, self._clock = lateness(self._view, event_time, self._clock)
        active = ~late if entity.missing is None else ~late & ~entity.missing
        places = np.flatnonzero(active)
        answers = Answers(self._view, rows)
        if len(places):
            slots = self._slots_of(entity.values[places].tolist())
            self._make_room(slots)
            times = event_time[places]
            at = 0
            while at < len(places):
                cut = self._first_inversion(slots[at:], times[at:])
                end = len(places) if cut is None else at + cut
                if end > at:
                    self._append(places[at:end], slots[at:end], times[at:end], fields, answers)
                if cut is not None:
                    self._insert(int(places[end]), int(slots[end]), int(times[end]), fields, answers)
                    end += 1
                at = end
        return answers.batch(late=late, stale=stale)

    def commit(self) -> None:
        """Keep what was advanced."""
        self._undo.clear()
        self._kept_clock = self._clock

    def rollback(self) -> None:
        """Be as before the last commit."""
        for step in reversed(self._undo):
            if isinstance(step[0], np.ndarray):
                self._length[step[0]] -= step[1]
            else:
                self._remove(int(step[0]), int(step[1]))
        self._undo.clear()
        self._clock = self._kept_clock

    def _slots_of(self, entities: list[object]) -> Ints:
        known = self._slots
        for each in entities:
            if each not in known:
                known[each] = len(known)
        if len(known) > len(self._start):
            more = np.zeros(max(len(known), 2 * len(self._start)) - len(self._start), np.int64)
            self._start = np.concatenate([self._start, more])
            self._length = np.concatenate([self._length, more])
            self._capacity = np.concatenate([self._capacity, more])
        return np.fromiter(map(known.__getitem__, entities), np.int64, len(entities))

    def _make_room(self, slots: Ints) -> None:
        """See to it that every slot can take its rows, before anything of the batch is written."""
        touched, counts = np.unique(slots, return_counts=True)
        short = self._length[touched] + counts > self._capacity[touched]
        if not short.any():
            return
        coming = np.zeros(len(self._slots), np.int64)
        coming[touched] = counts
        for slot in touched[short].tolist():
            self._drop_expired(slot)
            if self._length[slot] + coming[slot] > self._capacity[slot]:
                self._move(slot, coming)

    def _drop_expired(self, slot: int) -> None:
        """Drop the rows that the last committed clock has outlived: no row to come can see them."""
        if self._kept_clock == NEVER or self._undo:
            return
        start, length = int(self._start[slot]), int(self._length[slot])
        view = self._view
        oldest = self._kept_clock - view.window_us - view.allowed_lateness_us
        gone = int(np.searchsorted(self._times[start : start + length], oldest, side="right"))
        gone = min(gone, max(0, length - view.newest))
        if view.newest and view.allowed_lateness_us:
            newest_kept = self._kept_clock - view.allowed_lateness_us
            settled = int(np.searchsorted(self._times[start : start + length], newest_kept, side="right"))
            gone = min(gone, max(0, settled - view.newest))
        if gone:
            self._shift(start + gone, start + length, -gone)
            self._length[slot] = length - gone

    def _move(self, slot: int, coming: Ints) -> None:
        """Give a slot a larger segment at the end of the pool; where the pool is full, lay it out anew."""
        start, length = int(self._start[slot]), int(self._length[slot])
        capacity = int(_capacity(self._length[slot] + coming[slot]))
        if self._used + capacity > len(self._times):
            self._rearrange(coming)
            return
        for array in self._arrays():
            array[self._used : self._used + length] = array[start : start + length]
        self._start[slot], self._capacity[slot] = self._used, capacity
        self._used += capacity

    def _rearrange(self, coming: Ints) -> None:
        """Lay the live segments side by side in a fresh pool, each with room for the rows that are coming."""
        count = len(self._slots)
        for slot in np.flatnonzero(self._capacity[:count]).tolist():
            self._drop_expired(slot)
        lengths = self._length[:count]
        needed = lengths + coming
        capacities = np.where(needed > 0, _capacity(needed), 0)
        starts = np.cumsum(capacities) - capacities
        used = int(capacities.sum())
        size = max(FIRST_POOL, 2 * used)
        source = _ranges(self._start[:count], lengths)
        target = _ranges(starts, lengths)
        for owner, name in self._owners():
            old = getattr(owner, name)
            fresh = np.zeros(size, old.dtype)
            fresh[target] = old[source]
            setattr(owner, name, fresh)
        self._start[:count], self._capacity[:count], self._used = starts, capacities, used

    def forget(self) -> None:
        """Forget the entities of which nothing is left. Called between two batches; costs a pass over all of them."""
        for slot in range(len(self._slots)):
            self._drop_expired(slot)
        living = [(entity, slot) for entity, slot in self._slots.items() if self._length[slot]]
        order = np.fromiter((slot for _, slot in living), np.int64, len(living))
        for name in ("_start", "_length", "_capacity"):
            array = getattr(self, name)
            fresh = np.zeros(max(FIRST_POOL, len(living)), np.int64)
            fresh[: len(living)] = array[order]
            setattr(self, name, fresh)
        self._slots = {entity: at for at, (entity, _) in enumerate(living)}

    def _first_inversion(self, slots: Ints, times: Ints) -> int | None:
        """The first row that is older than a row of its entity before it, stored or of this batch."""
        order = np.argsort(slots, kind="stable")
        ordered, when = slots[order], times[order]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        length = self._length[ordered]
        stored = self._times[np.maximum(self._start[ordered] + length - 1, 0)]
        newest = np.where(length > 0, stored, NEVER)
        before = np.concatenate([[NEVER], when[:-1]])
        inverted = (when < newest) | (~first & (when < before))
        if not inverted.any():
            return None
        return int(order[inverted].min())

    def _append(self, places: Ints, slots: Ints, times: Ints, fields: Mapping[str, Column], answers: Answers) -> None:
        """Add rows that are in order for each entity, and answer them."""
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        counts = np.diff(np.append(first, len(ordered)))
        rank = np.arange(len(ordered)) - np.repeat(first, counts)
        length = self._length[ordered]
        start = self._start[ordered]
        position = start + length + rank
        rows = places[order]
        self._times[position] = times[order]
        for name, field in self._fields.items():
            values, present = _given(fields[name], rows)
            field.value[position], field.present[position] = values, present
            last = np.maximum(start + length - 1, 0)
            have = length > 0
            counted = present.astype(np.int64)
            field.count_before[position] = _running(counted, first, counts) + np.where(
                have, field.count_before[last] + field.present[last], 0
            )
            if field.summed:
                added = np.where(present, values, 0)
                base = field.sum_before[last] + np.where(field.present[last], field.value[last], 0)
                field.sum_before[position] = _running(added, first, counts) + np.where(have, base, 0)
        touched = ordered[first]
        self._length[touched] += counts
        self._undo.append((touched, counts))
        self._answer(rows, start, position, times[order], answers)

    def _insert(self, place: int, slot: int, time: int, fields: Mapping[str, Column], answers: Answers) -> None:
        """Put one row in its place among newer ones, and answer it: it sees those that are not newer."""
        start, length = int(self._start[slot]), int(self._length[slot])
        offset = int(np.searchsorted(self._times[start : start + length], time, side="right"))
        position = start + offset
        self._shift(position, start + length, 1)
        self._times[position] = time
        rows = np.array([place])
        for name, field in self._fields.items():
            values, present = _given(fields[name], rows)
            field.value[position], field.present[position] = values[0], present[0]
            tail = slice(position + 1, start + length + 1)
            if offset:
                last = position - 1
                field.count_before[position] = field.count_before[last] + field.present[last]
            else:
                field.count_before[position] = field.count_before[position + 1]
            field.count_before[tail] += int(present[0])
            if field.summed:
                if offset:
                    last = position - 1
                    known = field.value[last] if field.present[last] else 0
                    field.sum_before[position] = field.sum_before[last] + known
                else:
                    field.sum_before[position] = field.sum_before[position + 1]
                field.sum_before[tail] += np.int64(values[0] if present[0] else 0)
        self._length[slot] = length + 1
        self._undo.append((slot, offset))
        self._answer(rows, np.array([start]), np.array([position]), np.array([time]), answers)

    def _remove(self, slot: int, offset: int) -> None:
        """The reverse of `_insert`."""
        start, length = int(self._start[slot]), int(self._length[slot])
        position, tail = start + offset, slice(start + offset + 1, start + length)
        for field in self._fields.values():
            field.count_before[tail] -= int(field.present[position])
            if field.summed:
                field.sum_before[tail] -= np.int64(field.value[position] if field.present[position] else 0)
        self._shift(position + 1, start + length, -1)
        self._length[slot] = length - 1

    def _shift(self, start: int, stop: int, by: int) -> None:
        for array in self._arrays():
            array[start + by : stop + by] = array[start:stop].copy()

    def _arrays(self) -> list[Array]:
        return [getattr(owner, name) for owner, name in self._owners()]

    def _owners(self) -> list[tuple[object, str]]:
        return [(self, "_times")] + [(each, name) for each in self._fields.values() for name in each.columns()]

    def _answer(self, rows: Ints, start: Ints, position: Ints, times: Ints, answers: Answers) -> None:
        """Write the features of rows that stand at `position`, in segments that begin at `start`."""
        edges = dict[int | None, Ints]()
        for feature in self._view.features:
            if feature.window_us not in edges:
                edges[feature.window_us] = self._left_edge(feature.window_us, start, position, times)
            low = edges[feature.window_us]
            high = position + 1 if feature.include_current else position
            self._write(feature, rows, low, high, times, answers)

    def _left_edge(self, window_us: int | None, start: Ints, position: Ints, times: Ints) -> Ints:
        """For each row the first position whose time is newer than t - window: a binary search over all rows at once."""
        if window_us is None:
            return start.copy()
        low, high = start.copy(), position.copy()
        oldest = times - window_us
        while (searching := low < high).any():
            middle = (low + high) >> 1
            newer = self._times[np.minimum(middle, len(self._times) - 1)] > oldest
            high = np.where(searching & newer, middle, high)
            low = np.where(searching & ~newer, middle + 1, low)
        return low

    def _write(
        self, feature: CompiledFeature, rows: Ints, low: Ints, high: Ints, times: Ints, answers: Answers
    ) -> None:
        name, aggregate = feature.outputs[0], feature.aggregate
        if aggregate == "Count":
            answers.write(feature, name, rows, high - low)
            return
        if aggregate == "SinceLast":
            newest = self._times[np.maximum(high - 1, 0)]
            answers.write(feature, name, rows, (times - newest) / 1e6, high > low)
            return
        if aggregate == "Sequence":
            answers.write(feature, name, rows, self._sequence(feature, low, high, times))
            return
        assert feature.field is not None
        field = self._fields[feature.field]
        if aggregate == "Last":
            for back, output in enumerate(feature.outputs):
                at = np.maximum(high - 1 - back, 0)
                answers.write(feature, output, rows, field.value[at], (high - 1 - back >= low) & field.present[at])
            return
        count = _between(field.count_before, field.present, field.present, low, high)
        if aggregate in ("Sum", "Mean"):
            total = _between(field.sum_before, field.value, field.present, low, high)
            if aggregate == "Sum":
                answers.write(feature, name, rows, total)
            else:
                scale = float(10 ** self._view.field_types[feature.field].scale)
                mean = total.astype(np.float64) / np.maximum(count, 1) / scale
                answers.write(feature, name, rows, mean, count > 0)
            return
        answers.write(feature, name, rows, _extreme(field, aggregate, low, high), count > 0)

    def _sequence(self, feature: CompiledFeature, low: Ints, high: Ints, times: Ints) -> Array:
        """Rows by width: the newest positions of [low, high), the oldest first."""
        positions = high[:, None] - np.arange(feature.type.width, 0, -1)
        there = positions >= low[:, None]
        at = np.maximum(positions, 0)
        if feature.field is None:
            following = np.column_stack([self._times[at[:, 1:]], times])
            return np.where(there, (following - self._times[at]) / 1e6, 0.0)
        field = self._fields[feature.field]
        scale = float(10 ** self._view.field_types[feature.field].scale)
        return np.where(there & field.present[at], field.value[at] / scale, 0.0)


def _capacity(needed: Ints) -> Ints:
    """Half as much again as is needed."""
    capacity: Ints = np.maximum(FIRST_CAPACITY, needed + needed // 2)
    return capacity


def _given(column: Column, rows: Ints) -> tuple[Array, Mask]:
    present = np.ones(len(rows), np.bool_) if column.missing is None else ~column.missing[rows]
    return column.values[rows], present


def _running(values: Array, first: Ints, counts: Ints) -> Ints:
    """The sum of the values before each one, within its group."""
    before = np.cumsum(values) - values
    running: Ints = before - np.repeat(before[first], counts)
    return running


def _between(before: Ints, own: Array, present: Mask, low: Ints, high: Ints) -> Ints:
    """The sum over [low, high), from the sums before each position; nothing where the range is empty."""
    last = np.maximum(high - 1, 0)
    total = before[last] + np.where(present[last], own[last], 0) - before[np.minimum(low, len(before) - 1)]
    summed: Ints = np.where(high > low, total, 0)
    return summed


def _extreme(field: _Field, aggregate: str, low: Ints, high: Ints) -> Array:
    """Min or Max over [low, high) of the values that are present; 0 where there is none."""
    lengths = high - low
    answer = np.zeros(len(low), field.value.dtype)
    some = lengths > 0
    if not some.any():
        return answer
    positions = _ranges(low[some], lengths[some])
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


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """All positions of [start, start + length), range after range."""
    ends = np.cumsum(lengths)
    positions: Ints = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return positions
