"""Chooses the thresholds that are worth testing, on the half of the items that does not test them. At most five a band.

MAPIE's controller says of pairs of thresholds (below the first nobody is stopped, from the second on everybody) how probable
each error would be by chance if the promises were broken; of the pairs that keep them, those are taken that cost least within
the reviewers' hours, each once for every level of doubt: one that only just holds here will not hold on the other half.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from mapie.risk_control import (
    BinaryClassificationController,
    abstention_rate,
    negative_predictive_value,
    positive_predictive_value,
)
from scipy import stats

from pointsman.certificates import bounds
from pointsman.certificates.certify import Candidates, Interval
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import Promised

GRID = 12
"""Thresholds of a band that are looked at, in pairs with those of the other"""
QUANTILES = 400
DOUBTS = (1.0, 1e-1, 1e-2, 1e-4)
"""How much less probable than the promise's δ the pair's errors must be here"""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an item costs that a person sees, and one that a band decides wrongly; in one currency, whichever.

    `most_reviewed` is the share of all items for which the reviewers have hours.
    """

    review: float = 1.0
    wrong: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    most_reviewed: float = 1.0


def candidates(labelled: Labelled, promises: Sequence[Promised], costs: Costs | None = None) -> Candidates:
    """Thresholds to test, the most promising first, for the outermost bands; the stated ones are always among them.

    Labels are taken as they are, unweighted: what is chosen need not be right, only worth testing.
    """
    return candidates_on(halves(labelled)[0], promises, costs)


def candidates_on(chosen: Labelled, promises: Sequence[Promised], costs: Costs | None = None) -> Candidates:
    """The same on all of these items, none of which tests a candidate."""
    lowest = next((band for band in promises if band.low == -math.inf and not band.label), None)
    highest = next((band for band in promises if band.high == math.inf and band.label), None)
    if not len(chosen) or (lowest is None and highest is None):
        return {}
    lows = [] if lowest is None else _thresholds(chosen, lowest)
    highs = [] if highest is None else _thresholds(chosen, highest)
    lowest, highest = lowest if lows else None, highest if highs else None  # what no threshold keeps holds up nobody
    if lowest is None and highest is None:
        return {}
    lows, highs = lows or [-math.inf], highs or [math.inf]
    pairs = [(low, high) for low, high in itertools.product(lows, highs) if low <= high]
    best = list(_best(chosen, pairs, lowest, highest, costs or Costs()))
    found = dict[str, Sequence[Interval]]()
    if lowest is not None:
        found[lowest.name] = _with_stated([(-math.inf, low) for low, _ in best], lowest)
    if highest is not None:
        found[highest.name] = _with_stated([(high, math.inf) for _, high in best], highest)
    return found


def _with_stated(intervals: Sequence[Interval], band: Promised) -> Sequence[Interval]:
    different = list(dict.fromkeys(intervals))[: bounds.MOST_CANDIDATES - 1]
    return list(dict.fromkeys([*different, (band.low, band.high)]))


def _thresholds(items: Labelled, band: Promised) -> list[float]:
    """Thresholds of one band from the most that could keep the promise down to the most certain one; none where none could."""
    wrong = items.labels != band.label
    order = np.argsort(items.scores if not band.label else -items.scores, kind="stable")
    scores, errors = items.scores[order], np.cumsum(wrong[order])
    ends = np.unique(np.linspace(1, len(scores) - 1, QUANTILES).astype(np.intp))
    ends = ends[scores[ends] != scores[ends - 1]]  # a threshold lies between two different scores
    p_values = stats.binom.cdf(errors[ends - 1], ends, band.alpha)
    worth = ends[p_values <= band.delta]
    if not len(worth):
        return []
    picked = worth[np.unique(np.linspace(0, len(worth) - 1, GRID).astype(np.intp))]
    own = band.low if band.label else band.high
    edges = (
        scores[picked] if not band.label else scores[picked - 1]
    )  # `below` excludes its score, `atLeast` includes it
    return sorted({*map(_short, edges.tolist(), itertools.repeat(band.label)), own})


def _short(threshold: float, upwards: bool) -> float:
    """A threshold that a person can write: rounded to the side on which the band becomes smaller."""
    rounded = round(threshold, 6)
    if upwards and rounded < threshold:
        rounded = round(rounded + 1e-6, 6)
    if not upwards and rounded > threshold:
        rounded = round(rounded - 1e-6, 6)
    return rounded


def _best(
    items: Labelled,
    pairs: Sequence[tuple[float, float]],
    lowest: Promised | None,
    highest: Promised | None,
    costs: Costs,
) -> Iterator[tuple[float, float]]:
    """The cheapest pair for each level of doubt, the least doubtful last."""
    p_values = _controlled(items, pairs, lowest, highest)
    cost = np.array([_cost(items, pair, lowest, highest, costs) for pair in pairs])
    delta = min(band.delta for band in (lowest, highest) if band is not None)
    for doubt in DOUBTS:
        held = np.flatnonzero((p_values <= delta * doubt) & np.isfinite(cost))
        if len(held):
            yield pairs[int(held[np.argmin(cost[held])])]


def _controlled(
    items: Labelled, pairs: Sequence[tuple[float, float]], lowest: Promised | None, highest: Promised | None
) -> npt.NDArray[np.float64]:
    """Of each pair, the larger of the probabilities that MAPIE's multi-risk controller gives its two errors."""
    asked = [(positive_predictive_value, highest), (negative_predictive_value, lowest)]
    risks = [(risk, 1 - band.alpha) for risk, band in asked if band is not None]

    def predict(scores: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
        return np.where(scores >= high, 1.0, np.where(scores < low, 0.0, np.nan))

    controller = BinaryClassificationController(
        predict,
        risk=[risk for risk, _ in risks],
        target_level=[level for _, level in risks],
        confidence_level=1 - max(band.delta for band in (lowest, highest) if band is not None),
        best_predict_param_choice=abstention_rate,
        list_predict_params=np.array(pairs),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no pair is valid is an answer
        controller.calibrate(items.scores, items.labels.astype(np.int64))
    return np.nan_to_num(np.asarray(controller.p_values, dtype=np.float64).reshape(len(pairs)), nan=1.0)


def _cost(
    items: Labelled,
    pair: tuple[float, float],
    lowest: Promised | None,
    highest: Promised | None,
    costs: Costs,
) -> float:
    """What an item costs on average; infinite where people would see more than they can."""
    below, above = items.scores < pair[0], items.scores >= pair[1]
    reviewed = float((~below & ~above).mean())
    if reviewed > costs.most_reviewed:
        return math.inf
    missed = 0.0 if lowest is None else costs.wrong.get(lowest.name, 0.0) * float((below & items.labels).mean())
    stopped = 0.0 if highest is None else costs.wrong.get(highest.name, 0.0) * float((above & ~items.labels).mean())
    return costs.review * reviewed + missed + stopped
