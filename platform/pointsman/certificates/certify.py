"""Certifies bands on labelled decisions: for each band and segment what a certificate may say, or what is still needed.

Thresholds are tested on the half of the items that had no part in choosing them. With propensities the test is for the
weighted error of all items from which the labelled ones were drawn; without, it is for items that are labelled as these were.
Scores of more than two classes are not certified.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pointsman.certificates import bounds, weighted
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import Promised, fewest

Method = Literal["ClopperPearson", "Betting"]
Interval = tuple[float, float]
"""Scores of at least the first and below the second"""

EVERY_DECISION = "all decisions of the band from which the labelled ones were drawn with the recorded probabilities"
MATURED = "all decisions of the band that passed, and are old enough for silence to have spoken about them"
AS_LABELLED = "decisions of the band that come to be labelled in the way of these; nothing is claimed about others"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One pair of thresholds of a band, tested on items that did not choose it."""

    low: float
    high: float
    wrong: int
    labelled: int
    rate: float
    p_value: float
    bound: float
    """at the level that Holm's correction gave it"""
    certified: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a band, or of one segment of it: the candidate that is certified, or the most promising one."""

    band: Promised
    segment: str | None
    test: Tested
    tried: tuple[Tested, ...]
    method: Method
    population: str
    needed: int | None
    """further labelled items of the band until it can be certified, if they are wrong as seldom; None: they never can"""

    @property
    def certified(self) -> bool:
        return self.test.certified

    @property
    def candidates(self) -> int:
        return len(self.tried)

    def what_is_needed(self, days: float | None = None) -> str:
        """One sentence for people; nothing where it is certified. `days` are those in which the labelled items came, if known."""
        if self.certified:
            return ""
        test, band = self.test, self.band
        if self.needed is None:
            return (
                f"{test.wrong} of {test.labelled:,} labelled items are wrong ({test.rate:.3%}), which is not below the "
                f"promised {band.alpha:.4%}: more items do not help, another threshold or another promise does"
            )
        least = fewest(band.alpha, band.delta)
        said = (
            f"about {self.needed:,} more labelled items of the band, wrong as seldom as now ({test.wrong} of "
            f"{test.labelled:,}); half of them test the threshold, and without one that is wrong {least:,} do"
        )
        if days is None or not test.labelled:
            return said
        a_day = 2 * test.labelled / days  # the other half was there to choose
        return f"{said}; at the {a_day:,.0f} a day that came so far it takes {math.ceil(self.needed / a_day):,} days"


Candidates = Mapping[str, Sequence[Interval]]
"""By band, the thresholds to try, the most promising first; a band that is left out keeps those that it has"""


def certify(labelled: Labelled, promises: Sequence[Promised], candidates: Candidates | None = None) -> list[Outcome]:
    """Test each band, or each segment of it where the items have segments, on the half that has no part in choosing.

    Raises weighted.WeightsOutOfBounds, and ValueError where a band has too many candidates.
    """
    return certify_on(halves(labelled)[1], promises, candidates)


def certify_on(tested: Labelled, promises: Sequence[Promised], candidates: Candidates | None = None) -> list[Outcome]:
    """The same on all of these items, none of which chose a candidate."""
    return [
        outcome
        for band in promises
        for segment, items in _by_segment(tested)
        for outcome in [_certify(items, band, (candidates or {}).get(band.name) or [(band.low, band.high)], segment)]
    ]


def _by_segment(labelled: Labelled) -> Iterator[tuple[str | None, Labelled]]:
    if labelled.segments is None:
        yield None, labelled
        return
    for value in sorted({each for each in labelled.segments.tolist() if each is not None}):
        yield value, labelled.take(labelled.segments == value)


def _certify(items: Labelled, band: Promised, candidates: Sequence[Interval], segment: str | None) -> Outcome:
    items, population = _population(items.take(_anywhere(items, candidates)))
    method: Method = "ClopperPearson" if _are_drawn_alike(items) else "Betting"
    inside = [(items.scores >= low) & (items.scores < high) for low, high in candidates]
    wrong = items.labels != band.label
    p_values = [_p_value(items, wrong, mask, band.alpha, method) for mask in inside]
    passed = bounds.holm(p_values, band.delta)
    ascending = sorted(range(len(candidates)), key=lambda at: p_values[at])
    tests = [
        Tested(
            low=low,
            high=high,
            wrong=int(wrong[mask].sum()),
            labelled=int(mask.sum()),
            rate=_rate(items, wrong, mask),
            p_value=p_values[at],
            bound=_bound(items, wrong, mask, band.delta / (len(candidates) - ascending.index(at)), method),
            certified=passed[at],
        )
        for at, ((low, high), mask) in enumerate(zip(candidates, inside, strict=True))
    ]
    chosen = next((test for test in tests if test.certified), tests[0])
    return Outcome(
        band=band,
        segment=segment,
        test=chosen,
        tried=tuple(tests),
        method=method,
        population=population,
        needed=None if chosen.certified else _needed(chosen, band, len(candidates)),
    )


def _anywhere(items: Labelled, candidates: Sequence[Interval]) -> npt.NDArray[np.bool_]:
    """The items that lie in any of these intervals: how others came to be labelled is nothing to a band."""
    anywhere = np.zeros(len(items), dtype=np.bool_)
    for low, high in candidates:
        anywhere |= (items.scores >= low) & (items.scores < high)
    return anywhere


def _population(items: Labelled) -> tuple[Labelled, str]:
    """The items on which most can be said, and whose error that is then.

    Of the newest decisions only a sample is labelled, so that each of them stands for many: a few of them outweigh all older
    ones, which are labelled whatever their label. Then the older ones alone are taken. What their labels are plays no part.
    """
    if items.propensities is None:
        return items, AS_LABELLED
    if items.matured is not None:
        old = items.take(items.matured)
        if _worth(old) > _worth(items):
            return old, MATURED
    return items, EVERY_DECISION


def _worth(items: Labelled) -> float:
    """How many items drawn alike these weigh as much as."""
    if _are_drawn_alike(items):
        return float(len(items))
    propensities, smallest = _design(items)
    return float((smallest / propensities).sum())


def _are_drawn_alike(items: Labelled) -> bool:
    return items.propensities is None or len(np.unique(items.propensities)) <= 1


def _p_value(
    items: Labelled, wrong: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], alpha: float, method: Method
) -> float:
    if method == "ClopperPearson":
        return bounds.p_value(int(wrong[mask].sum()), int(mask.sum()), alpha)
    propensities, smallest = _design(items)
    return weighted.p_value(wrong[mask], propensities[mask], alpha, smallest=smallest)


def _bound(
    items: Labelled, wrong: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], delta: float, method: Method
) -> float:
    if method == "ClopperPearson":
        return bounds.upper_bound(int(wrong[mask].sum()), int(mask.sum()), delta)
    propensities, smallest = _design(items)
    return weighted.upper_bound(wrong[mask], propensities[mask], delta, smallest=smallest)


def _design(items: Labelled) -> tuple[npt.NDArray[np.float64], float]:
    if items.propensities is None or items.smallest_propensity is None:
        raise weighted.WeightsOutOfBounds("the smallest propensity that can be given is not stated")
    return items.propensities, items.smallest_propensity


def _rate(items: Labelled, wrong: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> float:
    if not mask.any():
        return math.nan
    if items.propensities is None:
        return float(wrong[mask].mean())
    return weighted.rate(wrong[mask], items.propensities[mask])


def _needed(test: Tested, band: Promised, candidates: int) -> int | None:
    """Further labelled items of the band, of which half are tested, at the rate of wrong ones that was seen."""
    rate = test.rate if test.labelled else 0.0
    if rate >= band.alpha:
        return None
    delta = band.delta / candidates
    low, high = test.labelled, max(2 * test.labelled, fewest(band.alpha, delta))
    while bounds.p_value(math.ceil(rate * high), high, band.alpha) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = bounds.p_value(math.ceil(rate * middle), middle, band.alpha) <= delta
        low, high = (low, middle) if enough else (middle, high)
    return 2 * (high - test.labelled)
