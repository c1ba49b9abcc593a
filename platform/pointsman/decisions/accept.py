"""Accepts a batch: what holds its contract and is new goes on; what is broken, contradicts or repeats is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from pointsman.api.reasons import Reason
from pointsman.columns import Column
from pointsman.decisions.record import DeadLetter, Events, KnownDecision, Place
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.contract import Contract, Unread
from pointsman.graphs.identity import canonical, dead_letter_id, decision_ids, digest

Known = Callable[[Sequence[bytes]], Mapping[bytes, KnownDecision]]
"""Looks up which decisions are recorded already: one call a batch."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A batch, sorted out. `positions` are the rows that go on; events, ids and columns are aligned with it."""

    positions: list[int]
    events: Events
    decision_ids: list[bytes]
    columns: Mapping[str, Column]
    dead_letters: Mapping[int, DeadLetter]
    """by row"""
    recorded: Mapping[int, tuple[bytes, KnownDecision]]
    """by row: a duplicate of an event whose decision is recorded"""
    repeated: Mapping[int, int]
    """by row: a duplicate of this earlier row of the same batch"""


def event_columns(columns: Mapping[str, Column]) -> dict[str, Column]:
    """A contract's columns by the names that a graph uses: `event.field`."""
    return {f"event.{name}": column for name, column in columns.items()}


def stored_events(contract: Contract, rows: Sequence[object], columns: Mapping[str, Column], arrived: int) -> Events:
    """What is stored of events that hold their contract; `arrived` (µs) stands in where the source names no known time."""
    known_at = [arrived] * len(rows)
    if contract.known_at is not None:
        column = columns[contract.known_at]
        known = column.values if column.missing is None else np.where(column.missing, arrived, column.values)
        known_at = known.tolist()
    bodies = [canonical(row) for row in rows]
    return Events(
        ids=columns[contract.id].values.tolist(),
        digests=[digest(body) for body in bodies],
        bodies=bodies,
        times=columns[contract.time].values.tolist(),
        known_at=known_at,
    )


def accept(
    graph: CompiledGraph,
    rows: Sequence[object],
    known: Known,
    *,
    source: str,
    arrived: int,
    read: Callable[[int], Place | None] = lambda row: None,
) -> Accepted:
    """Read the contract, name every event, and find what repeats or contradicts an event seen before.

    `read` says where a row was read, if it was not sent.
    """
    contract, uid = graph.contract, graph.resolved.graph_uid
    batch = contract.read(rows, arrived=arrived)
    dead = {
        broken.row: _dead_letter(
            uid, source, _id_of(rows[broken.row], contract.id), rows[broken.row], broken.reason, broken.place,
            broken.message, read(broken.row),
        )
        for broken in batch.broken
    }  # fmt: skip
    good = batch.good.tolist()
    events = stored_events(contract, [rows[at] for at in good], batch.columns, arrived)
    ids = decision_ids(uid, events.ids)
    found = known(ids) if ids else {}
    recorded, repeated = dict[int, tuple[bytes, KnownDecision]](), dict[int, int]()
    columns: Mapping[str, Column] = event_columns(batch.columns)
    first = dict(zip(reversed(ids), range(len(ids) - 1, -1, -1), strict=True))
    if found or len(first) < len(ids):
        keep = list[int]()
        for index, (id_, row) in enumerate(zip(ids, good, strict=True)):
            earlier = found.get(id_)
            if earlier is None and first[id_] == index:
                keep.append(index)
                continue
            before = earlier.event_digest if earlier is not None else events.digests[first[id_]]
            if before != events.digests[index]:
                event_id = events.ids[index]
                message = f'another event was recorded with the id "{event_id}"'
                dead[row] = _dead_letter(
                    uid, source, event_id, rows[row], Reason.EventConflict, contract.id, message, read(row)
                )
            elif earlier is not None:
                recorded[row] = (id_, earlier)
            else:
                repeated[row] = good[first[id_]]
        where = np.array(keep, dtype=np.intp)
        columns = {name: column.take(where) for name, column in columns.items()}
        events, ids = events.take(keep), [ids[at] for at in keep]
        good = [good[at] for at in keep]
    return Accepted(
        positions=good,
        events=events,
        decision_ids=ids,
        columns=columns,
        dead_letters=dead,
        recorded=recorded,
        repeated=repeated,
    )


def _id_of(row: object, field: str) -> str | None:
    """The id that a broken event names, where it can be stored: text without U+0000 or half surrogates."""
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= 256 or "\0" in value:
        return None
    return value if value.isascii() or value.encode(errors="ignore").decode() == value else None


def _dead_letter(
    graph_uid: UUID,
    source: str,
    event_id: str | None,
    row: object,
    reason: Reason,
    place: str,
    message: str,
    read: Place | None,
) -> DeadLetter:
    """Named by the event's id, else by where it was read: what is read there again is the same dead letter."""
    body = canonical(row.content if isinstance(row, Unread) else row)
    if read is not None:
        source = read.source
    name = event_id or ("" if read is None else str(read.offset))
    return DeadLetter(
        dead_letter_id=dead_letter_id(graph_uid, source, name, digest(body)),
        event_id=event_id,
        reason=reason,
        place=place,
        message=message,
        body=body,
        read=read,
    )
