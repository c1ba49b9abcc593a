"""Chooses the thresholds that are worth testing, on the half of the items that does not test them; then, of those that are
certified, the pair that costs least within the reviewers' hours.

Of each threshold an exact test says how probable so few wrong items would be if its promise were broken. Of the pairs (below
the first nobody is stopped, from the second on everybody) that keep their promises so far, those are tested that cost least
within the reviewers' hours, one for every level of doubt: one that only just holds here will not hold on the other half.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from pointsman.certificates import bounds
from pointsman.certificates.certify import Candidates, Interval, Outcome, Tested
from pointsman.certificates.costs import Expected, Scales
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import Promised

QUANTILES = 400
"""Thresholds of a band that are looked at"""
DOUBTS = (1.0, 1e-1, 1e-2, 1e-4)
"""How much less probable than the promise's δ a band's errors must be here"""

Floats = npt.NDArray[np.float64]
Pair = tuple[float, float]
"""Where the lowest band ends, and where the highest begins; infinite where there is no such band to choose for"""


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """Pairs that are worth a test, the most promising first and the stated one last, of the outermost bands."""

    pairs: tuple[Pair, ...]
    lowest: Promised | None
    highest: Promised | None

    def by_band(self) -> Candidates:
        """What is to be tested of each band."""
        found = dict[str, Sequence[Interval]]()
        if self.lowest is not None:
            found[self.lowest.name] = list(dict.fromkeys((-math.inf, low) for low, _ in self.pairs))
        if self.highest is not None:
            found[self.highest.name] = list(dict.fromkeys((high, math.inf) for _, high in self.pairs))
        return found


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A pair with what became of its two tests (None: no such band), and what it leads to where both bands act."""

    pair: Pair
    low: Tested | None
    high: Tested | None
    expected: Expected

    @property
    def certified(self) -> bool:
        return all(each is None or each.certified for each in (self.low, self.high))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was considered, and which of it is chosen: None where no band of it is certified."""

    considered: tuple[Considered, ...]
    chosen: Considered | None
    most_reviewed: float

    @property
    def is_within_hours(self) -> bool:
        return self.chosen is not None and self.chosen.expected.reviewed <= self.most_reviewed


def propose(
    scales: Scales, promises: Sequence[Promised], allowed: Callable[[float, float], bool] = lambda low, high: True
) -> Proposed:
    """Pairs to test. `allowed` says of a pair whether the graph's bands can have it.

    Labels are taken as they are, unweighted, to tell which pairs may hold: those need not be right, only worth testing.
    """
    lowest = next((band for band in promises if band.low == -math.inf and not band.label), None)
    highest = next((band for band in promises if band.high == math.inf and band.label), None)
    stated = (-math.inf if lowest is None else lowest.high, math.inf if highest is None else highest.low)
    lows, highs = _tried(scales.labelled, lowest), _tried(scales.labelled, highest)
    best = list[Pair]()
    if lows is not None or highs is not None:
        best = [
            pair
            for doubt in DOUBTS
            for pair in _cheapest(scales, _held(lows, doubt, stated[0]), _held(highs, doubt, stated[1]), allowed)
        ]
    different = list(dict.fromkeys(best))[: bounds.MOST_CANDIDATES - 1]
    return Proposed(pairs=tuple(dict.fromkeys([*different, stated])), lowest=lowest, highest=highest)


def choose(outcomes: Sequence[Outcome], proposed: Proposed, scales: Scales) -> tuple[Choice, list[Outcome]]:
    """The least expected cost of all pairs of certified thresholds within the reviewers' hours, and the outcomes that say so.

    Where none is within them it is the pair that leaves people the least. Any of what is certified may be taken: the
    tests of a band hold all at once. A band without a certified threshold leaves all its items to people.
    """
    of = {each.band.name: each for each in outcomes}
    low = None if proposed.lowest is None else of[proposed.lowest.name]
    high = None if proposed.highest is None else of[proposed.highest.name]
    lows, highs = _tests(low), _tests(high)

    def considered(low_: Tested | None, high_: Tested | None) -> Considered:
        pair = (-math.inf if low_ is None else low_.high, math.inf if high_ is None else high_.low)
        return Considered(pair=pair, low=low_, high=high_, expected=scales.expected(*pair))

    certified = [
        considered(*each)
        for each in itertools.product(_certified(lows), _certified(highs))
        if any(each) and (None in each or each[0].high <= each[1].low)  # type: ignore[union-attr]
    ]
    within = [each for each in certified if each.expected.reviewed <= scales.most_reviewed]
    chosen = min(
        within or certified,
        key=lambda each: (each.expected.cost, 0) if within else (each.expected.reviewed, each.expected.cost),
        default=None,
    )
    table = [considered(lows.get(pair[0]), highs.get(pair[1])) for pair in proposed.pairs]
    if chosen is not None and chosen.pair not in [each.pair for each in table]:
        table.append(chosen)
    choice = Choice(considered=tuple(table), chosen=chosen, most_reviewed=scales.most_reviewed)
    taken = () if chosen is None else (chosen.low, chosen.high)
    return choice, [
        replace(each, test=next((test for test in taken if test in each.tried), each.test)) for each in outcomes
    ]


def _tests(outcome: Outcome | None) -> dict[float, Tested]:
    """What was tested of an outermost band, by its inner threshold."""
    if outcome is None:
        return {}
    return {each.high if each.low == -math.inf else each.low: each for each in outcome.tried}


def _certified(tests: dict[float, Tested]) -> Sequence[Tested | None]:
    return [each for each in tests.values() if each.certified] or [None]


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """Thresholds of one band, and how much less probable than its δ their errors would be, were the promise broken."""

    thresholds: Floats
    doubts: Floats


def _tried(items: Labelled, band: Promised | None) -> _Tried | None:
    """Those of a band that could keep its promise; None where none could."""
    if band is None or not len(items):
        return None
    wrong = items.labels != band.label
    order = np.argsort(items.scores if not band.label else -items.scores, kind="stable")
    scores, errors = items.scores[order], np.cumsum(wrong[order])
    ends = np.unique(np.linspace(1, len(scores) - 1, QUANTILES).astype(np.intp))
    ends = ends[scores[ends] != scores[ends - 1]]  # a threshold lies between two different scores
    doubts = stats.binom.cdf(errors[ends - 1], ends, band.alpha) / band.delta
    # `below` excludes its score, `atLeast` includes it
    edges = scores[ends - 1 if band.label else ends][doubts <= 1]
    if not len(edges):
        return None
    return _Tried(
        thresholds=np.array([_short(each, band.label) for each in edges.tolist()]), doubts=doubts[doubts <= 1]
    )


def _held(tried: _Tried | None, doubt: float, stated: float) -> Floats:
    """The thresholds that hold with so little doubt, or the most certain one; the stated one of a band that has none."""
    if tried is None:
        return np.array([stated])
    held: Floats = tried.thresholds[tried.doubts <= max(doubt, float(tried.doubts.min()))]
    return held


def _short(threshold: float, upwards: bool) -> float:
    """A threshold that a person can write: rounded to the side on which the band becomes smaller."""
    rounded = round(threshold, 6)
    if upwards and rounded < threshold:
        rounded = round(rounded + 1e-6, 6)
    if not upwards and rounded > threshold:
        rounded = round(rounded - 1e-6, 6)
    return rounded


def _cheapest(scales: Scales, lows: Floats, highs: Floats, allowed: Callable[[float, float], bool]) -> Iterator[Pair]:
    """The cheapest pair within the hours; where there is none, the one that leaves people the least."""
    (passed, missed), (stopped, wrongly) = scales.passed(lows), scales.stopped(highs)
    reviewed = scales.a_day - (passed[:, None] + stopped[None, :]) * (1 - scales.audited)
    cost = scales.review * reviewed + missed[:, None] + wrongly[None, :]
    over = np.maximum(reviewed - scales.most_reviewed, 0.0)
    over[lows[:, None] > highs[None, :]] = math.inf
    for at in np.lexsort((cost.ravel(), over.ravel())).tolist():
        low, high = float(lows[at // len(highs)]), float(highs[at % len(highs)])
        if low <= high and allowed(low, high):
            yield low, high
            return
