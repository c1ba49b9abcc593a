"""What `pointsman certify` says: what holds of each band, what is still needed, and which thresholds are the cheapest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pointsman.cli.output import Format, err, out, show, table

COLUMNS = ("band", "segment", "scores", "labelled", "wrong", "bound", "promise", "certified")
CHOICE = ("below", "bound below", "at least", "bound from there", "certified", "reviews a day", "cost a day", "chosen")


def report(told: Mapping[str, Any], issued: Sequence[str], output: Format) -> None:
    """Print a certification's document; `issued` are the ids of certificates."""
    rows, left_out, choice = told["bands"], told["leftOut"], told.get("choice")
    if output is not Format.TABLE:
        said: dict[str, Any] = {"bands": rows, "certificates": list(issued), "leftOut": left_out}
        return show(said if choice is None else {**said, "choice": choice}, output)
    if choice is not None:
        table(CHOICE, [_cells(each) for each in choice["considered"]])
        out().print()
    table(COLUMNS, [[str(row[name]) for name in COLUMNS] for row in rows])
    for row in rows:
        if row["needed"]:
            err().print(f"{row['band']} {row['segment']}: needed: {row['needed']}".replace(" -:", ":"), markup=False)
    without, other = left_out["withoutDecision"], left_out["ofAnotherScorer"]
    if without or other:
        err().print(f"left out: {without:,} labels without a decision, {other:,} of another scorer", markup=False)
    out().print(f"{len(issued)} certificates issued", markup=False)
    if choice is not None:
        _say(choice)
    return None


def _say(choice: Mapping[str, Any]) -> None:
    reviewed = next((each["reviewsADay"] for each in choice["considered"] if each["chosen"]), None)
    if reviewed is None:
        return err().print("no thresholds that were tried can be certified: nothing is chosen", markup=False)
    if not choice["withinHours"]:
        hours = f"{reviewed:,.0f} items a day are left to people, who have hours for {choice['mostReviewed']:,.0f}"
        err().print(f"{hours}: no certified thresholds leave them fewer", markup=False)
    if not choice["bands"]:
        return out().print("the graph has the cheapest of these thresholds already", markup=False)
    out().print(
        "cheaper than what the graph has: write these lines into spec.bands and apply it. The certificates are of the graph "
        "that has them, and live as soon as it has:",
        markup=False,
    )
    return out().print("\n".join(f"  {line}" for line in choice["bands"].splitlines()), markup=False)


def _cells(each: Mapping[str, Any]) -> list[str]:
    return [
        "-" if each["below"] is None else f"{each['below']:.6g}",
        each["boundBelow"] or "-",
        "-" if each["atLeast"] is None else f"{each['atLeast']:.6g}",
        each["boundFromThere"] or "-",
        "yes" if each["certified"] else "no",
        f"{each['reviewsADay']:,.1f}",
        f"{each['costADay']:,.2f}",
        "<--" if each["chosen"] else "",
    ]
