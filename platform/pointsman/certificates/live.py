"""Which bands may act by themselves, as triage reads it: a band as a whole, or those of its segments that are certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pointsman.certificates.segments import segmentation
from pointsman.columns import Column


@dataclass(frozen=True, kw_only=True)
class LiveBands:
    """Bands by their position in the graph. `by_segment` holds how it is divided, and the segments that have live certificates.

    `demoted` are those that a certificate would cover, had they not been demoted; `never` those that never had a certificate.
    """

    whole: frozenset[int] = frozenset()
    by_segment: Mapping[int, tuple[str, frozenset[str]]] = field(default_factory=lambda: MappingProxyType({}))
    demoted: LiveBands | None = None
    never: frozenset[int] = frozenset()

    def covers(self, band: npt.NDArray[np.intp], columns: Mapping[str, Column]) -> npt.NDArray[np.bool_]:
        """Which rows, placed in these bands (-1: in none), lie where a certificate is live."""
        covered = np.zeros(len(band), dtype=np.bool_)
        for position in self.whole:
            covered |= band == position
        for position, (name, values) in self.by_segment.items():
            rows = np.flatnonzero(band == position)
            segments = segmentation(name)
            if len(rows) and segments.column in columns:  # a field that does not enter the score may have gone
                covered[rows] = segments.are_in(columns[segments.column].take(rows), values)
        return covered


NOTHING_LIVE = LiveBands()
