"""Watches one band: whether audited labels show that its error is above what was promised. Pure, and the same at any moment.

For each of a few error rates above α, and for each moment at which the band's error may have begun to be that rate, the
evidence is the likelihood ratio of the labels since then against α; what counts is their mixture (Shiryaev, "On optimum methods
in quickest detection problems", 1963; as e-processes: Shin, Ramdas and Rinaldo, "E-detectors", 2022). While the error is at
most α the mixture is a non-negative supermartingale that begins at 1, so that it exceeds 1/0.05 with probability at most 5 %,
ever (Ville's inequality). One sum for each rate is enough: a label costs the same after a million others.

Evidence from the first label alone would forget nothing: of a band that was far better than its promise for long, a drift
would be found ten times later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FALSE_ALARMS = 0.05
"""How probable it is at most that a band which keeps its promise is ever demoted"""
ALARM = 1 / FALSE_ALARMS
"""The evidence at which a band is demoted"""
TIMES = (1.5, 2.0, 3.0, 6.0)
"""The error rates that are looked for, in multiples of α"""
SHARES = (0.25, 0.45, 0.2, 0.1)
"""How much of the evidence each rate has at the start"""
AT_ONCE = 0.6
"""The share of what is broken from the first label on"""
PACE = 2000.0
"""About how many labels may pass before it breaks: what is left falls as PACE / (PACE + labels)"""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What audited labels say of a promise so far. `sums` is the evidence for each rate, without what may begin later."""

    alpha: float
    labelled: int = 0
    wrong: int = 0
    sums: tuple[float, ...] = (0.0,) * len(TIMES)

    @property
    def evidence(self) -> float:
        """How much more probable the labels are under an error above α than under α itself, at the most doubtful."""
        return sum(share * each for share, each in zip(SHARES, self.sums, strict=True)) + _left(self.labelled)

    @property
    def alarms(self) -> bool:
        """Whether the promise is not kept."""
        return self.evidence >= ALARM

    def heard(self, labels: Iterable[bool]) -> Monitor:
        """With the labels of further items, in the order in which they came; true is a wrong decision."""
        alpha, sums = self.alpha, list(self.sums)
        rates = [rate(alpha, times) for times in TIMES]
        ratios = {True: [each / alpha for each in rates], False: [(1 - each) / (1 - alpha) for each in rates]}
        labelled, wrong = self.labelled, self.wrong
        for is_wrong in labels:
            begins = _left(labelled) - _left(labelled + 1)
            sums = [(each + begins) * ratio for each, ratio in zip(sums, ratios[is_wrong], strict=True)]
            labelled, wrong = labelled + 1, wrong + is_wrong
        return Monitor(alpha=alpha, labelled=labelled, wrong=wrong, sums=tuple(sums))


def rate(alpha: float, times: float) -> float:
    """The error rate so many times above α; where that would pass 1, half-way between."""
    return min(alpha * times, (1 + alpha) / 2)


def _left(labelled: int) -> float:
    """The share of what is to begin only after so many labels."""
    return 1.0 if labelled == 0 else (1 - AT_ONCE) * PACE / (PACE + labelled - 1)
