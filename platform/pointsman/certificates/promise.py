"""What the automatic bands of a revision promise, and for which scorer: what certificates are asked for and compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pointsman.api.decision_graph import REVIEW
from pointsman.certificates.digest import Scorer, ScorerDigest, scorer
from pointsman.graphs.bands import compile_bands, promised_labels
from pointsman.graphs.resolve import ResolvedGraph


@dataclass(frozen=True, kw_only=True)
class Promised:
    """One automatic band with its promise: an item whose label is not `label` is wrong, in at most `alpha` of cases."""

    position: int
    name: str
    outcome: str
    low: float
    high: float
    label: bool
    alpha: float
    delta: float
    scorer: Scorer

    @property
    def digest(self) -> ScorerDigest:
        """What a certificate of the band must be of."""
        return self.digest_with(self.low, self.high)

    def digest_with(self, low: float, high: float) -> ScorerDigest:
        """What a certificate would be of, had the band these thresholds."""
        return self.scorer.of_band(self.name, low=low, high=high, promised=self.label)


def promises(resolved: ResolvedGraph) -> tuple[Promised, ...]:
    """Of a graph that compiles; a band without a promise cannot be certified."""
    return tuple(_promises(resolved))


def fewest(alpha: float, delta: float) -> int:
    """How many labelled items without one that is wrong certify `alpha` at 1 − delta: 2,995 for 0.1 % at 95 %."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def _promises(resolved: ResolvedGraph) -> Iterator[Promised]:
    bands = resolved.graph.spec.bands
    compiled, labels, of = compile_bands(bands), promised_labels(bands), scorer(resolved)
    for position, (band, label) in enumerate(zip(bands, labels, strict=True)):
        if band.outcome == REVIEW or band.promise is None or label is None:
            continue
        low, high = compiled.interval(position)
        yield Promised(
            position=position,
            name=band.name,
            outcome=band.outcome,
            low=low,
            high=high,
            label=label,
            alpha=float(band.promise.max_error.fraction),
            delta=float(1 - band.promise.confidence.fraction),
            scorer=of,
        )
