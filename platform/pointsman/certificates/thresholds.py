"""A graph's bands with other thresholds of the outermost ones: whether they are sound, and how a user writes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pointsman.api.decision_graph import Band
from pointsman.graphs.bands import check, compile_bands


def with_thresholds(bands: Sequence[Band], low: float | None, high: float | None) -> list[Band]:
    """The bands where the lowest ends at `low` and the highest begins at `high`, None where that stays as it is.

    Neighbours that name the same edge move with it. Whether the outcome is sound is another question.
    """
    edges = compile_bands(bands).edges.tolist()
    to = dict[float, float]()
    if low is not None:
        to[edges[0]] = low
    if high is not None:
        to[edges[-1]] = high
    return [_moved(band, to) for band in bands]


def are_sound(bands: Sequence[Band], low: float, high: float) -> bool:
    """Whether the bands, all of them, hold each score once with these thresholds; infinite ones stay as they are."""
    if low > high or (len(bands) == 2 and math.isfinite(low) and math.isfinite(high) and low != high):
        return False
    return not check(with_thresholds(bands, _finite(low), _finite(high)))


def changed_lines(bands: Sequence[Band], low: float, high: float) -> list[str]:
    """The lines of the bands that become different, as they stand in a graph's YAML; infinite thresholds stay as they are."""
    lines = list[str]()
    for before, after in zip(bands, with_thresholds(bands, _finite(low), _finite(high)), strict=True):
        if before != after:
            lines.append(f"- name: {after.name}")
            lines += [f'  atLeast: "{after.at_least:f}"'] if after.at_least is not None else []
            lines += [f'  below: "{after.below:f}"'] if after.below is not None else []
    return lines


def text(threshold: float) -> str:
    """A threshold as the decimal that a host reads as the same number."""
    return f"{Decimal(repr(threshold)):f}"


def _moved(band: Band, to: Mapping[float, float]) -> Band:
    """With each bound that lies on an edge where that edge goes."""
    bounds = {"below": band.below, "at_least": band.at_least}
    known = {name: float(bound) for name, bound in bounds.items() if bound is not None}
    return band.model_copy(update={name: Decimal(text(to[at])) for name, at in known.items() if at in to})


def _finite(threshold: float) -> float | None:
    return threshold if math.isfinite(threshold) else None
