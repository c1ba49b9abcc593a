"""Cases beside a graph's documents: events in, outcomes and reasons expected. `pointsman test FOLDER` runs them.

A file `tests/*.yaml` of the folder holds documents like

    name: a stolen card goes to a person
    now: 2026-03-02T11:00:00Z            # when it is decided; default: the last event's time
    lists: {stolen_cards: [card-1]}      # what stands in lists
    events:
    - event: {transaction_id: t1, card_id: card-1, …}
      expect: {outcome: review, reasons: [StolenCard]}

Every case begins with features that have seen nothing. An event without `expect` only makes history; of an `expect` only
what is written is compared: outcome, band, reasons, and score as {atLeast, below}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pointsman.graphs.lists import ListBook, ListEntry
from pointsman.library import GraphLibrary, load

FOLDER = "tests"


class InvalidCase(ValueError):
    """A case that cannot be read; the message says where."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True)


class ScoreRange(_Block):
    """A score's bounds."""

    at_least: float | None = None
    below: float | None = None


class Expected(_Block):
    """What is expected of one decision; what is left out is not compared."""

    outcome: str | None = None
    band: str | None = None
    reasons: list[str] | None = None
    score: ScoreRange | None = None


class Step(_Block):
    """An event, and what should come of it."""

    event: dict[str, Any]
    expect: Expected | None = None


class Case(_Block):
    """One case: a name, and events in their order."""

    name: str = Field(min_length=1)
    graph: str | None = None
    now: AwareDatetime | None = None
    lists: dict[str, list[str]] = Field(default_factory=dict)
    events: list[Step] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a case went; it passed where `differences` is empty."""

    case: str
    place: str
    differences: tuple[str, ...]
    result: Literal["passed", "failed"]


def cases_of(folder: Path) -> list[tuple[str, Case]]:
    """Every case of a folder with where it stands. Raises InvalidCase."""
    found = list[tuple[str, Case]]()
    for file in sorted((folder / FOLDER).glob("*.yaml")):
        try:
            documents = [each for each in yaml.safe_load_all(file.read_text()) if each is not None]
        except yaml.YAMLError as error:
            raise InvalidCase(f"{file}: not YAML: {' '.join(str(error).split())}") from error
        for number, document in enumerate(documents):
            try:
                found.append((f"{file.name}[{number}]", Case.model_validate(document)))
            except ValidationError as error:
                first = error.errors()[0]
                path = ".".join(map(str, first["loc"]))
                raise InvalidCase(f"{file}: document {number + 1}: {path}: {first['msg']}") from error
    return found


def run_cases(folder: Path) -> Iterator[Verdict]:
    """Run all cases of a folder. Raises InvalidCase, and what `pointsman.load` raises."""
    graphs = dict[str | None, GraphLibrary]()
    for place, case in cases_of(folder):
        if case.graph not in graphs:
            graphs[case.graph] = load(folder, case.graph)
        differences = tuple(_differences(graphs[case.graph].fresh(), case))
        yield Verdict(
            case=case.name, place=place, differences=differences, result="failed" if differences else "passed"
        )


def _differences(graph: GraphLibrary, case: Case) -> Iterator[str]:
    answers = graph.decide(
        [_plain(step.event) for step in case.events],
        lists=_book(case.lists),
        now=case.now or _last_time(graph, case.events),
    )
    for number, (step, answer) in enumerate(zip(case.events, answers, strict=True), start=1):
        if step.expect is not None:
            for difference in _compare(step.expect, answer):
                yield f"event {number}: {difference}"


def _compare(expected: Expected, answer: Mapping[str, Any]) -> Iterator[str]:
    for name in ("outcome", "band"):
        wanted = getattr(expected, name)
        if wanted is not None and wanted != answer[name]:
            because = f" ({', '.join(answer['reasons'])})" if answer["reasons"] else ""
            yield f"{name}: expected {wanted}, got {answer[name]}{because}"
    if expected.reasons is not None and sorted(expected.reasons) != sorted(answer["reasons"]):
        yield f"reasons: expected {expected.reasons}, got {list(answer['reasons'])}"
    if expected.score is not None:
        score = answer["score"]
        low, high = expected.score.at_least, expected.score.below
        if score is None or (low is not None and score < low) or (high is not None and score >= high):
            yield f"score: expected at least {low} and below {high}, got {score}"


def _book(lists: Mapping[str, Sequence[str]]) -> ListBook:
    return {
        name: {value: ListEntry(entry_id=f"{name}/{value}", value=value, author="case") for value in values}
        for name, values in lists.items()
    }


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """YAML reads timestamps by itself; an event carries text."""
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in event.items()}


def _last_time(graph: GraphLibrary, steps: Sequence[Step]) -> datetime:
    times = list[datetime]()
    for step in steps:
        value = step.event.get(graph.graph.contract.time)
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            continue
        times.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return max(times, default=datetime.now(UTC))
