"""Writes the demo's report to a folder: `report.json` with all numbers, `report.md` for people, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pointsman.demo.comparing import Comparison, Way
from pointsman.demo.curves import curves
from pointsman.demo.findings import assumed, rows, verdicts
from pointsman.demo.pictures import Picture, draw
from pointsman.demo.sections import Section


def write(
    reports: Path, now: datetime, found: Comparison, others: Mapping[str, Any], told: Sequence[Section] = ()
) -> Path:
    """Write a new folder below `reports`, named by the moment in UTC; return it.

    `others` are more numbers, by section, and `told` is what `report.md` says of them.
    """
    folder = reports / now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder.mkdir(parents=True)
    pictures = draw(found, folder)
    document = as_json(found, others, pictures)
    (folder / "report.json").write_bytes(
        orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    )
    (folder / "report.md").write_text(as_markdown(found, pictures, told))
    return folder


def as_json(found: Comparison, others: Mapping[str, Any], pictures: tuple[Picture, ...]) -> dict[str, Any]:
    """All numbers; durations are in seconds and money in cents unless the name says otherwise."""
    drawn = curves(found.decided.score, found.decided.fraud, approve_below=found.thresholds.approve_below)
    return {
        **others,
        "comparison": {
            "transactions": len(found.decided),
            "days": found.decided.days,
            "nights": found.twin.nights,
            "agreed": found.agreed,
            "compared": found.compared,
            "continuous": _way(found.continuous),
            "nightly": _way(found.nightly),
            "rows": [{**asdict(each), "winner": each.winner} for each in rows(found)],
        },
        "measured": {
            "decisionSeconds": found.ran.decision_seconds,
            "freezeSecondsP95": found.ran.slowest_freezes,
            "continuousCpuSeconds": found.ran.cpu_seconds,
            "continuousSeconds": found.ran.seconds,
            "nightlyCpuSeconds": found.twin.cpu_seconds,
            "nightlySeconds": found.twin.seconds,
        },
        "assumptions": {**asdict(found.assumptions), "inWords": assumed(found)},
        "thresholds": {**asdict(found.thresholds), **asdict(drawn)},
        "pictures": [asdict(each) for each in pictures],
    }


def _way(way: Way) -> dict[str, Any]:
    cost = way.cost
    return {"measured": asdict(way.measured), "cost": {**asdict(cost), "total": cost.total}}


def as_markdown(found: Comparison, pictures: tuple[Picture, ...], told: Sequence[Section] = ()) -> str:
    """The comparison for people: the table, who does better where, the pictures, what else is told, and what is assumed."""
    lines = [
        "# Continuous decisions and their nightly twin",
        "",
        f"{len(found.decided):,} card transactions of {found.decided.days:.1f} days, "
        f"{int(found.decided.fraud.sum()):,} of them fraud; a generated stream.",
        "",
        "| | continuous | nightly | better |",
        "|---|---:|---:|---|",
    ]
    lines += [
        f"| {each.label} | {each.shown(each.continuous)} | {each.shown(each.nightly)} | {each.winner} |"
        for each in rows(found)
    ]
    lines += ["", *(f"- {verdict}" for verdict in verdicts(found)), ""]
    for picture in pictures:
        finding = picture.finding.replace("\n", " ")
        lines += [f"## {finding}", "", f"![{finding}]({picture.file})", ""]
    for section in told:
        lines += [f"## {section.title}", ""]
        if section.columns:
            lines += [_row(section.columns), _row(["---"] * len(section.columns)), *map(_row, section.rows), ""]
        lines += [*(f"- {each}" for each in section.sentences), ""]
    lines += ["## What is assumed, and what was measured", "", *(f"- {each}" for each in assumed(found)), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
