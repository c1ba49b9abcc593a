"""Puts together what is known of decided items: for each its label, how it came to be known, and how probable that was. Pure.

Ground truth outweighs a verdict. Where nothing prevented the truth from showing, silence past `label.maturesAfter` says that
the label is false: all those items are labelled, whatever their label, so that their propensity is 1. Elsewhere, and before
that moment, only what was drawn to be labelled counts, with the probability of the draw. Ground truth that came in without
saying how its events were chosen counts where silence would have spoken, or where a verdict was to come in any case: of others
one would hear the true ones sooner than the false ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from pointsman.api.decision_graph import DecisionGraphSpec
from pointsman.graphs.bands import promised_labels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

NONE = -1
"""Stands where there is no such label"""


class Source(StrEnum):
    """How a label came to be known."""

    VERDICT = "Verdict"
    IMPORT = "Import"
    SILENCE = "Silence"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one source says of each decision: 1, 0 or NONE; when it was known (µs); with which probability, NaN: not known."""

    values: npt.NDArray[np.int8]
    known_at: Ints
    propensities: Floats


@dataclass(frozen=True, kw_only=True)
class Items:
    """Decisions in the order of their sequence numbers, as columns; times are µs since 1970 UTC.

    Where they are only counted, a row may stand for several that are alike: `numbers` says for how many.
    """

    ids: Sequence[bytes]
    seq: Ints
    scores: Floats
    bands: Texts
    outcomes: Texts
    revisions: Texts
    event_times: Ints
    imports: Told
    verdicts: Told
    segments: Texts | None = None
    numbers: Ints | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The items whose label counts: `rows` are their positions among all, the rest is aligned with them."""

    rows: npt.NDArray[np.intp]
    labels: Mask
    propensities: Floats
    sources: Texts
    known_at: Ints
    matured: Mask
    """Which of them passed and are so old that silence speaks of all that did"""
    waiting: int
    """Decisions of which nothing is known yet, and which may still be labelled"""
    set_aside: int
    """Labels that do not count: it is not known how their events were chosen"""

    @property
    def weights(self) -> Floats:
        """How many items each one stands for."""
        return 1 / self.propensities


def silence_counts(spec: DecisionGraphSpec) -> frozenset[str]:
    """The outcomes that let an item pass, so that a true label would show: those of bands that promise a false one alone.

    Whichever band an item is in: one of a band that would stop it may have passed as `spec.uncertified` says.
    """
    promised = list(zip(spec.bands, promised_labels(spec.bands), strict=True))
    return frozenset(band.outcome for band, label in promised if label is False) - {
        band.outcome for band, label in promised if label is not False
    }


def assemble(items: Items, *, matures_after: timedelta, passed: Collection[str], now: int) -> Assembled:
    """Labels as they are known at `now` (µs). `passed` are the outcomes about which silence counts."""
    matures = items.event_times + matures_after // timedelta(microseconds=1)
    shows = np.isin(items.outcomes.astype(str), list(passed))
    silent = shows & (matures <= now)
    told, judged = items.imports.values != NONE, items.verdicts.values != NONE
    drawn = judged & np.isfinite(items.verdicts.propensities)
    stated = told & np.isfinite(items.imports.propensities)
    counts = silent | drawn | stated
    numbers = np.ones(len(items), dtype=np.int64) if items.numbers is None else items.numbers
    value = np.where(told, items.imports.values, np.where(judged, items.verdicts.values, 0)) == 1
    propensity = np.where(silent, 1.0, np.where(drawn, items.verdicts.propensities, items.imports.propensities))
    source = np.where(told, Source.IMPORT.value, np.where(judged, Source.VERDICT.value, Source.SILENCE.value))
    known_at = np.where(told, items.imports.known_at, np.where(judged, items.verdicts.known_at, matures))
    rows = np.flatnonzero(counts)
    return Assembled(
        rows=rows,
        labels=value[rows],
        propensities=propensity[rows],
        sources=source.astype(object)[rows],
        known_at=known_at[rows],
        matured=silent[rows],
        waiting=int(numbers[~counts & ~told & ~judged].sum()),
        set_aside=int(numbers[~counts & (told | judged)].sum()),
    )
