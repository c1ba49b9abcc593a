"""What decisions were made of, as it was recorded: their values by name, and the revision that decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson
import psycopg

from pointsman.api.decision_graph import REVIEW
from pointsman.decisions.accept import event_columns
from pointsman.decisions.record import plain_values
from pointsman.graphs.contract import Contract, compile_contract
from pointsman.graphs.identity import digest
from pointsman.graphs.resolve import ResolvedGraph

Cursor = psycopg.Cursor[dict[str, Any]]
Values = Mapping[str, object]
"""By the names that a graph uses: `event.field`, `node.output`."""

BEHIND = """
SELECT d.day, d.decision_id, d.seq, d.body, d.revision, e.body AS event
FROM decision_keys k JOIN decisions d USING (day, decision_id)
    LEFT JOIN events e ON e.day = d.day AND e.stream_uid = d.stream_uid AND e.event_id = d.event_id
WHERE k.decision_id = ANY(%s)
"""
BEFORE = """
SELECT d.body, e.body AS event FROM decisions d JOIN events e USING (day, stream_uid, event_id)
WHERE d.graph_uid = %s AND d.seq < %s ORDER BY d.seq DESC LIMIT %s
"""
REVISION = "SELECT body FROM revisions WHERE kind = 'DecisionGraph' AND digest = %s"


class NotRecorded(Exception):
    """A decision, or the revision that decided it, is no longer stored."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A decision as it was recorded; `body` is its record."""

    day: date
    seq: int
    resolved: ResolvedGraph
    body: Mapping[str, Any]
    digest: bytes
    """of the record as it is stored"""
    columns: Values

    @property
    def propensity(self) -> float | None:
        """How probable it was that a person would see the item; None where its own fate brought it there."""
        if self.body["outcome"] == REVIEW:
            return 1.0
        propensity: float | None = self.body.get("audit", {}).get("propensity")
        return propensity


def recorded(cursor: Cursor, decision_ids: Sequence[UUID]) -> dict[UUID, Recorded]:
    """Decisions by their ids. Raises NotRecorded where one is missing."""
    rows = cursor.execute(BEHIND, (list(decision_ids),)).fetchall()
    found, graphs = dict[UUID, Recorded](), dict[str, ResolvedGraph]()
    for row in rows:
        if row["revision"] not in graphs:
            kept = cursor.execute(REVISION, (row["revision"],)).fetchone()
            if kept is None:
                raise NotRecorded(f"the revision {row['revision']} of this decision is not recorded")
            graphs[row["revision"]] = ResolvedGraph.model_validate(kept["body"])
        resolved = graphs[row["revision"]]
        (columns,) = _columns(compile_contract(resolved.stream), [row])
        body = orjson.loads(row["body"])
        found[row["decision_id"]] = Recorded(
            day=row["day"], seq=row["seq"], resolved=resolved, body=body, digest=digest(row["body"]), columns=columns
        )
    missing = set(decision_ids) - found.keys()
    if missing:
        raise NotRecorded(f"the decision {sorted(map(str, missing))[0]} is no longer stored")
    return found


def before(cursor: Cursor, decision: Recorded, most: int) -> Sequence[Values]:
    """The values of the decisions of its graph that came before, the last first."""
    resolved = decision.resolved
    rows = cursor.execute(BEFORE, (resolved.graph_uid, decision.seq, most)).fetchall()
    return _columns(compile_contract(resolved.stream), rows)


def _columns(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> Sequence[Values]:
    """The values of each row: what its nodes gave, and its event's fields where the event is still stored."""
    values = [dict[str, object](orjson.loads(row["body"])["values"]) for row in rows]
    there = [at for at, row in enumerate(rows) if row["event"] is not None]
    read = contract.read([orjson.loads(rows[at]["event"]) for at in there])
    for name, column in event_columns(read.columns).items():
        for at, value in zip(read.good.tolist(), plain_values(column), strict=True):
            values[there[at]][name] = value
    return values
