"""Labels in the decision store: written with a verdict or by an import, read with the decisions that they are about.

Nothing is updated: the latest label of a source is the one that counts. A verdict's label is covered by the verdict's leaf of
the ledger; an import has a leaf of its own for each batch, over a digest of its labels. Silence is not stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.graphs.identity import decision_ids
from pointsman.labels.assemble import Source
from pointsman.labels.importing import Conflict, Truth, sort
from pointsman.ledger.append import append_leaves
from pointsman.monitoring.store import Watched, feed

Connection = psycopg.Connection[TupleRow]

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 7300412009))"
DECIDED = """
SELECT k.decision_id, (SELECT l.value FROM labels l WHERE l.decision_id = k.decision_id AND l.source = 'Import'
    ORDER BY l.seq DESC LIMIT 1)
FROM decision_keys k WHERE k.decision_id = ANY(%s)
"""
INSERT = """
INSERT INTO labels (graph_uid, decision_id, event_id, value, source, known_at, propensity, author, origin, at)
SELECT %(graph)s, l.decision_id, l.event_id, l.value, %(source)s, l.known_at, l.propensity, %(author)s, l.origin, %(now)s
FROM unnest(%(decisions)s::uuid[], %(events)s::text[], %(values)s::boolean[], %(known)s::timestamptz[],
    %(propensities)s::float8[], %(origins)s::uuid[]) AS l (decision_id, event_id, value, known_at, propensity, origin)
"""
NEWEST = """
SELECT seq, decision_id AS decision, event_id AS id, value AS label, source, known_at, propensity, author, origin, at
FROM labels WHERE graph_uid = %(graph)s AND (%(source)s::text IS NULL OR source = %(source)s)
    AND (%(after)s::bigint IS NULL OR seq < %(after)s)
ORDER BY seq DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of a batch of labels. Conflicts and events that the graph has not decided are not written."""

    batch: UUID | None
    """None where nothing was new"""
    new: int
    repeated: int
    conflicts: tuple[Conflict, ...]
    unknown: tuple[str, ...]
    alarms: tuple[Watched, ...]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A decision of which a person has said what its label is; `origin` is the review item."""

    decision_id: UUID
    event_id: str
    value: bool
    propensity: float | None
    origin: UUID


def import_labels(
    connection: Connection,
    graph_uid: UUID,
    truths: Sequence[Truth],
    *,
    author: str,
    source: str,
    propensity: float | None,
    replace: bool,
    now: datetime,
) -> Imported:
    """Write what is new of a batch of ground truth; the same again changes nothing.

    `source` says where it is from, in words; `propensity` how probable it was for each event to be in it whatever its label,
    None where that is not known.
    """
    ids = decision_ids(graph_uid, [each.event_id for each in truths])
    with connection.transaction():
        connection.execute(LOCK, (graph_uid,))
        rows = connection.execute(DECIDED, ([UUID(bytes=each) for each in ids],)).fetchall()
        found = sort(truths, ids, {decision.bytes: value for decision, value in rows}, replace=replace)
        new = [(UUID(bytes=ids[at]), truths[at]) for at in found.new]
        if not new:
            return Imported(
                batch=None, new=0, repeated=found.repeated, conflicts=found.conflicts, unknown=found.unknown, alarms=()
            )
        batch, said = uuid4(), {decision: truth.value for decision, truth in new}
        alarms = feed(connection, graph_uid, said, now) if propensity is not None else []
        columns = {
            "decisions": [decision for decision, _ in new],
            "events": [truth.event_id for _, truth in new],
            "values": [truth.value for _, truth in new],
            "known": [truth.known_at for _, truth in new],
            "propensities": [propensity] * len(new),
            "origins": [batch] * len(new),
        }
        about = {"graph": graph_uid, "source": Source.IMPORT.value, "author": author, "now": now}
        connection.execute(INSERT, columns | about)
        body = _body(batch, graph_uid, [truth for _, truth in new], author, source, propensity, now)
        connection.execute(
            "INSERT INTO label_batches (batch_id, graph_uid, author, at, body) VALUES (%s, %s, %s, %s, %s)",
            (batch, graph_uid, author, now, body),
        )
        append_leaves(connection, "labels", [batch.bytes], [body])
    return Imported(
        batch=batch,
        new=len(new),
        repeated=found.repeated,
        conflicts=found.conflicts,
        unknown=found.unknown,
        alarms=tuple(alarms),
    )


def judge(connection: Connection, graph_uid: UUID, judged: Sequence[Judged], *, author: str, now: datetime) -> None:
    """Write the labels that follow from verdicts, and tell the monitors. In the verdicts' transaction, before its leaves."""
    if not judged:
        return
    feed(connection, graph_uid, {each.decision_id: each.value for each in judged}, now)
    columns: dict[str, object] = {
        "decisions": [each.decision_id for each in judged],
        "events": [each.event_id for each in judged],
        "values": [each.value for each in judged],
        "known": [now] * len(judged),
        "propensities": [each.propensity for each in judged],
        "origins": [each.origin for each in judged],
    }
    about = {"graph": graph_uid, "source": Source.VERDICT.value, "author": author, "now": now}
    connection.execute(INSERT, columns | about)


def newest(
    connection: Connection, graph_uid: UUID, *, source: str | None, after: int | None, limit: int
) -> list[Mapping[str, object]]:
    """Stored labels, the newest first; `after` is the last one's seq of the page before."""
    asked = {"graph": graph_uid, "source": source, "after": after, "limit": limit}
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(NEWEST, asked).fetchall())


def _body(
    batch: UUID,
    graph_uid: UUID,
    truths: Sequence[Truth],
    author: str,
    source: str,
    propensity: float | None,
    now: datetime,
) -> bytes:
    """The stored record of a batch, to which the ledger commits."""
    labels = [[each.event_id, each.value, each.known_at.isoformat()] for each in truths]
    return orjson.dumps(
        {
            "version": 1,
            "id": str(batch),
            "graph": str(graph_uid),
            "labels": len(truths),
            "digest": f"sha256:{hashlib.sha256(orjson.dumps(labels)).hexdigest()}",
            "author": author,
            "source": source,
            "propensity": propensity,
            "at": now.isoformat(),
        },
        option=orjson.OPT_SORT_KEYS,
    )
