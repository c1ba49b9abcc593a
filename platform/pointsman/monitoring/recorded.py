"""Reads what a graph decided on, before and now, out of its recorded decisions, and compares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.columns import Column, FieldType
from pointsman.decisions import certificate_store
from pointsman.graphs.contract import compile_contract
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.monitoring.drift import Floats, Input, compare, concerns, unknown_fields

Connection = psycopg.Connection[TupleRow]
Row = tuple[int, bytes, bytes]

BEFORE_TIMES = 5
"""So many more decisions are compared with than are looked at"""
ROWS = """
SELECT d.seq, d.body, e.body FROM decisions d JOIN events e USING (day, stream_uid, event_id)
WHERE d.graph_uid = %(graph)s AND d.seq < %(until)s AND (%(issued)s::timestamptz IS NULL OR d.decided_at < %(issued)s)
ORDER BY d.seq DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What has changed: inputs, fields that the contract does not know (by the number of events now), and the bands whose
    certificates that puts in doubt.
    """

    before: int
    now: int
    inputs: tuple[Input, ...]
    unknown: Mapping[str, int]
    in_doubt: tuple[tuple[str, str | None], ...]


def drift(connection: Connection, graph_uid: UUID, resolved: ResolvedGraph, newest: int) -> Drift:
    """Compare the newest decisions with those before the last certificate was issued, or before these where there are none."""
    with connection.transaction():
        known = certificate_store.known(connection, graph_uid)
        issued = max((each.issued for each in known.certificates), default=None)
        now = _rows(connection, graph_uid, until=2**62, issued=None, limit=newest)
        first = now[-1][0] if now else 0
        before = _rows(connection, graph_uid, until=first, issued=issued, limit=newest * BEFORE_TIMES)
        if not before and issued is not None:
            before = _rows(connection, graph_uid, until=first, issued=None, limit=newest * BEFORE_TIMES)
    was, is_ = _inputs(before, resolved), _inputs(now, resolved)
    inputs = tuple(compare(name, was[name], is_[name]) for name in sorted(was.keys() & is_.keys()))
    changed = [each.name for each in inputs if each.has_changed]
    fields = [each.name for each in resolved.stream.spec.contract.fields]
    doubtful = {
        (each.band, None if each.segment is None else str(each.segment))
        for each in known.certificates
        if any(concerns(name, each.scorer_parts) for name in changed)
    }
    return Drift(
        before=len(before),
        now=len(now),
        inputs=inputs,
        unknown=unknown_fields((orjson.loads(event) for _, _, event in now), fields),
        in_doubt=tuple(sorted(doubtful, key=str)),
    )


def _rows(connection: Connection, graph_uid: UUID, *, until: int, issued: datetime | None, limit: int) -> Sequence[Row]:
    asked = {"graph": graph_uid, "until": until, "issued": issued, "limit": limit}
    found: list[Any] = connection.execute(ROWS, asked).fetchall()
    return found


def _inputs(rows: Sequence[Row], resolved: ResolvedGraph) -> dict[str, Floats]:
    """Each number that was decided on: the event's fields, what views and models gave."""
    read = compile_contract(resolved.stream).read([orjson.loads(event) for _, _, event in rows])
    times = {FieldType.STRING, FieldType.TIMESTAMP}
    found = {f"event.{name}": _floats(each) for name, each in read.columns.items() if each.type.type not in times}
    values = [orjson.loads(body)["values"] for _, body, _ in rows]
    for name in dict.fromkeys(name for each in values for name in each):
        column = [each.get(name) for each in values]
        if all(each is None or isinstance(each, (int, float)) for each in column):
            found[name] = np.array([np.nan if each is None else float(each) for each in column])
    return found


def _floats(column: Column) -> Floats:
    values = column.double().astype(np.float64)
    if column.missing is not None:
        values = np.where(column.missing, np.nan, values)
    return values
