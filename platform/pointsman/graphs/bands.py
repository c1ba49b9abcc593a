"""Bands: which of a graph's outcomes a score belongs to.

`compile_graph` checks them when a graph is applied and compiles them; a host places each batch's scores. A threshold is
the float64 nearest to its decimal text, `below` is <, `atLeast` is ≥. A band without bounds takes what others leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from pointsman.api.decision_graph import REVIEW, Band


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why bands cannot be used: where it stands in the graph's document, what is wrong, what to do."""

    path: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Compiled bands: between `edges`, in ascending order, lie the bands whose positions `between` holds."""

    edges: npt.NDArray[np.float64]
    between: npt.NDArray[np.intp]

    def place(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        """The position of each score's band in the document's list; -1 where the score is NaN."""
        placed = self.between[self.edges.searchsorted(scores, side="right")]
        return np.where(np.isnan(scores), np.intp(-1), placed)

    def interval(self, position: int) -> tuple[float, float]:
        """The scores of the band at this position: from the first (included) to the second (not included)."""
        at = int(np.flatnonzero(self.between == position)[0])
        edges = [-math.inf, *self.edges.tolist(), math.inf]
        return edges[at], edges[at + 1]


@dataclass(frozen=True, kw_only=True)
class _Interval:
    """Scores from `start` (included) to `end` (not included); the texts are as they were written."""

    start: Decimal | None
    end: Decimal | None

    @property
    def low(self) -> float:
        return -math.inf if self.start is None else float(self.start)

    @property
    def high(self) -> float:
        return math.inf if self.end is None else float(self.end)

    def __str__(self) -> str:
        if self.start is None:
            return "all scores" if self.end is None else f"scores below {self.end:f}"
        if self.end is None:
            return f"scores of at least {self.start:f}"
        return f"scores of at least {self.start:f} and below {self.end:f}"


def check(bands: Sequence[Band]) -> tuple[Problem, ...]:
    """Everything that keeps the bands from holding each score exactly once; nothing where they are sound."""
    return tuple(_problems(bands))


def compile_bands(bands: Sequence[Band]) -> Bands:
    """Compile sound bands. Raises ValueError where `check` finds anything."""
    problems = check(bands)
    if problems:
        raise ValueError("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
    intervals = {position: _interval(band) for position, band in enumerate(bands) if _is_bounded(band)}
    for position, band in enumerate(bands):
        if not _is_bounded(band):
            (intervals[position],) = _gaps(list(intervals.values()))
    ordered = sorted(intervals, key=lambda position: intervals[position].low)
    return Bands(
        edges=np.array([intervals[position].low for position in ordered[1:]], dtype=np.float64),
        between=np.array(ordered, dtype=np.intp),
    )


def promised_labels(bands: Sequence[Band]) -> tuple[bool | None, ...]:
    """What each of sound bands says of the label of its items: None of a band that people decide.

    An automatic band below all that people decide says that the label is false, one above them that it is true, unless its
    promise names the label. Raises ValueError where that leaves it open: `label_problems` says it first.
    """
    said = _labels(bands)
    if any(label is None and band.outcome != REVIEW for label, band in zip(said, bands, strict=True)):
        raise ValueError("; ".join(each.message for each in label_problems(bands)))
    return said


def label_problems(bands: Sequence[Band]) -> tuple[Problem, ...]:
    """The sound automatic bands with a promise of which their place does not say which label it is about."""
    return tuple(
        Problem(
            path=f"{_path(band)}.promise.label",
            message=f'whether "{band.name}" promises that the label is true or false does not follow from its place',
            hint="write label: true or label: false",
        )
        for band, label in zip(bands, _labels(bands), strict=True)
        if band.promise is not None and label is None
    )


def _labels(bands: Sequence[Band]) -> tuple[bool | None, ...]:
    compiled = compile_bands(bands)
    place = {int(position): at for at, position in enumerate(compiled.between)}
    reviewed = [place[position] for position, band in enumerate(bands) if band.outcome == REVIEW]

    def label(position: int, band: Band) -> bool | None:
        if band.outcome == REVIEW:
            return None
        if band.promise is not None and band.promise.label is not None:
            return band.promise.label
        at = place[position]
        below = at < min(reviewed, default=1)  # where people decide nothing, the lowest band is below the rest
        above = at > max(reviewed, default=len(bands) - 2)
        return above if below is not above else None

    return tuple(label(position, band) for position, band in enumerate(bands))


def _problems(bands: Sequence[Band]) -> Iterator[Problem]:
    yield from _repeated_names(bands)
    bounded = [(band, _interval(band)) for band in bands if _is_bounded(band)]
    empty = [(band, interval) for band, interval in bounded if not interval.low < interval.high]
    for band, _ in empty:
        yield Problem(
            path=_path(band),
            message=f'no score is in "{band.name}": none is at least {band.at_least:f} and below {band.below:f}',
            hint="atLeast must be the smaller one",
        )
    whole = [each for each in bounded if each not in empty]
    overlaps = list(_overlaps(whole))
    yield from overlaps
    if empty:
        return
    gaps = _gaps([interval for _, interval in whole])
    rest = [band for band in bands if not _is_bounded(band)]
    for band in rest[1:]:
        yield Problem(
            path=_path(band),
            message=f'"{rest[0].name}" and "{band.name}" both have no bounds, so {_listed(gaps)} are in both',
            hint="give one of them below or atLeast",
        )
    if rest and not gaps:
        yield Problem(
            path=_path(rest[0]),
            message=f'no score is left for "{rest[0].name}": the other bands hold all scores',
            hint="take it out, or move a threshold of another band",
        )
    elif rest and len(gaps) > 1:
        yield Problem(
            path=_path(rest[0]),
            message=f'"{rest[0].name}" has no bounds and would be torn apart: {_listed(gaps)}',
            hint="give it bounds, and name another band for the rest",
        )
    elif not rest:
        for gap in gaps:
            yield Problem(
                path="spec.bands",
                message=f"{gap} are in no band",
                hint="add a band without bounds, which takes what the others leave, or move a threshold",
            )


def _repeated_names(bands: Sequence[Band]) -> Iterator[Problem]:
    names = [band.name for band in bands]
    for position, name in enumerate(names):
        if name in names[:position]:
            message = f'the name "{name}" is already used by spec.bands[{names.index(name)}]'
            yield Problem(path=f"spec.bands[{position}].name", message=message, hint="names are unique")


def _overlaps(bounded: Sequence[tuple[Band, _Interval]]) -> Iterator[Problem]:
    for position, (band, interval) in enumerate(bounded):
        for earlier, other in bounded[:position]:
            start, end = max((interval, other), key=_low).start, min((interval, other), key=_high).end
            both = _Interval(start=start, end=end)
            if both.low < both.high:
                yield Problem(
                    path=_path(band),
                    message=f'{both} are in both "{earlier.name}" and "{band.name}"',
                    hint="move a threshold, so that each score is in one band",
                )


def _gaps(intervals: Sequence[_Interval]) -> list[_Interval]:
    """What the intervals leave of all scores, in ascending order; they may overlap."""
    gaps, covered = list[_Interval](), -math.inf
    end: Decimal | None = None
    for interval in sorted(intervals, key=_low):
        if interval.low > covered:
            gaps.append(_Interval(start=end, end=interval.start))
        if interval.high > covered:
            covered, end = interval.high, interval.end
    if covered < math.inf:
        gaps.append(_Interval(start=end, end=None))
    return gaps


def _listed(gaps: Sequence[_Interval]) -> str:
    return ", and ".join(map(str, gaps)) or "no scores"


def _is_bounded(band: Band) -> bool:
    return band.below is not None or band.at_least is not None


def _interval(band: Band) -> _Interval:
    return _Interval(start=band.at_least, end=band.below)


def _low(interval: _Interval) -> float:
    return interval.low


def _high(interval: _Interval) -> float:
    return interval.high


def _path(band: Band) -> str:
    return f"spec.bands[{band.name}]"
