"""A graph's bands beside one threshold that was set by hand, from which on people look at everything. Pure.

Both ways meet the same scores, rules and reviewers, and catch as much fraud: what differs is who must look at it, and when an
account is frozen. Called by the demo's report and by the benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pointsman.demo.comparison import APPROVE, follow, measure
from pointsman.demo.decided import Decided, Mask, Moments
from pointsman.demo.report import REVIEW
from pointsman.demo.reviewing import Reviewers


@dataclass(frozen=True, kw_only=True)
class Load:
    """One way in numbers. Caught is a fraud that was refused, declined, or seen by a person, and so not just let through."""

    items: int
    """what people see, the audited items among them"""
    audited: int
    frauds: int
    caught: int
    lost_cents: int
    """bought by fraud while no freeze was in effect"""
    frozen_wrongly: int


@dataclass(frozen=True, kw_only=True)
class HandSet:
    """Both ways over the same stream."""

    threshold: float
    bands: Load
    by_hand: Load

    @property
    def falls_by(self) -> float:
        """By which share people see less with bands, audited items included."""
        return 1 - self.bands.items / max(1, self.by_hand.items)

    @property
    def falls_by_without_audits(self) -> float:
        """The same without the items that only a monitor asks for."""
        return 1 - (self.bands.items - self.bands.audited) / max(1, self.by_hand.items)


def hand_set_threshold(score: npt.NDArray[np.float64], fraud: Mask, approve_below: float) -> float:
    """The largest threshold that catches as much fraud on labelled history as a band does that approves below another one.

    Who sets one by hand has no reason to look at less, and looking at more would not be a fair comparison.
    """
    caught = score[fraud & (score >= approve_below)]
    return float(caught.min()) if len(caught) else approve_below


def beside_hand_set(
    decided: Decided, threshold: float, always: Mask, moments: Moments, reviewers: Reviewers
) -> HandSet:
    """Let the stream happen twice: as its bands decided, and with people for all that scores `threshold` or more.

    `always` are rows that a person sees whatever their score: a rule says so, or there is none.
    """
    seen = always | ~(decided.score < threshold)
    nobody = np.zeros(len(decided), dtype=np.bool_)
    by_hand = replace(
        decided,
        outcome=np.where(seen, REVIEW, APPROVE).astype(object),
        freezes=nobody,
        audited=nobody,
    )
    return HandSet(
        threshold=threshold,
        bands=_load(decided, moments, reviewers),
        by_hand=_load(by_hand, moments, reviewers),
    )


def _load(decided: Decided, moments: Moments, reviewers: Reviewers) -> Load:
    course = follow(decided, moments, reviewers)
    measured = measure(decided, course, reviewers)
    stopped = course.refused | (decided.outcome != APPROVE) | decided.audited
    return Load(
        items=measured.human_items,
        audited=int((decided.audited & ~course.refused).sum()),
        frauds=int(decided.fraud.sum()),
        caught=int((decided.fraud & stopped).sum()),
        lost_cents=measured.lost_cents,
        frozen_wrongly=measured.frozen_wrongly,
    )
