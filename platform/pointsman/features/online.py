"""The online engine: the state of one view, advanced batch by batch, vectorised over the batch.

Every entity owns a segment of pooled arrays that holds its rows by event time: the time, and for each aggregated field the
value and the running sum of all values before it. `aggregates` answers from them. Sums wrap around int64; differences of
wrapped sums are exact all the same.

A row that is older than the newest row of its entity is rare: the batch is cut there and the row is put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column
from pointsman.features.aggregates import FieldRows, answer, count_not_newer, ranges
from pointsman.features.batch import Answers, FeatureBatch
from pointsman.features.clock import NEVER, Ints, Mask, lateness
from pointsman.features.definition import CompiledView

__all__ = ["FeatureBatch", "OnlineState"]

FIRST_CAPACITY = 8
FIRST_POOL = 1 << 14

Array = npt.NDArray[Any]


class Groups:
    """Rows by slot: their stable `order`, and for each of the `slots` where its rows begin (`first`) and their `counts`."""

    def __init__(self, slots: Ints) -> None:
        self.order = np.argsort(slots, kind="stable")
        ordered = slots[self.order]
        begins = np.empty(len(slots), np.bool_)
        begins[0] = True
        np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
        self.first = np.flatnonzero(begins)
        self.slots: Ints = ordered[self.first]
        self.counts = np.diff(self.first, append=len(slots))


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
        self._fields = {name: FieldRows(view, name, FIRST_POOL) for name in view.fields}
        self._clock = NEVER
        self._kept_clock = NEVER
        self._undo = list[tuple[Ints, Ints] | tuple[int, int]]()

    @property
    def entities(self) -> int:
        """How many entities are remembered."""
        return len(self._slots)

    @property
    def newest(self) -> int | None:
        """The newest event time of what was committed, in microseconds; None before the first event."""
        clock = self._kept_clock
        return None if clock == NEVER else int(clock)

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
            groups = Groups(slots)
            self._make_room(groups.slots, groups.counts)
            times = event_time[places]
            at = 0
            while at < len(places):
                if at == len(places) - 1:  # alone it is cheaper to put in its place, wherever that is
                    self._insert(int(places[at]), int(slots[at]), int(times[at]), fields, answers)
                    break
                if at:
                    groups = Groups(slots[at:])
                cut = self._first_inversion(groups, times[at:])
                end = len(places) if cut is None else at + cut
                if cut is None:
                    self._append(places[at:], groups, times[at:], fields, answers)
                elif cut:
                    self._append(places[at:end], Groups(slots[at:end]), times[at:end], fields, answers)
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
        slots = np.array([known.setdefault(each, len(known)) for each in entities], np.int64)
        if len(known) > len(self._start):
            more = np.zeros(max(len(known), 2 * len(self._start)) - len(self._start), np.int64)
            self._start = np.concatenate([self._start, more])
            self._length = np.concatenate([self._length, more])
            self._capacity = np.concatenate([self._capacity, more])
        return slots

    def _make_room(self, touched: Ints, counts: Ints) -> None:
        """See to it that every slot can take so many rows, before anything of the batch is written."""
        short = self._length[touched] + counts > self._capacity[touched]
        if not short.any():
            return
        slots, coming = touched[short], counts[short]
        gone = self._outlived(slots)
        kept = self._length[slots] - gone
        moving = kept + coming > self._capacity[slots]
        capacity = np.where(moving, _capacity(kept + coming), 0)
        if self._used + int(capacity.sum()) > len(self._times):
            self._rearrange(touched, counts)
            return
        begin = np.where(moving, self._used + np.cumsum(capacity) - capacity, self._start[slots])
        source, target = ranges(self._start[slots] + gone, kept), ranges(begin, kept)
        for array in self._arrays():
            array[target] = array[source]
        self._used += int(capacity.sum())
        self._start[slots], self._length[slots] = begin, kept
        self._capacity[slots] = np.where(moving, capacity, self._capacity[slots])

    def _outlived(self, slots: Ints) -> Ints:
        """How many of each slot's oldest rows the last committed clock has outlived: no row to come can see them."""
        if self._kept_clock == NEVER or self._undo:
            return np.zeros(len(slots), np.int64)
        view, start, length = self._view, self._start[slots], self._length[slots]
        end = start + length
        oldest = np.array([self._kept_clock - view.window_us - view.allowed_lateness_us])
        gone = np.minimum(count_not_newer(self._times, start, end, oldest), np.maximum(0, length - view.newest))
        if view.newest and view.allowed_lateness_us:
            settled = count_not_newer(self._times, start, end, np.array([self._kept_clock - view.allowed_lateness_us]))
            gone = np.minimum(gone, np.maximum(0, settled - view.newest))
        return gone

    def _rearrange(self, touched: Ints, counts: Ints) -> None:
        """Lay the live rows of all segments side by side in a fresh pool, each with room for the rows that are coming."""
        slots = np.arange(len(self._slots))
        gone = self._outlived(slots)
        kept = self._length[slots] - gone
        needed = kept.copy()
        needed[touched] += counts
        capacities = np.where(needed > 0, _capacity(needed), 0)
        begin = np.cumsum(capacities) - capacities
        self._used = int(capacities.sum())
        size = max(FIRST_POOL, 2 * self._used)
        source, target = ranges(self._start[slots] + gone, kept), ranges(begin, kept)
        for owner, name in self._owners():
            old = getattr(owner, name)
            fresh = np.zeros(size, old.dtype)
            fresh[target] = old[source]
            setattr(owner, name, fresh)
        self._start[slots], self._length[slots], self._capacity[slots] = begin, kept, capacities

    def forget(self) -> None:
        """Forget the entities of which nothing is left. Called between two batches; costs a pass over all of them."""
        self._rearrange(np.zeros(0, np.int64), np.zeros(0, np.int64))
        living = [(entity, slot) for entity, slot in self._slots.items() if self._length[slot]]
        order = np.fromiter((slot for _, slot in living), np.int64, len(living))
        for name in ("_start", "_length", "_capacity"):
            array = getattr(self, name)
            fresh = np.zeros(max(FIRST_POOL, len(living)), np.int64)
            fresh[: len(living)] = array[order]
            setattr(self, name, fresh)
        self._slots = {entity: at for at, (entity, _) in enumerate(living)}

    def _first_inversion(self, groups: Groups, times: Ints) -> int | None:
        """The first row that is older than a row of its entity before it, stored or of this batch."""
        when = times[groups.order]
        length = self._length[groups.slots]
        stored = self._times[np.maximum(self._start[groups.slots] + length - 1, 0)]
        newest = np.where(length > 0, stored, NEVER)
        before = np.empty_like(when)
        before[1:] = when[:-1]
        before[groups.first] = newest
        if (when >= before).all():
            return None
        inverted = when < np.maximum(before, np.repeat(newest, groups.counts))
        return int(groups.order[inverted].min())

    def _append(
        self, places: Ints, groups: Groups, times: Ints, fields: Mapping[str, Column], answers: Answers
    ) -> None:
        """Add rows that are in order for each entity, and answer them."""
        order, first, counts = groups.order, groups.first, groups.counts
        start, length = np.repeat(self._start[groups.slots], counts), np.repeat(self._length[groups.slots], counts)
        position = start + length + np.arange(len(order)) - np.repeat(first, counts)
        rows = places[order]
        self._times[position] = times[order]
        last, have = np.maximum(start + length - 1, 0), length > 0
        for name, field in self._fields.items():
            values, present = _given(fields[name], rows)
            field.value[position], field.present[position] = values, present
            for before, own, added in field.running(values, present):
                base = before[last] + np.where(field.present[last], own[last], 0)
                before[position] = _running(added, first, counts) + np.where(have, base, 0)
        self._length[groups.slots] += counts
        self._undo.append((groups.slots, counts))
        self._answer(rows, start, position, times[order], answers)

    def _insert(self, place: int, slot: int, time: int, fields: Mapping[str, Column], answers: Answers) -> None:
        """Put one row in its place, and answer it: it sees those that are not newer."""
        start, length = int(self._start[slot]), int(self._length[slot])
        end = start + length
        position = start + int(np.searchsorted(self._times[start:end], time, side="right"))
        if position < end:
            self._shift(position, end, 1)
        self._times[position] = time
        rows = np.array([place])
        here, last = slice(position, position + 1), slice(position - 1, position)
        follower, tail = slice(position + 1, position + 2), slice(position + 1, end + 1)
        for name, field in self._fields.items():
            values, present = _given(fields[name], rows)
            field.value[here], field.present[here] = values, present
            for before, own, added in field.running(values, present):
                if position > start:
                    before[here] = before[last] + np.where(field.present[last], own[last], 0)
                else:
                    before[here] = before[follower] if length else 0
                if position < end:
                    before[tail] += added
        self._length[slot] = length + 1
        self._undo.append((slot, position - start))
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
        answer(
            self._view,
            self._times,
            self._fields,
            rows=rows,
            start=start,
            position=position,
            times=times,
            answers=answers,
        )


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
