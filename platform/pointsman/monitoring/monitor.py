"""Watches one band: whether audited labels show that its error is above what was promised. Pure, and the same at any moment.

The evidence is the capital of somebody who bets on each next label that it is of a wrong decision, at odds that are fair where
the error is α (testing by betting: Shafer, JRSS A 184, 2021). While the error is at most α no bet is in their favour, so that
the capital, which begins at 1, is a non-negative supermartingale, and exceeds 1/0.05 with probability at most 5 %, ever
(Ville's inequality), *whatever* they believe. What they believe decides only how soon they grow rich where the error is above α:

- The error is one of a few rates, and at each label it may have moved to any of them: the weights of a hidden Markov model,
  which forgets by itself what a band was like before (Herbster and Warmuth, "Tracking the best expert", 1998). They bet as much
  as what they expect lies above α (Kelly), and nothing while it does not: a band that is far better than promised costs them
  nothing before it drifts.
- No more than what the alarm takes is ever bet: what would be won beyond it is kept against labels that are right (Fischer and
  Ramdas, "Improving the (approximate) sequential probability ratio test by avoiding overshoot", arXiv:2410.16076).
- A part of the capital comes to the table later, so that a band that stays close to its promise for years does not ruin them.

A label costs the same after a million others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FALSE_ALARMS = 0.05
"""How probable it is at most that a band which keeps its promise is ever demoted"""
ALARM = 1 / FALSE_ALARMS
"""The evidence at which a band is demoted"""
ROUNDING = 1e-6
"""What float64 may take from a capital that has just reached the alarm, and from no other"""
TIMES = (0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0)
"""The error rates that a band may have, in multiples of α"""
BELIEFS = (0.08, 0.08, 0.08, 0.55, 0.12, 0.06, 0.03)
"""How probable each is at the start, and whenever it moves"""
MOVES = 2e-4
"""How probable it is with each label that the error moves"""
ANEW = tuple(MOVES * each for each in BELIEFS)
AT_THE_TABLE = 0.95
"""The share of the capital with which betting begins"""
PACE = 10_000.0
"""What is kept back falls as PACE / (PACE + labels)"""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What audited labels say of a promise so far. `stake` is the capital at the table, `beliefs` the weight of each rate."""

    alpha: float
    labelled: int = 0
    wrong: int = 0
    stake: float = AT_THE_TABLE
    beliefs: tuple[float, ...] = BELIEFS

    @property
    def evidence(self) -> float:
        """How many times what was laid out has been won, by betting against the promise."""
        return self.stake + _kept_back(self.labelled)

    @property
    def alarms(self) -> bool:
        """Whether the promise is not kept."""
        return self.evidence >= ALARM - ROUNDING

    def heard(self, labels: Iterable[bool]) -> Monitor:
        """With the labels of further items, in the order in which they came; true is a wrong decision."""
        alpha, stake, beliefs = self.alpha, self.stake, list(self.beliefs)
        labelled, wrong, kept_back = self.labelled, self.wrong, _kept_back(self.labelled)
        rates = [rate(alpha, times) for times in TIMES]
        for is_wrong in labels:
            labelled, wrong = labelled + 1, wrong + is_wrong
            kept_back, before = _kept_back(labelled), kept_back
            stake += before - kept_back
            weights = [each * (1 - MOVES) + anew for each, anew in zip(beliefs, ANEW, strict=True)]
            wrongs = [each * of for each, of in zip(weights, rates, strict=True)]
            expected = sum(wrongs)
            times = max(1.0, min(expected / alpha, (ALARM - kept_back) / stake))
            stake *= times if is_wrong else (1 - alpha * times) / (1 - alpha)
            fitting = wrongs if is_wrong else [each - of for each, of in zip(weights, wrongs, strict=True)]
            total = sum(fitting)
            beliefs = [each / total for each in fitting]
        return Monitor(alpha=alpha, labelled=labelled, wrong=wrong, stake=stake, beliefs=tuple(beliefs))


def rate(alpha: float, times: float) -> float:
    """The error rate so many times α; where that would pass 1, half-way between."""
    return min(alpha * times, (1 + alpha) / 2)


def _kept_back(labelled: int) -> float:
    return (1 - AT_THE_TABLE) * PACE / (PACE + labelled)
