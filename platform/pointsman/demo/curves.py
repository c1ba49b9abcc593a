"""Precision, recall and review load over all thresholds at which the model could act by itself. Pure; drawn in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pointsman.api.decision_graph import Band

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where a graph's bands approve (below) and act (at least); 0 and 1 where they never do."""

    approve_below: float
    act_at_least: float


@dataclass(frozen=True, kw_only=True)
class Curves:
    """By threshold: were the model to act from here on, how often it would be right (NaN where it never acts), how much
    fraud that finds, and which share of all decisions a person gets."""

    threshold: Doubles
    precision: Doubles
    recall: Doubles
    review_share: Doubles


def thresholds_of(bands: Sequence[Band]) -> Thresholds:
    """The two thresholds of a graph's bands."""
    return Thresholds(
        approve_below=min((float(band.below) for band in bands if band.below is not None), default=0.0),
        act_at_least=max((float(band.at_least) for band in bands if band.at_least is not None), default=1.0),
    )


def curves(score: Doubles, fraud: npt.NDArray[np.bool_], *, approve_below: float, steps: int = 99) -> Curves:
    """Between `approve_below` and the threshold a person decides, and so does one where there is no score (NaN)."""
    threshold = np.linspace(0, 1, steps + 2)[1:-1]
    known = ~np.isnan(score)
    everyone, frauds = np.sort(score[known]), np.sort(score[known & fraud])
    above = len(everyone) - np.searchsorted(everyone, threshold)
    right = len(frauds) - np.searchsorted(frauds, threshold)
    approved = np.searchsorted(everyone, np.minimum(threshold, approve_below))
    total, truth = max(1, len(score)), max(1, int(fraud.sum()))
    return Curves(
        threshold=threshold,
        precision=np.divide(right, above, out=np.full(len(threshold), np.nan), where=above > 0),
        recall=right / truth,
        review_share=(len(score) - above - approved) / total,
    )
