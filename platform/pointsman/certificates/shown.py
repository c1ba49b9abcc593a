"""What became of a certification, as commands and the API show it: texts and figures by name."""

from __future__ import annotations

import math
from typing import Any

from pointsman.certificates.certify import Outcome, Tested
from pointsman.certificates.choose import Choice, Considered
from pointsman.certificates.thresholds import changed_lines
from pointsman.graphs.resolve import ResolvedGraph


def shown(outcome: Outcome, days: float | None) -> dict[str, Any]:
    """A band, or a segment of it; `days` are those in which what is labelled came."""
    band, test = outcome.band, outcome.test
    low = "" if test.low == -math.inf else f"≥ {test.low:.6g} "
    high = "" if test.high == math.inf else f"< {test.high:.6g}"
    return {
        "band": band.name,
        "segment": outcome.segment or "-",
        "scores": f"{low}{high}".strip(),
        "labelled": test.labelled,
        "wrong": test.wrong,
        "bound": f"{test.bound:.4%}",
        "promise": f"{band.alpha:.4g} at {1 - band.delta:.4g}",
        "certified": "yes" if outcome.certified else "no",
        "method": outcome.method,
        "population": outcome.population,
        "needed": outcome.what_is_needed(days),
    }


def chosen(choice: Choice, resolved: ResolvedGraph) -> dict[str, Any]:
    """The pairs of thresholds that were considered; `bands` are the lines of the graph's document that differ then."""
    lines = [] if choice.chosen is None else changed_lines(resolved.graph.spec.bands, *choice.chosen.pair)
    return {
        "considered": [_considered(each, choice) for each in choice.considered],
        "withinHours": choice.is_within_hours,
        "mostReviewed": None if math.isinf(choice.most_reviewed) else choice.most_reviewed,
        "bands": "\n".join(lines),
    }


def _considered(each: Considered, choice: Choice) -> dict[str, Any]:
    (low, high), expected = each.pair, each.expected
    return {
        "below": None if low == -math.inf else low,
        "boundBelow": _bound(each.low),
        "atLeast": None if high == math.inf else high,
        "boundFromThere": _bound(each.high),
        "certified": each.certified,
        "reviewsADay": expected.reviewed,
        "costADay": expected.cost,
        "missedADay": expected.missed,
        "stoppedADay": expected.stopped,
        "chosen": each == choice.chosen,
    }


def _bound(test: Tested | None) -> str | None:
    return None if test is None else f"{test.bound:.4%}"
