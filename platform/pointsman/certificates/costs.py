"""What a pair of thresholds costs a day, and how many items people see then: what `choose` weighs pairs by. Pure.

The share of the items between two thresholds is that of all decisions, labelled or not; how many of those outside are wrong,
and at what cost, is estimated from the labelled ones, each of which stands for as many as its propensity says. All of it is
about decisions that test nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pointsman.certificates.labelled import Labelled

Floats = npt.NDArray[np.float64]

MINUTES = 60


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user says of costs, in one currency, and of the reviewers' time.

    `missed` and `stopped` are what it costs to let an item pass of which the label is true, and to stop one of which it is
    false: CEL over the event's fields, such as `event.amount`, or a number.
    """

    missed: str = "0"
    stopped: str = "0"
    review: float = 1.0
    """what it costs that a person sees an item"""
    minutes: float | None = None
    """how long that takes"""
    hours: float | None = None
    """how many hours a day the reviewers have, all together"""

    @property
    def most_reviewed(self) -> float:
        """Items a day that the reviewers have hours for; infinitely many where nothing is said of that."""
        return math.inf if self.minutes is None or self.hours is None else self.hours * MINUTES / self.minutes


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Decisions with a score, labelled or not, and over how many days they came."""

    ids: Sequence[bytes]
    scores: Floats
    days: float

    @property
    def a_day(self) -> float:
        return len(self.ids) / self.days


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a pair of thresholds leads to, a day."""

    reviewed: float
    missed: float
    stopped: float
    cost: float


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What pairs are weighed on.

    `scores` are those of decisions, labelled or not, of which there are `a_day`; `costs` has what each of the labelled ones
    costs where a band decides it wrongly; `audited` is the share of automatic items that people see all the same.
    """

    labelled: Labelled
    costs: Floats
    scores: Floats
    a_day: float
    review: float = 1.0
    most_reviewed: float = math.inf
    audited: float = 0.0

    @classmethod
    def plain(cls, labelled: Labelled) -> Scales:
        """Labelled decisions that are all there is, and only a person's look costs anything."""
        return cls(labelled=labelled, costs=np.zeros(len(labelled)), scores=labelled.scores, a_day=len(labelled))

    def expected(self, low: float, high: float) -> Expected:
        """Where all below `low` pass, all from `high` on are stopped, and people see the others."""
        passed, missed = (float(each[0]) for each in self.passed(np.array([low])))
        stopped, wrongly = (float(each[0]) for each in self.stopped(np.array([high])))
        reviewed = self.a_day - (passed + stopped) * (1 - self.audited)
        cost = self.review * reviewed + missed + wrongly
        return Expected(reviewed=reviewed, missed=missed, stopped=wrongly, cost=cost)

    def passed(self, lows: Floats) -> tuple[Floats, Floats]:
        """How many items a day lie below each of these thresholds, and what those of them cost that should not have passed."""
        share = np.searchsorted(self._sorted, lows) / len(self._sorted)
        all_, wrong = self._weights, np.where(self.labelled.labels, self._weights * self.costs, 0.0)
        return self.a_day * share, self.a_day * share * self._mean(wrong, all_, lows, below=True)

    def stopped(self, highs: Floats) -> tuple[Floats, Floats]:
        """The same from each of these thresholds on, of those that should have passed."""
        share = 1 - np.searchsorted(self._sorted, highs) / len(self._sorted)
        all_, wrong = self._weights, np.where(self.labelled.labels, 0.0, self._weights * self.costs)
        return self.a_day * share, self.a_day * share * self._mean(wrong, all_, highs, below=False)

    def _mean(self, part: Floats, whole: Floats, thresholds: Floats, *, below: bool) -> Floats:
        """The sum of the one over the sum of the other, among the labelled on that side of each threshold; 0 without any."""
        order = np.argsort(self.labelled.scores, kind="stable")
        ends = np.searchsorted(self.labelled.scores[order], thresholds)
        sums = [np.concatenate([[0.0], np.cumsum(each[order])]) for each in (part, whole)]
        inside = [each[ends] if below else each[-1] - each[ends] for each in sums]
        found = np.zeros(len(ends))
        np.divide(inside[0], inside[1], out=found, where=inside[1] > 0)
        return found

    @cached_property
    def _sorted(self) -> Floats:
        return np.sort(self.scores)

    @cached_property
    def _weights(self) -> Floats:
        propensities = self.labelled.propensities
        return np.ones(len(self.labelled)) if propensities is None else 1 / propensities
