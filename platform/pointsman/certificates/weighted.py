"""Bounds on a band's error where items came to be labelled with different probabilities (their propensities).

Each labelled item stands for 1 / propensity items, so that the error of all items is the weighted share of wrong ones. That
the error is at least α is a bet's null hypothesis: the capital Π (1 + λ · w · (α − wrong)) is then a non-negative martingale
or falls, so that it exceeds 1/δ with probability at most δ (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 86 (2024), arXiv:2010.09686, section 4). Bets are fixed fractions of the largest that cannot go
bankrupt, mixed: the capital depends on no order of the items, and grows with α, so that its inversion is an interval.

The claim needs a bound on the weights that was fixed before the labels were seen: the sampling design's smallest propensity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRACTIONS = np.array([0.99, 0.9, 0.75, 0.6, 0.45, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01, 0.005, 0.002])
"""Of the largest bet: near 1 where hardly an item is wrong, small where the error lies close to its bound."""
STEPS = 60
"""Halvings of an interval: past the precision of a float64."""


class WeightsOutOfBounds(ValueError):
    """A weight that the stated bound does not allow, so that nothing can be claimed."""


def p_value(
    wrong: npt.NDArray[np.bool_], propensities: npt.NDArray[np.float64], alpha: float, *, smallest: float
) -> float:
    """How probable such capital is at most, if the error of all items were `alpha` or more.

    `smallest` is the smallest propensity that the design can give. Raises WeightsOutOfBounds.
    """
    return float(min(1.0, np.exp(-_log_capital(*_counted(wrong, propensities, smallest), alpha))))


def upper_bound(
    wrong: npt.NDArray[np.bool_], propensities: npt.NDArray[np.float64], delta: float, *, smallest: float
) -> float:
    """The error that is exceeded with confidence below 1 − delta; 1 where nothing can be said. Raises WeightsOutOfBounds."""
    good, bad = _counted(wrong, propensities, smallest)
    low, high, wanted = 0.0, 1.0, -np.log(delta)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _log_capital(good, bad, middle) >= wanted else (middle, high)
    return high


def rate(wrong: npt.NDArray[np.bool_], propensities: npt.NDArray[np.float64]) -> float:
    """The estimated error of all items: the weighted share of wrong ones; NaN without items."""
    weights = 1 / propensities
    return float(weights[wrong].sum() / weights.sum()) if len(weights) else float("nan")


Counted = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
"""Different weights, as shares of the largest that is possible, and how often each stands."""


def _counted(
    wrong: npt.NDArray[np.bool_], propensities: npt.NDArray[np.float64], smallest: float
) -> tuple[Counted, Counted]:
    if not 0 < smallest <= 1:
        raise WeightsOutOfBounds(f"the smallest propensity is above 0 and at most 1, not {smallest}")
    if len(propensities) and not (propensities.min() >= smallest and propensities.max() <= 1):
        raise WeightsOutOfBounds(
            f"propensities lie from {smallest} to 1, not from {propensities.min()} to {propensities.max()}"
        )
    share = smallest / propensities
    return np.unique(share[~wrong], return_counts=True), np.unique(share[wrong], return_counts=True)


def _log_capital(good: Counted, bad: Counted, alpha: float) -> float:
    """The logarithm of the mixed capital; a bet of λ = fraction / (largest weight · (1 − α)) survives every item."""
    if alpha >= 1:
        return float("inf")
    odds = alpha / (1 - alpha)
    logs = np.log1p(np.outer(FRACTIONS * odds, good[0])) @ good[1] + np.log1p(np.outer(-FRACTIONS, bad[0])) @ bad[1]
    most = logs.max()
    return float(most + np.log(np.exp(logs - most).mean()))
