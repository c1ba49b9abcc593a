"""Labelled decisions as columns, and the two halves into which a certification splits them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

HALF = b"pointsman/certificate/half\0"
"""Keeps the halves apart from whatever else is drawn by a decision's hash"""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Decisions with their scores and matured labels, one a row.

    `propensities` are the probabilities with which the labels came to be seen, at least `smallest_propensity` by design; None
    where nothing is known of how the items were chosen. `matured` are those that passed and are so old that silence has spoken
    of all that did. `segments` are in the values of `segment_field`.
    """

    ids: Sequence[bytes]
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.bool_]
    propensities: npt.NDArray[np.float64] | None = None
    smallest_propensity: float | None = None
    matured: npt.NDArray[np.bool_] | None = None
    segment_field: str | None = None
    segments: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[Any]) -> Labelled:
        """The rows where a mask is true."""
        return Labelled(
            ids=[self.ids[at] for at in np.flatnonzero(rows).tolist()],
            scores=self.scores[rows],
            labels=self.labels[rows],
            propensities=None if self.propensities is None else self.propensities[rows],
            smallest_propensity=self.smallest_propensity,
            matured=None if self.matured is None else self.matured[rows],
            segment_field=self.segment_field,
            segments=None if self.segments is None else self.segments[rows],
        )

    def digest(self) -> str:
        """SHA-256 of what was certified on: id, score, label and propensity of each, whatever their order."""
        propensities = [None] * len(self) if self.propensities is None else self.propensities.tolist()
        names = [id_.hex() for id_ in self.ids]
        rows = sorted(zip(names, self.scores.tolist(), self.labels.tolist(), propensities, strict=True))
        return f"sha256:{hashlib.sha256(orjson.dumps(rows)).hexdigest()}"


def halves(labelled: Labelled) -> tuple[Labelled, Labelled]:
    """The half on which thresholds are chosen, and the half on which they are tested."""
    tested = are_tested(labelled.ids)
    return labelled.take(~tested), labelled.take(tested)


def are_tested(ids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Which decisions are in the half that tests: by the hash of the id, whether they are labelled or not."""
    return np.fromiter((hashlib.sha256(HALF + id_).digest()[0] & 1 for id_ in ids), dtype=np.bool_, count=len(ids))
