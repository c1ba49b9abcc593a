"""Whether what a graph decides on has changed: each input before and now, on bins that are fixed by what was before. Pure.

PSI adds up (now − before) · ln(now / before) over the bins; KS is the largest difference of the shares below an edge. Both say
that inputs differ, not that decisions are wrong: what is in doubt is to be looked at, and is not demoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
FEWEST = 200
"""Values on each side below which nothing is said: chance alone would move the bins"""
MOST_PSI, MOST_KS, MOST_MISSING = 0.2, 0.15, 0.05
"""Past any of these an input has changed: two customary bounds, and the share of missing values that came or went"""


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input, before and now; PSI and KS are None where there are too few values to say."""

    name: str
    psi: float | None
    ks: float | None
    missing_before: float
    missing_now: float

    @property
    def has_changed(self) -> bool:
        moved = (self.psi or 0) > MOST_PSI or (self.ks or 0) > MOST_KS
        return moved or abs(self.missing_now - self.missing_before) > MOST_MISSING


def compare(name: str, before: Floats, now: Floats) -> Input:
    """Compare an input's values; NaN is a missing one."""
    known, seen = before[~np.isnan(before)], now[~np.isnan(now)]
    psi = ks = None
    if min(len(known), len(seen)) >= FEWEST:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
        was, is_ = _shares(known, edges), _shares(seen, edges)
        psi = float(((is_ - was) * np.log(is_ / was)).sum())
        ks = float(np.abs(np.cumsum(is_ - was)).max())
    return Input(
        name=name,
        psi=psi,
        ks=ks,
        missing_before=1 - len(known) / len(before) if len(before) else 0.0,
        missing_now=1 - len(seen) / len(now) if len(now) else 0.0,
    )


def unknown_fields(events: Iterable[Mapping[str, object]], contract: Sequence[str]) -> dict[str, int]:
    """Fields that events have and their contract does not know, with how many events have them."""
    known, found = set(contract), dict[str, int]()
    for event in events:
        for name in event.keys() - known:
            found[name] = found.get(name, 0) + 1
    return found


def concerns(input_: str, scorer_parts: Iterable[str]) -> bool:
    """Whether a scorer with these parts depends on the input, `node.output` or `event.field`."""
    node, _, name = input_.partition(".")
    part = f'contract of field "{name}"' if node == "event" else f'node "{node}"'
    return part in scorer_parts


def _shares(values: Floats, edges: Floats) -> Floats:
    """The share in each bin: above an edge is what is larger. Half a value in each keeps logarithms finite."""
    counts = np.bincount(edges.searchsorted(values), minlength=len(edges) + 1) + 0.5
    return np.asarray(counts / counts.sum())
