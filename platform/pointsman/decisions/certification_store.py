"""Certifications that the API was asked for: what they are to be of, the labelled decisions they were given, what came of them.

One runs at a time for a graph: whoever computes holds a lock of the store for as long as it lives, so that one whose process
has died is known to have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.certificates.labelled import Labelled

Connection = psycopg.Connection[TupleRow]

LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s::text, 7300412013))"
IS_FREE = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s::text, 7300412013))"
ONE = "SELECT * FROM certifications WHERE graph_uid = %s AND certification_id = %s"
END = """
UPDATE certifications SET state = %(state)s, phase = '', ended_at = %(now)s, result = %(result)s::jsonb, error = %(error)s
WHERE certification_id = %(id)s AND state IN ('Collecting', 'Running')
"""
OTHERS = """
SELECT certification_id FROM certifications WHERE graph_uid = %s AND state = %s AND certification_id <> %s
"""
ADD = """
INSERT INTO certification_items (certification_id, decision_id, score, label, propensity, segment)
SELECT %(id)s, i.* FROM unnest(%(ids)s::uuid[], %(scores)s::float8[], %(labels)s::boolean[], %(propensities)s::float8[],
    %(segments)s::text[]) i
ON CONFLICT DO NOTHING
"""
GIVEN = """
UPDATE certifications SET given = given + %(given)s, unknown = unknown + %(unknown)s, other_scorer = other_scorer + %(other)s,
    is_history = %(history)s
WHERE certification_id = %(id)s AND state = 'Collecting' AND (given = 0 OR is_history = %(history)s) RETURNING given
"""
ITEMS = """
SELECT decision_id, score, label, propensity, segment FROM certification_items WHERE certification_id = %s ORDER BY decision_id
"""
INTERRUPTED = "the API was started anew meanwhile: ask again"
MOST_ITEMS = 1_000_000
"""Labelled decisions that one certification is given at most"""


class NotCollecting(Exception):
    """The certification takes no more, or not as many."""


@dataclass(frozen=True, kw_only=True)
class Certification:
    """One certification. `asked` is what the API was asked for; `result` is there once it is Done, `error` once it Failed."""

    id: UUID
    graph_uid: UUID
    revision: str
    author: str
    at: datetime
    asked: Mapping[str, Any]
    state: str
    phase: str
    given: int
    is_history: bool
    """whether it was given a history, and no decisions"""
    unknown: int
    other_scorer: int
    ended_at: datetime | None
    result: Mapping[str, Any] | None
    error: str | None


def create(
    connection: Connection, graph_uid: UUID, revision: str, *, author: str, asked: Mapping[str, Any], now: datetime
) -> UUID:
    """A certification that collects; one that the graph collects for already is ended by it."""
    id_ = uuid4()
    with connection.transaction():
        connection.execute(
            "INSERT INTO certifications (certification_id, graph_uid, revision, author, at, asked, state) "
            "VALUES (%s, %s, %s, %s, %s, %s::jsonb, 'Collecting')",
            (id_, graph_uid, revision, author, now, orjson.dumps(asked).decode()),
        )
        for (before,) in connection.execute(OTHERS, (graph_uid, "Collecting", id_)).fetchall():
            end(connection, before, error="another certification of the graph was begun", now=now)
    return id_


def one(connection: Connection, graph_uid: UUID, id_: UUID) -> Certification | None:
    """A graph's certification as it stands."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as rows:
        found = rows.execute(ONE, (graph_uid, id_)).fetchone()
    return None if found is None else Certification(id=found.pop("certification_id"), **found)


def add(
    connection: Connection,
    id_: UUID,
    items: Labelled | None,
    *,
    is_history: bool,
    unknown: int,
    other_scorer: int,
) -> None:
    """Labelled decisions, or a history, for a certification that collects; of what it knows by its id the first stands.

    Raises NotCollecting, also where it was given the other before.
    """
    with connection.transaction():
        new = 0
        if items is not None:
            columns = {
                "ids": [UUID(bytes=each) for each in items.ids],
                "scores": items.scores.tolist(),
                "labels": items.labels.tolist(),
                "propensities": [None] * len(items) if items.propensities is None else items.propensities.tolist(),
                "segments": [None] * len(items) if items.segments is None else items.segments.tolist(),
            }
            new = connection.execute(ADD, {"id": id_, **columns}).rowcount
        counts = {"id": id_, "given": new, "history": is_history, "unknown": unknown, "other": other_scorer}
        row = connection.execute(GIVEN, counts).fetchone()
        if row is None:
            raise NotCollecting("it collects no more, or was given a history and decisions: one at a time")
        if row[0] > MOST_ITEMS:
            raise NotCollecting(f"it has {MOST_ITEMS:,} labelled decisions already, which is the most")


def items(connection: Connection, certification: Certification, *, segment: str | None) -> Labelled:
    """What a certification was given; its propensities are NaN where there is none."""
    with connection.transaction():
        rows = connection.execute(ITEMS, (certification.id,)).fetchall()
    ids, scores, labels, propensities, segments = list(zip(*rows, strict=True)) if rows else [()] * 5
    return Labelled(
        ids=[each.bytes for each in ids],
        scores=np.array(scores, dtype=np.float64),
        labels=np.array(labels, dtype=np.bool_),
        propensities=np.array(propensities, dtype=np.float64),
        segment_field=segment,
        segments=None if segment is None else np.array(segments, dtype=object),
    )


def take(connection: Connection, graph_uid: UUID) -> bool:
    """Whether this connection may compute for the graph from now on, until it is closed: one may at a time."""
    row = connection.execute(LOCK, (graph_uid,)).fetchone()
    return row is not None and bool(row[0])


def begin(connection: Connection, certification: Certification, now: datetime) -> None:
    """It runs, on the connection that took its graph: what ran before has ended without a word. Raises NotCollecting."""
    with connection.transaction():
        begun = connection.execute(
            "UPDATE certifications SET state = 'Running' WHERE certification_id = %s AND state = 'Collecting'",
            (certification.id,),
        )
        if not begun.rowcount:
            raise NotCollecting("it was started before")
        for (before,) in connection.execute(OTHERS, (certification.graph_uid, "Running", certification.id)).fetchall():
            end(connection, before, error=INTERRUPTED, now=now)


def enter(connection: Connection, id_: UUID, phase: str) -> None:
    """Say what is being done."""
    with connection.transaction():
        connection.execute("UPDATE certifications SET phase = %s WHERE certification_id = %s", (phase, id_))


def end(
    connection: Connection,
    id_: UUID,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
    now: datetime,
) -> None:
    """Done with a result, or Failed with an error; what it was given is forgotten. One that has ended stays as it is."""
    with connection.transaction():
        ended = {"state": "Done" if error is None else "Failed", "now": now, "error": error, "id": id_}
        text = None if result is None else orjson.dumps(result).decode()
        connection.execute(END, {**ended, "result": text})
        connection.execute("DELETE FROM certification_items WHERE certification_id = %s", (id_,))


def look_after(connection: Connection, certification: Certification, now: datetime) -> bool:
    """End a certification that says that it runs where nobody computes for its graph; return whether it was so."""
    with connection.transaction():
        row = connection.execute(IS_FREE, (certification.graph_uid,)).fetchone()
        if row is None or not row[0]:
            return False
        end(connection, certification.id, error=INTERRUPTED, now=now)
        return True
