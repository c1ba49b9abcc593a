"""What a host counts: each batch in columns while it is decided, added up once it is committed.

The engine keeps one `Stats`; whoever serves metrics reads it. Nothing here is done for a single event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from pointsman.decisions.record import DeadLetter
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import REVIEW, Evaluation, Triage

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for latencies; 50 ms and 200 ms are among them, since they are promised."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
SCORES = tuple(step / 20 for step in range(21))
RECENT_MINUTES = 60


class Histogram:
    """How many values were at most each bound, and their sum. One thread adds; any may read."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._edges = np.array(bounds, dtype=np.float64)
        self.counts: npt.NDArray[np.int64] = np.zeros(len(bounds) + 1, dtype=np.int64)
        """By bucket, the last one for what is above all bounds; never changed in place."""
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Add one value, as often as it was seen."""
        counts = self.counts.copy()
        counts[bisect_left(self.bounds, value)] += times
        self.counts, self.sum = counts, self.sum + value * times

    def add_all(self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64] | None = None) -> None:
        """Add a batch of values, none of them NaN; `times` is how often each was seen."""
        found = np.bincount(self._edges.searchsorted(values), times, minlength=len(self.counts))
        self.counts = self.counts + found.astype(np.int64)
        self.sum += float(values.sum() if times is None else values @ times)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """One batch's decisions, counted."""

    outcomes: tuple[tuple[str, str, int, float], ...] = ()
    """(band, outcome, how many, what `review.priority` names added up); the band is "" where there is no score"""
    because: tuple[tuple[str, int], ...] = ()
    """(why items go to a person, how many)"""
    automatic: int = 0
    """how many were carried out as their band says"""
    overflowed: int = 0
    """for how many people had no room"""
    scores: npt.NDArray[np.float64] | None = None


NOTHING = Tally()


@dataclass
class RecentShare:
    """Which share of decisions was automatic in the latest minutes in which any were made. One thread adds; any may read."""

    minutes: tuple[tuple[int, int, int], ...] = ()
    """(minute of the wall clock, automatic ones, all), oldest first; never changed in place"""

    def add(self, minute: int, automatic: int, decided: int) -> None:
        """Add a batch."""
        if not decided:
            return
        before = self.minutes
        if before and before[-1][0] == minute:
            _, *counts = before[-1]
            automatic, decided, before = automatic + counts[0], decided + counts[1], before[:-1]
        self.minutes = (*before[1 - RECENT_MINUTES :], (minute, automatic, decided))

    @property
    def share(self) -> float | None:
        """From 0 to 1; None before the first decision."""
        minutes = self.minutes
        decided = sum(each[2] for each in minutes)
        return sum(each[1] for each in minutes) / decided if decided else None


@dataclass
class Stats:
    """What happened since the host started; seconds and rows are by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    received: int = 0
    decided: int = 0
    duplicates: int = 0
    overdue: int = 0
    overflowed: int = 0
    """Decisions that people were to make and had no room for"""
    recoveries: int = 0
    """How often the graph was taken over and its state rebuilt: once at the start, and whenever the store went away"""
    last_commit: float | None = None
    """On the wall clock; None before the first batch is committed"""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    at_stake: dict[tuple[str, str], float] = field(default_factory=dict)
    because: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    scores: Histogram = field(default_factory=lambda: Histogram(SCORES))
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))
    synchronous: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """From arrival to committed, of events whose caller waits for that one"""
    stream: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """The same of events that came in company"""
    recent: RecentShare = field(default_factory=RecentShare)

    def committed(
        self, *, decided_at: datetime, received: int, duplicates: int, letters: Sequence[DeadLetter], tally: Tally
    ) -> None:
        """A batch is durable."""
        self.last_commit = decided_at.timestamp()
        self.batches += 1
        self.received += received
        self.duplicates += duplicates
        if letters:
            self.dead_letters.update(each.reason.value for each in letters)
        self.sizes.add(received)
        decided = sum(count for _, _, count, _ in tally.outcomes)
        self.recent.add(int(self.last_commit // 60), tally.automatic, decided)
        self.decided += decided
        self.overflowed += tally.overflowed
        for band, outcome, count, stake in tally.outcomes:
            self.outcomes[band, outcome] += count
            self.at_stake[band, outcome] = self.at_stake.get((band, outcome), 0.0) + stake
        for reason, count in tally.because:
            self.because[reason] += count
        if tally.scores is not None:
            self.scores.add_all(tally.scores)

    def waited(self, arrived: Sequence[float], events: Sequence[int], synchronous: Sequence[bool], now: float) -> None:
        """Submissions are committed: when each arrived, of how many events, and whether a caller waits for that one."""
        if len(arrived) == 1:
            (self.synchronous if synchronous[0] else self.stream).add(now - arrived[0], events[0])
            return
        seconds, times, waits = now - np.array(arrived), np.array(events, np.int64), np.array(synchronous, np.bool_)
        for histogram, which in ((self.synchronous, waits), (self.stream, ~waits)):
            if which.any():
                histogram.add_all(seconds[which], times[which])


def tally(graph: CompiledGraph, evaluation: Evaluation, concluded: Triage) -> Tally:
    """Count a decided batch."""
    way = np.where(concluded.shadowed, 3, np.where(concluded.overflowed, 2, concluded.to_review))
    place = 4 * (concluded.band + 1) + way
    size = 4 * len(graph.band_names) + 4
    counts = np.bincount(place, minlength=size).tolist()
    stakes = [0.0] * size
    if graph.priority_column is not None:
        amounts = np.fmax(evaluation.columns[graph.priority_column].double(), 0.0)  # a counter does not go down
        stakes = np.bincount(place, amounts, minlength=size).tolist()
    bands, shadow = ("", *graph.band_names), "" if graph.shadow is None else graph.shadow.outcome
    ways = (REVIEW, graph.overflow_outcome or "", shadow)
    outcomes = [each for outcome in (REVIEW, *graph.outcomes) for each in (outcome, *ways)]
    scores = evaluation.score
    known = ~np.isnan(scores)
    return Tally(
        outcomes=tuple((bands[at // 4], outcomes[at], count, stakes[at]) for at, count in enumerate(counts) if count),
        because=tuple((reason, int(np.count_nonzero(mask))) for reason, mask in concluded.because.items()),
        automatic=sum(count for at, count in enumerate(counts) if at % 4 == 0 and outcomes[at] != REVIEW),
        overflowed=int(np.count_nonzero(concluded.overflowed)),
        scores=scores if known.all() else scores[known],
    )
