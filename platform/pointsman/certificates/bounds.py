"""Exact bounds on a band's error from k wrong of n labelled items, each drawn alike. For whoever certifies.

All are of the binomial distribution, so they hold at any n: Clopper and Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26 (1934); Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

MOST_CANDIDATES = 5
"""Thresholds that are tried for one band: each one more makes all of them harder to certify."""


def upper_bound(wrong: int, labelled: int, delta: float) -> float:
    """The error that is exceeded with confidence below 1 − delta: Clopper-Pearson, one-sided. 1 without items."""
    if wrong >= labelled:
        return 1.0
    return float(stats.beta.ppf(1 - delta, wrong + 1, labelled - wrong))


def p_value(wrong: int, labelled: int, alpha: float) -> float:
    """How probable so few wrong items are at most, if the error were `alpha` or more. 1 without items."""
    return float(stats.binom.cdf(wrong, labelled, alpha)) if labelled else 1.0


def needed(wrong: int, alpha: float, delta: float) -> int:
    """How many labelled items, `wrong` of them wrong, it takes at least to certify `alpha` at 1 − delta."""
    if wrong == 0:
        return math.ceil(math.log(delta) / math.log1p(-alpha))
    low, high = wrong, wrong + 1
    while p_value(wrong, high, alpha) > delta:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if p_value(wrong, middle, alpha) <= delta else (middle, high)
    return high


def holm(p_values: Sequence[float], delta: float) -> tuple[bool, ...]:
    """Which hypotheses are rejected, with probability at most `delta` that any of them is true. At most MOST_CANDIDATES."""
    if len(p_values) > MOST_CANDIDATES:
        raise ValueError(f"{len(p_values)} candidates: at most {MOST_CANDIDATES} are tried")
    rejected = [False] * len(p_values)
    ascending = sorted(range(len(p_values)), key=lambda at: p_values[at])
    for tried, at in enumerate(ascending):
        if p_values[at] > delta / (len(p_values) - tried):
            break
        rejected[at] = True
    return tuple(rejected)
