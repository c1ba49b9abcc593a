"""What `pointsman certify` says: what holds of each band, what is still needed, and which thresholds are the cheapest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pointsman.cli.output import Format, err, out, show, table

if TYPE_CHECKING:
    from pointsman.certificates.certify import Outcome, Tested
    from pointsman.certificates.choose import Choice, Considered
    from pointsman.certifying import Joined
    from pointsman.graphs.resolve import ResolvedGraph

COLUMNS = ("band", "segment", "scores", "labelled", "wrong", "bound", "promise", "certified")
CHOICE = ("below", "bound below", "at least", "bound from there", "certified", "reviews a day", "cost a day", "chosen")


def report(
    outcomes: Sequence[Outcome],
    joined: Joined,
    issued: Sequence[str],
    output: Format,
    choice: Choice | None,
    resolved: ResolvedGraph,
) -> None:
    """Print it; `issued` are the ids of certificates."""
    rows = [_row(each) for each in outcomes]
    lines = [] if choice is None else _lines(choice, resolved)
    if output is not Format.TABLE:
        said: dict[str, Any] = {"bands": rows, "certificates": list(issued)}
        said["leftOut"] = {"withoutDecision": joined.unknown, "ofAnotherScorer": joined.other_scorer}
        if choice is not None:
            said["choice"] = {"considered": [_considered(each, choice) for each in choice.considered]}
            said["choice"] |= {"withinHours": choice.is_within_hours, "bands": "\n".join(lines)}
        return show(said, output)
    if choice is not None:
        table(CHOICE, [_cells(each, choice) for each in choice.considered])
        out().print()
    table(COLUMNS, [[str(row[name]) for name in COLUMNS] for row in rows])
    for each, row in zip(outcomes, rows, strict=True):
        if not each.certified:
            err().print(f"{row['band']} {row['segment']}: needed: {row['needed']}".replace(" -:", ":"), markup=False)
    if joined.unknown or joined.other_scorer:
        err().print(
            f"left out: {joined.unknown:,} labels without a decision, {joined.other_scorer:,} of another scorer",
            markup=False,
        )
    out().print(f"{len(issued)} certificates issued", markup=False)
    if choice is not None:
        _say(choice, lines)
    return None


def _say(choice: Choice, lines: Sequence[str]) -> None:
    if choice.chosen is None:
        return err().print("no thresholds that were tried can be certified: nothing is chosen", markup=False)
    reviewed = choice.chosen.expected.reviewed
    if reviewed > choice.most_reviewed:
        hours = f"{reviewed:,.0f} items a day are left to people, who have hours for {choice.most_reviewed:,.0f}"
        err().print(f"{hours}: no certified thresholds leave them fewer", markup=False)
    if not lines:
        return out().print("the graph has the cheapest of these thresholds already", markup=False)
    out().print(
        "cheaper than what the graph has: write these lines into spec.bands and apply it. The certificates are of the graph "
        "that has them, and live as soon as it has:",
        markup=False,
    )
    return out().print("\n".join(f"  {line}" for line in lines), markup=False)


def _lines(choice: Choice, resolved: ResolvedGraph) -> list[str]:
    from pointsman.certificates.thresholds import changed_lines

    return [] if choice.chosen is None else changed_lines(resolved.graph.spec.bands, *choice.chosen.pair)


def _cells(each: Considered, choice: Choice) -> list[str]:
    (low, high), expected = each.pair, each.expected
    return [
        "-" if low == -math.inf else f"{low:.6g}",
        _bound(each.low),
        "-" if high == math.inf else f"{high:.6g}",
        _bound(each.high),
        "yes" if each.certified else "no",
        f"{expected.reviewed:,.1f}",
        f"{expected.cost:,.2f}",
        "<--" if each == choice.chosen else "",
    ]


def _bound(test: Tested | None) -> str:
    return "-" if test is None else f"{test.bound:.4%}"


def _considered(each: Considered, choice: Choice) -> dict[str, Any]:
    (low, high), expected = each.pair, each.expected
    return {
        "below": None if low == -math.inf else low,
        "atLeast": None if high == math.inf else high,
        "certified": each.certified,
        "reviewsADay": expected.reviewed,
        "costADay": expected.cost,
        "missedADay": expected.missed,
        "stoppedADay": expected.stopped,
        "chosen": each == choice.chosen,
    }


def _row(outcome: Outcome) -> dict[str, Any]:
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
        "needed": outcome.what_is_needed(),
    }
