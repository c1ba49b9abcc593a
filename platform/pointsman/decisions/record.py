"""What is written for a batch: frozen rows, made from what was decided. No I/O; the committer writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import orjson

from pointsman.api.reasons import Reason
from pointsman.columns import Column, FieldType
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import REVIEW, Evaluation, Triage
from pointsman.graphs.identity import action_id, digest

BODY_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """An event as it is stored; times are microseconds since 1970 UTC."""

    event_id: str
    digest: bytes
    body: bytes
    event_time: int
    known_at: int


@dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """A decision; `body` is the versioned record that the ledger commits to."""

    decision_id: UUID
    event_id: str
    seq: int
    score: float | None
    band: str | None
    outcome: str
    reasons: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class ActionRow:
    """An action a decision asks for: it goes to the outbox."""

    action_id: UUID
    decision_id: UUID
    name: str
    target: str
    operation: str
    parameters: bytes
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """An item for a person."""

    decision_id: UUID
    event_id: str
    case_key: str | None
    priority: float | None
    reasons: tuple[str, ...]
    deadline_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What broke the contract, or contradicts an event of the same id."""

    dead_letter_id: UUID
    event_id: str | None
    reason: Reason
    place: str
    message: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class KnownDecision:
    """A decision that is already recorded for an event id."""

    event_digest: bytes
    day: date


@dataclass(frozen=True, kw_only=True)
class Records:
    """All rows of one batch, in sequence order."""

    decisions: tuple[DecisionRow, ...]
    actions: tuple[ActionRow, ...]
    reviews: tuple[ReviewRow, ...]


def records(
    graph: CompiledGraph,
    *,
    decision_ids: Sequence[UUID],
    events: Sequence[EventRow],
    first_seq: int,
    evaluation: Evaluation,
    triage: Triage,
    decided_at: datetime,
) -> Records:
    """The rows for a decided batch; row i has sequence number `first_seq` + i."""
    names = [name for name in evaluation.columns if not name.startswith("event.")]
    provenance = zip(*(plain_values(evaluation.columns[name]) for name in names), strict=True) if names else iter(())
    acting = {name: np.flatnonzero(mask).tolist() for name, mask in triage.acting.items()}
    actions = _actions(graph, acting, decision_ids, evaluation, decided_at)
    of_row = dict[int, list[dict[str, str]]]()
    for row, action in actions:
        of_row.setdefault(row, []).append(
            {"id": str(action.action_id), "name": action.name, "parametersDigest": digest(action.parameters).hex()}
        )
    held, listed = _held(evaluation), _listed(evaluation)
    scores = np.where(np.isnan(evaluation.score), None, evaluation.score).tolist()  # type: ignore[call-overload]
    bands = [*graph.band_names, None]
    common = {
        "version": BODY_VERSION,
        "graph": graph.resolved.graph.metadata.name,
        "revision": graph.resolved.revision,
        "decidedAt": decided_at.isoformat(),
    }
    decisions = list[DecisionRow]()
    for row, (decision_id, event, values) in enumerate(
        zip(decision_ids, events, provenance if names else [()] * len(events), strict=True)
    ):
        band = bands[triage.band[row]]
        body = {
            **common,
            "decision": str(decision_id),
            "event": {"id": event.event_id, "digest": event.digest.hex()},
            "seq": first_seq + row,
            "values": dict(zip(names, values, strict=True)),
            "score": scores[row],
            "band": band,
            "outcome": triage.outcomes[row],
            "reasons": triage.reasons[row],
            "actions": of_row.get(row, ()),
        }
        if row in held:
            body["rules"] = held[row]
        if row in listed:
            body["lists"] = listed[row]
        decisions.append(
            DecisionRow(
                decision_id=decision_id,
                event_id=event.event_id,
                seq=first_seq + row,
                score=scores[row],
                band=band,
                outcome=triage.outcomes[row],
                reasons=triage.reasons[row],
                body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
            )
        )
    return Records(
        decisions=tuple(decisions),
        actions=tuple(action for _, action in actions),
        reviews=_reviews(graph, decisions, evaluation, decided_at),
    )


def _held(evaluation: Evaluation) -> dict[int, list[str]]:
    """By row, the rules that hold for it."""
    by_row = dict[int, list[str]]()
    for name, mask in evaluation.rules:
        for row in np.flatnonzero(mask).tolist():
            by_row.setdefault(row, []).append(name)
    return by_row


def _listed(evaluation: Evaluation) -> dict[int, list[dict[str, str]]]:
    """By row, the entries of lists that it was touched by."""
    by_row = dict[int, list[dict[str, str]]]()
    for row, touched in evaluation.touched:
        entry = touched.entry
        said = {"list": touched.list, "entry": entry.entry_id, "author": entry.author, "comment": entry.comment}
        by_row.setdefault(row, []).append(said)
    return by_row


def plain_values(column: Column) -> list[object]:
    """A column as JSON values: a Decimal as a number in natural units, None where missing."""
    if column.type.type is FieldType.DECIMAL:
        values = column.double().tolist()
    else:
        values = column.values.tolist()
    if column.missing is None:
        return list(values)
    return [None if absent else value for value, absent in zip(values, column.missing.tolist(), strict=True)]


def _actions(
    graph: CompiledGraph,
    acting: dict[str, list[int]],
    decision_ids: Sequence[UUID],
    evaluation: Evaluation,
    decided_at: datetime,
) -> list[tuple[int, ActionRow]]:
    rows = list[tuple[int, ActionRow]]()
    for name, positions in acting.items():
        action = graph.actions[name]
        where = np.array(positions, dtype=np.intp)
        filled = {key: plain_values(evaluation.columns[column].take(where)) for key, column in action.parameters}
        expires = action.expires_after_seconds
        for at, row in enumerate(positions):
            parameters = {key: values[at] for key, values in filled.items()}
            rows.append(
                (
                    row,
                    ActionRow(
                        action_id=action_id(decision_ids[row], name),
                        decision_id=decision_ids[row],
                        name=name,
                        target=action.target,
                        operation=action.operation,
                        parameters=orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS),
                        expires_at=decided_at + timedelta(seconds=expires) if expires is not None else None,
                    ),
                )
            )
    return rows


def _reviews(
    graph: CompiledGraph, decisions: Sequence[DecisionRow], evaluation: Evaluation, decided_at: datetime
) -> tuple[ReviewRow, ...]:
    where = [row for row, decision in enumerate(decisions) if decision.outcome == REVIEW]
    positions = np.array(where, dtype=np.intp)
    nothing: list[object] = [None] * len(where)
    cases = plain_values(evaluation.columns[graph.case_column].take(positions)) if graph.case_column else nothing
    priorities = nothing
    if graph.priority_column:
        priorities = [
            None if np.isnan(value) else value
            for value in evaluation.columns[graph.priority_column].take(positions).double().tolist()
        ]
    seconds = graph.review_deadline_seconds
    deadline = decided_at + timedelta(seconds=seconds) if seconds is not None else None
    return tuple(
        ReviewRow(
            decision_id=decisions[row].decision_id,
            event_id=decisions[row].event_id,
            case_key=None if case is None else str(case),
            priority=priority,  # type: ignore[arg-type]
            reasons=decisions[row].reasons,
            deadline_at=deadline,
        )
        for row, case, priority in zip(where, cases, priorities, strict=True)
    )
