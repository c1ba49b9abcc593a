"""Draws the comparison: three PNG files with Matplotlib, which is imported here alone, and only to draw.

Colours are of Okabe and Ito's palette, told apart by colour-blind readers; lines differ in their dashes too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointsman.demo.comparing import Comparison, Way
from pointsman.demo.comparison import DECLINE, freeze_waits, lost_rows
from pointsman.demo.curves import curves
from pointsman.demo.findings import duration
from pointsman.demo.transactions import DAY_US

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
WIDTH, HEIGHT, DPI = 8.0, 4.5, 120


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file in the report's folder, and its finding in words."""

    file: str
    finding: str


def draw(found: Comparison, folder: Path) -> tuple[Picture, ...]:
    """Draw all pictures into a folder that exists."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    pictures = list[Picture]()
    parts: tuple[tuple[str, Callable[[Comparison, Figure], str]], ...] = (
        ("thresholds.png", _thresholds),
        ("losses.png", _losses),
        ("latency.png", _latency),
    )
    for file, part in parts:
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        finding = part(found, figure)
        figure.suptitle(finding, fontsize=11, x=0.01, ha="left")
        figure.savefig(folder / file, dpi=DPI)
        pictures.append(Picture(file=file, finding=finding))
    return tuple(pictures)


def _thresholds(found: Comparison, figure: Figure) -> str:
    """Precision and recall, and review load, against the threshold from which the model acts."""
    at = found.thresholds
    drawn = curves(found.decided.score, found.decided.fraud, approve_below=at.approve_below)
    left, right = figure.subplots(1, 2)
    left.plot(drawn.threshold, drawn.precision * 100, color=BLUE, label="precision")
    left.plot(drawn.threshold, drawn.recall * 100, color=ORANGE, linestyle="--", label="recall")
    left.set_ylabel("share (%)")
    left.set_ylim(0, 103)
    right.plot(drawn.threshold, drawn.review_share * 100, color=GREEN)
    right.set_ylabel("decisions that a person gets (%)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        _plain(axes)
        axes.set_xlim(0, 1)
        axes.set_xlabel("threshold: the model freezes from this score on")
        axes.axvline(
            at.act_at_least, color=GREY, linestyle=":", linewidth=1.2, label=f"this graph: {at.act_at_least:g}"
        )
        axes.legend(frameon=False, loc="best")
    here = int(np.argmin(np.abs(drawn.threshold - at.act_at_least)))
    return (
        f"From {at.act_at_least:g} on the model alone finds {drawn.recall[here]:.0%} of all fraud and is right in "
        f"{drawn.precision[here]:.1%};\na person gets {drawn.review_share[here]:.1%} of all decisions"
    )


def _losses(found: Comparison, figure: Figure) -> str:
    """Money lost so far, by the moment of the purchase."""
    axes, stream = figure.subplots(), found.decided
    order = np.argsort(stream.occurred_at, kind="stable")
    days = (stream.occurred_at[order] - stream.arrived_at[0] // DAY_US * DAY_US) / DAY_US
    totals = list[float]()
    for name, way, colour, dash in _ways(found):
        lost = np.cumsum(np.where(lost_rows(stream, way.course), stream.cents, 0)[order]) / 100
        totals.append(float(lost[-1]) if len(lost) else 0.0)
        axes.step(days, lost, where="post", color=colour, linestyle=dash, label=f"{name}: {totals[-1]:,.0f}")
    saved = lost_rows(stream, found.continuous.course) & (stream.outcome == DECLINE)
    rest = lost_rows(stream, found.continuous.course) & ~saved
    waiting = np.cumsum(np.where(rest, stream.cents, 0)[order]) / 100
    label = f"continuous, where shops wait for the answer: {waiting[-1] if len(waiting) else 0:,.0f}"
    axes.step(days, waiting, where="post", color=GREEN, linestyle="-.", label=label)
    _plain(axes)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("days since the midnight (UTC) before the stream began")
    axes.set_ylabel("lost to fraud so far (the amounts' currency)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
    continuous, nightly = totals
    if not nightly or continuous == nightly:
        return "Fraud costs as much with continuous freezes as with nightly ones"
    change = (nightly - continuous) / nightly
    return f"Fraud costs {abs(change):.0%} {'less' if change > 0 else 'more'} with continuous freezes than with nightly ones"


def _latency(found: Comparison, figure: Figure) -> str:
    """The share of truly fraudulent freezes that were in effect so long after their event."""
    axes = figure.subplots()
    medians = list[str]()
    for name, way, colour, dash in _ways(found):
        waits = freeze_waits(found.decided, way.course)
        if len(waits):
            share = np.arange(1, len(waits) + 1) / len(waits) * 100
            axes.step(
                waits, share, where="post", color=colour, linestyle=dash, label=f"{name} ({len(waits):,} freezes)"
            )
            medians.append(f"{duration(float(np.median(waits)))} ({name})")
    _plain(axes)
    axes.set_xscale("log")
    ticks = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 21_600: "6 h", 86_400: "1 d"}
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.minorticks_off()
    axes.set_xlabel("time from a fraudulent event to the freeze of its account (logarithmic)")
    axes.set_ylabel("freezes in effect by then (%)")
    axes.set_ylim(0, 103)
    if medians:
        axes.legend(frameon=False, loc="upper left")
    return f"Half of the freezes are in effect within {' and '.join(medians)}" if medians else "No account was frozen"


def _ways(found: Comparison) -> tuple[tuple[str, Way, str, str], ...]:
    """Name, way, colour and dashes."""
    return (
        ("continuous", found.continuous, BLUE, "-"),
        ("nightly", found.nightly, ORANGE, "--"),
    )


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
