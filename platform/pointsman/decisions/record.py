"""What is written for a batch: columns and rows, made from what was decided. No I/O; the committer writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import orjson

from pointsman.api.reasons import Reason
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.decisions import bodies
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import REVIEW, Evaluation, Triage
from pointsman.graphs.identity import action_id, digest, uuid_text

BODY_VERSION = 1
SCORE = ColumnType(type=FieldType.DOUBLE)


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events as they are stored, column by column; times are microseconds since 1970 UTC."""

    ids: list[str]
    digests: list[bytes]
    bodies: list[bytes]
    times: list[int]
    known_at: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Events:
        """The events at these positions."""
        return Events(
            ids=[self.ids[at] for at in rows],
            digests=[self.digests[at] for at in rows],
            bodies=[self.bodies[at] for at in rows],
            times=[self.times[at] for at in rows],
            known_at=[self.known_at[at] for at in rows],
        )


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Decisions, column by column, in sequence order from `first_seq` on.

    `bodies` are the versioned records that the ledger commits to.
    """

    first_seq: int
    ids: Sequence[bytes] = ()
    names: Sequence[str] = ()
    """the ids as they are written"""
    event_ids: Sequence[str] = ()
    scores: Sequence[float | None] = ()
    bands: Sequence[str | None] = ()
    outcomes: Sequence[str] = ()
    reasons: Sequence[tuple[str, ...]] = ()
    bodies: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class ActionRow:
    """An action a decision asks for: it goes to the outbox."""

    action_id: UUID
    decision_id: bytes
    name: str
    target: str
    operation: str
    parameters: bytes
    expires_at: datetime | None
    certified: bool
    """whether a certificate speaks for the band that asks"""
    people: int = 0
    """how many must approve it first"""
    evidence: bytes | None = None
    """the digest of the decision's record, where people must"""


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """An item for a person."""

    decision_id: bytes
    event_id: str
    case_key: str | None
    priority: float | None
    reasons: tuple[str, ...]
    deadline_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a source an event was read."""

    source: str
    offset: int


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What broke the contract, or contradicts an event of the same id. `read` is None where it was sent to us."""

    dead_letter_id: UUID
    event_id: str | None
    reason: Reason
    place: str
    message: str
    body: bytes
    read: Place | None = None


@dataclass(frozen=True, kw_only=True)
class KnownDecision:
    """A decision that is already recorded for an event id."""

    event_digest: bytes
    day: date


@dataclass(frozen=True, kw_only=True)
class Records:
    """All that is decided of one batch, in sequence order."""

    decisions: Decisions
    actions: tuple[ActionRow, ...] = ()
    reviews: tuple[ReviewRow, ...] = ()


def records(
    graph: CompiledGraph,
    *,
    decision_ids: Sequence[bytes],
    events: Events,
    first_seq: int,
    evaluation: Evaluation,
    triage: Triage,
    decided_at: datetime,
) -> Records:
    """What is written for a decided batch; row i has sequence number `first_seq` + i."""
    acting = {name: np.flatnonzero(mask).tolist() for name, mask in triage.acting.items()}
    actions = _actions(graph, acting, decision_ids, evaluation, decided_at)
    names = list(map(uuid_text, decision_ids))
    seen, shadowed = np.flatnonzero(triage.audited).tolist(), np.flatnonzero(triage.shadowed).tolist()
    bands = np.array([*graph.band_names, None], dtype=object)[triage.band].tolist()
    decisions = Decisions(
        first_seq=first_seq,
        ids=decision_ids,
        names=names,
        event_ids=events.ids,
        scores=np.where(np.isnan(evaluation.score), None, evaluation.score).tolist(),  # type: ignore[call-overload]
        bands=bands,
        outcomes=triage.outcomes,
        reasons=triage.reasons,
        bodies=list(
            bodies.objects(
                {
                    "version": bodies.constant(BODY_VERSION),
                    "graph": bodies.constant(graph.resolved.graph.metadata.name),
                    "revision": bodies.constant(graph.resolved.revision),
                    "decidedAt": bodies.constant(decided_at.isoformat()),
                    "decision": bodies.plain_strings(names),
                    "event": bodies.objects(
                        {
                            "id": bodies.strings(events.ids),
                            "digest": bodies.plain_strings(map(bytes.hex, events.digests)),
                        }
                    ),
                    "seq": bodies.numbered(first_seq, len(events)),
                    "values": bodies.objects(
                        {
                            name: bodies.column(values)
                            for name, values in evaluation.columns.items()
                            if not name.startswith("event.")
                        }
                    ),
                    "score": bodies.column(Column(type=SCORE, values=evaluation.score)),
                    "band": bodies.one_of_few(bands),
                    "outcome": bodies.one_of_few(triage.outcomes),
                    "reasons": bodies.one_of_few(triage.reasons),
                    "actions": bodies.mostly([], _named(actions), len(events)),
                },
                rarely={
                    "audit": {row: {"propensity": _propensity(graph, triage, row)} for row in seen},
                    "shadow": {row: {"outcome": graph.outcomes[triage.band[row]]} for row in shadowed},
                    "rules": _held(evaluation),
                    "lists": _listed(evaluation),
                },
            )
        ),
    )
    return Records(
        decisions=decisions,
        actions=tuple(_with_evidence(action, decisions.bodies[row]) for row, action in actions),
        reviews=_reviews(graph, decisions, triage, evaluation, decided_at),
    )


def _propensity(graph: CompiledGraph, triage: Triage, row: int) -> float:
    """With which probability people were to see this item, which they see by chance."""
    return graph.shadow.share if graph.shadow is not None and triage.shadowed[row] else graph.audit_share


def _with_evidence(action: ActionRow, body: bytes) -> ActionRow:
    """With what people approve it by, where they must."""
    return replace(action, evidence=digest(body)) if action.people else action


def _named(actions: Sequence[tuple[int, ActionRow]]) -> dict[int, list[dict[str, str]]]:
    """By row, what its record says of its actions."""
    by_row = dict[int, list[dict[str, str]]]()
    for row, action in actions:
        by_row.setdefault(row, []).append(
            {"id": str(action.action_id), "name": action.name, "parametersDigest": digest(action.parameters).hex()}
        )
    return by_row


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
    decision_ids: Sequence[bytes],
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
                        certified=graph.certificates_required,
                        people=action.people,
                    ),
                )
            )
    return rows


def _reviews(
    graph: CompiledGraph, decisions: Decisions, triage: Triage, evaluation: Evaluation, decided_at: datetime
) -> tuple[ReviewRow, ...]:
    positions = np.flatnonzero((np.array(decisions.outcomes, dtype=object) == REVIEW) | triage.audited)
    where = positions.tolist()
    if not where:
        return ()
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
            decision_id=decisions.ids[row],
            event_id=decisions.event_ids[row],
            case_key=None if case is None else str(case),
            priority=priority,  # type: ignore[arg-type]
            reasons=decisions.reasons[row],
            deadline_at=deadline,
        )
        for row, case, priority in zip(where, cases, priorities, strict=True)
    )
