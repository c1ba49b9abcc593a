"""Writes a batch: one transaction for events, decisions, actions, reviews, dead letters, ledger leaves and the head.

One committer a graph writes at a time. Opening one raises the graph's epoch; a committer of an older epoch finds its epoch
gone at the head's row and is fenced. So the duplicates that `known` found before deciding are all there are. A fenced
committer never takes the graph back, and none takes it from one whose turn came later (`turns`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.actions.crash import crash_point
from pointsman.decisions.offsets import Offsets
from pointsman.decisions.record import ActionRow, DeadLetter, Events, KnownDecision, Records, ReviewRow
from pointsman.ledger.append import committed
from pointsman.store import arrays
from pointsman.store.arrays import Parameter, Statement, date_of
from pointsman.store.database import connect

OPEN = """
INSERT INTO graph_heads AS h (graph_uid, epoch, turn, writer) VALUES (%(graph)s, 1, %(turn)s, %(writer)s)
ON CONFLICT (graph_uid) DO UPDATE SET epoch = h.epoch + 1, turn = excluded.turn, writer = excluded.writer
WHERE CASE WHEN %(again)s THEN h.writer = excluded.writer ELSE h.turn <= excluded.turn END
RETURNING epoch, next_seq
"""
HOLDS = "SELECT FROM graph_heads WHERE graph_uid = %s AND writer = %s"
SERVES = "UPDATE graph_heads SET revision = %s WHERE graph_uid = %s AND epoch = %s AND revision IS DISTINCT FROM %s"
ADVANCE = """
UPDATE graph_heads SET next_seq = next_seq + %s, received = received + %s, duplicates = duplicates + %s
WHERE graph_uid = %s AND epoch = %s AND next_seq = %s
"""
HELD = "SELECT FROM graph_heads WHERE graph_uid = %s AND epoch = %s FOR SHARE"
KNOWN = "SELECT decision_id, event_digest, day FROM decision_keys WHERE decision_id = ANY($1)"
OFFSETS = "SELECT source, partition, next_offset FROM source_offsets WHERE graph_uid = %s"
BEGIN_SOURCE = """
INSERT INTO source_offsets (graph_uid, source, partition, next_offset)
SELECT %s, %s, p.* FROM unnest(%s::int[], %s::bigint[]) AS p ON CONFLICT DO NOTHING
"""
COMMIT = f"SELECT pointsman_commit({', '.join(f'${number}' for number in range(1, 28))})"
EVENTS = """
INSERT INTO events (day, stream_uid, history_position, event_id, digest, body, event_time, known_at)
SELECT $1, $2, $3 + e.number - 1, e.event_id, e.digest, e.body, e.event_time, e.known_at
FROM unnest($4, $5, $6, $7, $8) WITH ORDINALITY AS e (event_id, digest, body, event_time, known_at, number)
ON CONFLICT DO NOTHING
"""


TRUE = b"\1"
NOT_CONNECTED = "the decision store is not connected"


class Fenced(Exception):
    """Another host has taken over this graph: nothing was written, and this one must not write again."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """All that one batch writes. `received` counts every event of the batch: decided, duplicate or dead letter."""

    first_seq: int
    received: int
    duplicates: int
    events: Events
    records: Records
    dead_letters: Sequence[DeadLetter]
    decided_at: datetime
    revision: str
    source: str
    offsets: Offsets
    """How far its sources are read with it."""


class Committer:
    """The one writer of a graph. `known` has a connection of its own and may be asked while another thread commits."""

    def __init__(self, url: str, *, graph_uid: UUID, stream_uid: UUID, turn: int = 0) -> None:
        self._url, self._graph_uid, self._stream_uid, self.turn = url, graph_uid, stream_uid, turn
        self._writer = uuid4()
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._lookups: psycopg.Connection[TupleRow] | None = None
        self._commit: Statement | None = None
        self._known: Statement | None = None
        self._days = set[date]()
        self.epoch = -1
        self.next_seq = -1

    def open(self) -> None:
        """Connect and take the graph over: every earlier committer of it is fenced from here on.

        Raises psycopg.OperationalError while the server is away, and Fenced where the graph is held by a host whose turn
        came later, or was taken from this one.
        """
        self.close()
        connection = connect(self._url, autocommit=True)
        wanted = {"graph": self._graph_uid, "turn": self.turn, "writer": self._writer, "again": self.epoch >= 0}
        row = connection.execute(OPEN, wanted).fetchone()
        if row is None:
            connection.close()
            raise Fenced(f"graph {self._graph_uid} is held by another host")
        self.epoch, self.next_seq = row
        self._connection = connection
        self._lookups = connect(self._url, autocommit=True)
        self._commit = Statement(connection, "commit", COMMIT)
        self._known = Statement(self._lookups, "known", KNOWN)
        self._days.clear()

    def close(self) -> None:
        """Give the connections back; safe twice."""
        for connection in (self._connection, self._lookups):
            if connection is not None:
                connection.close()
        self._connection = self._lookups = self._commit = self._known = None

    @property
    def connection(self) -> psycopg.Connection[TupleRow]:
        """The open connection, for reads between two batches."""
        if self._connection is None:
            raise psycopg.OperationalError(NOT_CONNECTED)
        return self._connection

    @property
    def lookups(self) -> psycopg.Connection[TupleRow]:
        """The connection for reads while a batch is decided; every statement is a transaction of its own.

        One that broke is made anew, since an idle host reads too. Raises psycopg.OperationalError.
        """
        if self._lookups is None:
            raise psycopg.OperationalError(NOT_CONNECTED)
        if self._lookups.closed:
            self._lookups = connect(self._url, autocommit=True)
            self._known = Statement(self._lookups, "known", KNOWN)
        return self._lookups

    def holds(self) -> bool:
        """Whether no other has taken the graph over."""
        return self.lookups.execute(HOLDS, (self._graph_uid, self._writer)).rowcount == 1

    def serves(self, revision: str) -> None:
        """Record which revision decides from here on. A committer that is fenced records nothing."""
        self.connection.execute(SERVES, (revision, self._graph_uid, self.epoch, revision))

    def offsets(self) -> Offsets:
        """How far the graph's sources are read."""
        rows = self.connection.execute(OFFSETS, (self._graph_uid,)).fetchall()
        return {(source, partition): offset for source, partition, offset in rows}

    def begin(self, source: str, starts: Mapping[int, int]) -> Offsets:
        """Record where partitions of a source begin that the graph does not know yet; how far all of them are read.

        Raises Fenced when another committer has taken over.
        """
        with self.connection.transaction():
            if self.connection.execute(HELD, (self._graph_uid, self.epoch)).fetchone() is None:
                raise Fenced(f"epoch {self.epoch} of graph {self._graph_uid} is over")
            asked = (self._graph_uid, source, list(starts), list(starts.values()))
            self.connection.execute(BEGIN_SOURCE, asked)
            return self.offsets()

    def known(self, decision_ids: Sequence[bytes]) -> dict[bytes, KnownDecision]:
        """Which of these decisions are recorded already."""
        if self._known is None:
            raise psycopg.OperationalError(NOT_CONNECTED)
        found = self._known.run([arrays.uuids(decision_ids)])
        known = dict[bytes, KnownDecision]()
        for row in range(found.ntuples):
            id_, digest, day = (found.get_value(row, column) or b"" for column in range(3))
            known[id_] = KnownDecision(event_digest=digest, day=date_of(day))
        return known

    def commit(self, batch: Commit) -> None:
        """Write the batch, whole or not at all.

        Raises Fenced when another committer has taken over, psycopg.OperationalError when the server went away; in the
        second case the batch may have been written: `open` again and compare `next_seq`.
        """
        if self._commit is None:
            raise psycopg.OperationalError(NOT_CONNECTED)
        crash_point("before-commit")
        day, decisions, events = batch.decided_at.date(), batch.records.decisions, batch.events
        done = self._commit.run(
            [
                arrays.uuid(self._graph_uid),
                arrays.uuid(self._stream_uid),
                arrays.int8(self.epoch),
                arrays.int8(batch.first_seq),
                arrays.int8(batch.received),
                arrays.int8(batch.duplicates),
                arrays.moment(batch.decided_at),
                arrays.text(batch.revision),
                arrays.text(batch.source),
                arrays.boolean(day not in self._days),
                arrays.uuids(decisions.ids),
                *_columns(events),
                arrays.float8s(decisions.scores),
                arrays.labels(decisions.bands),
                arrays.labels(decisions.outcomes),
                arrays.labels([" ".join(reasons) for reasons in decisions.reasons]),
                arrays.byteas(decisions.bodies),
                *committed(decisions.bodies),
                arrays.json(_actions(batch.records.actions)),
                arrays.json(_reviews(batch.records.reviews)),
                arrays.json(_dead_letters(batch.dead_letters)),
                arrays.json(_offsets(batch.offsets)),
            ]
        )
        if done.get_value(0, 0) != TRUE:
            raise Fenced(f"epoch {self.epoch} of graph {self._graph_uid} is over")
        crash_point("after-commit")
        self._days.add(day)
        self.next_seq = batch.first_seq + len(decisions)

    def import_history(self, events: Events, at: datetime) -> int:
        """Record events that only warm up features, after those imported before; return how many were new.

        Raises Fenced, or ValueError once the graph has decided anything: history comes before the stream.
        """
        day = at.date()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            head = cursor.execute(ADVANCE, (0, 0, 0, self._graph_uid, self.epoch, 0))
            if head.rowcount != 1:
                if self.next_seq > 0:
                    raise ValueError("history can be imported only before the graph's first decision")
                raise Fenced(f"epoch {self.epoch} of graph {self._graph_uid} is over")
            cursor.execute("SELECT pointsman_ensure_day(%s)", (day,))
            row = cursor.execute(
                "SELECT coalesce(max(history_position), -1) + 1 FROM events WHERE stream_uid = %s", (self._stream_uid,)
            ).fetchone()
            assert row is not None
            history = [arrays.day(day), arrays.uuid(self._stream_uid), arrays.int8(int(row[0])), *_columns(events)]
            return arrays.run(self.connection, EVENTS, history).command_tuples or 0


def _columns(events: Events) -> tuple[Parameter, ...]:
    return (
        arrays.texts(events.ids),
        arrays.byteas(events.digests),
        arrays.byteas(events.bodies),
        arrays.timestamps(events.times),
        arrays.timestamps(events.known_at),
    )


def _actions(actions: Sequence[ActionRow]) -> bytes | None:
    rows = [
        {
            "action_id": each.action_id,
            "decision_id": UUID(bytes=each.decision_id),
            "name": each.name,
            "target": each.target,
            "operation": each.operation,
            "parameters": orjson.Fragment(each.parameters),
            "expires_at": each.expires_at,
            "certified": each.certified,
            **({} if each.evidence is None else {"people": each.people, "evidence": each.evidence.hex()}),
        }
        for each in actions
    ]
    return orjson.dumps(rows) if rows else None


def _reviews(reviews: Sequence[ReviewRow]) -> bytes | None:
    rows = [
        {
            "decision_id": UUID(bytes=each.decision_id),
            "event_id": each.event_id,
            "case_key": each.case_key,
            "priority": each.priority,
            "reasons": each.reasons,
            "deadline_at": each.deadline_at,
        }
        for each in reviews
    ]
    return orjson.dumps(rows) if rows else None


def _dead_letters(letters: Sequence[DeadLetter]) -> bytes | None:
    rows = [
        {
            "dead_letter_id": each.dead_letter_id,
            "event_id": each.event_id,
            "reason": each.reason.value,
            "place": each.place,
            "message": each.message,
            "body": b64encode(each.body).decode(),
            **({} if each.read is None else {"read_from": each.read.source, "read_at": each.read.offset}),
        }
        for each in letters
    ]
    return orjson.dumps(rows) if rows else None


def _offsets(offsets: Offsets) -> bytes | None:
    rows = [{"read_from": source, "part": part, "next_offset": at} for (source, part), at in offsets.items()]
    return orjson.dumps(rows) if rows else None
