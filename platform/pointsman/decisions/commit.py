"""Writes a batch: one transaction for events, decisions, actions, reviews, dead letters, ledger leaves and the head.

One committer a graph writes at a time. Opening one raises the graph's epoch; a committer of an older epoch finds its epoch
gone at the head's row and is fenced. So the duplicates that `known` found before deciding are all there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from pointsman.decisions.record import (
    ActionRow,
    DeadLetter,
    DecisionRow,
    EventRow,
    KnownDecision,
    Records,
    ReviewRow,
)
from pointsman.ledger.append import append_leaves
from pointsman.store.binary_copy import (
    always,
    byteas,
    copy_rows,
    float8s,
    int8s,
    labels,
    moments,
    text_arrays,
    texts,
    timestamps,
    uuids,
)
from pointsman.store.database import connect

OUTBOX_CHANNEL = "pointsman_outbox"

OPEN = """
INSERT INTO graph_heads (graph_uid, epoch) VALUES (%s, 1)
ON CONFLICT (graph_uid) DO UPDATE SET epoch = graph_heads.epoch + 1
RETURNING epoch, next_seq
"""
ADVANCE = """
UPDATE graph_heads SET next_seq = next_seq + %s, received = received + %s, duplicates = duplicates + %s
WHERE graph_uid = %s AND epoch = %s AND next_seq = %s
"""
COUNT_DUPLICATES = "UPDATE graph_heads SET duplicates = duplicates + %s WHERE graph_uid = %s"
KNOWN = "SELECT decision_id, event_digest, day FROM decision_keys WHERE decision_id = ANY(%s)"

STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS staged_events (LIKE events) ON COMMIT DELETE ROWS"
UNSTAGE = "INSERT INTO events SELECT * FROM staged_events ON CONFLICT DO NOTHING"


class Fenced(Exception):
    """Another host has taken over this graph: nothing was written, and this one must not write again."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """All that one batch writes. `received` counts every event of the batch: decided, duplicate or dead letter."""

    first_seq: int
    received: int
    duplicates: int
    events: Sequence[EventRow]
    records: Records
    dead_letters: Sequence[DeadLetter]
    decided_at: datetime
    revision: str
    source: str


class Committer:
    """The one writer of a graph. `known` has a connection of its own and may be asked while another thread commits."""

    def __init__(self, url: str, *, graph_uid: UUID, stream_uid: UUID) -> None:
        self._url, self._graph_uid, self._stream_uid = url, graph_uid, stream_uid
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._lookups: psycopg.Connection[TupleRow] | None = None
        self._days = set[date]()
        self.epoch = -1
        self.next_seq = -1

    def open(self) -> None:
        """Connect and take the graph over: every earlier committer of it is fenced from here on.

        Raises psycopg.OperationalError while the server is away.
        """
        self.close()
        connection = connect(self._url)
        with connection.transaction():
            row = connection.execute(OPEN, (self._graph_uid,)).fetchone()
        assert row is not None
        self.epoch, self.next_seq = row
        connection.execute(STAGE)
        connection.commit()
        self._connection = connection
        self._lookups = connect(self._url)
        self._lookups.autocommit = True
        self._days.clear()

    def close(self) -> None:
        """Give the connections back; safe twice."""
        for connection in (self._connection, self._lookups):
            if connection is not None:
                connection.close()
        self._connection = self._lookups = None

    @property
    def connection(self) -> psycopg.Connection[TupleRow]:
        """The open connection, for reads between two batches."""
        if self._connection is None:
            raise psycopg.OperationalError("the decision store is not connected")
        return self._connection

    @property
    def lookups(self) -> psycopg.Connection[TupleRow]:
        """The connection for reads while a batch is decided; every statement is a transaction of its own."""
        if self._lookups is None:
            raise psycopg.OperationalError("the decision store is not connected")
        return self._lookups

    def known(self, decision_ids: Sequence[UUID]) -> dict[UUID, KnownDecision]:
        """Which of these decisions are recorded already."""
        rows = self.lookups.execute(KNOWN, (list(decision_ids),)).fetchall()
        return {id_: KnownDecision(event_digest=bytes(digest), day=day) for id_, digest, day in rows}

    def commit(self, batch: Commit) -> None:
        """Write the batch, whole or not at all.

        Raises Fenced when another committer has taken over, psycopg.OperationalError when the server went away; in the
        second case the batch may have been written: `open` again and compare `next_seq`.
        """
        day = batch.decided_at.date()
        decisions = batch.records.decisions
        with self.connection.transaction(), self.connection.cursor() as cursor:
            advanced = cursor.execute(
                ADVANCE,
                (len(decisions), batch.received, batch.duplicates, self._graph_uid, self.epoch, batch.first_seq),
            )
            if advanced.rowcount != 1:
                raise Fenced(f"epoch {self.epoch} of graph {self._graph_uid} is over")
            if day not in self._days:
                cursor.execute("SELECT pointsman_ensure_day(%s)", (day,))
            self._copy_events(cursor, day, batch.events, history_from=None)
            self._copy_decisions(cursor, day, batch)
            self._copy_actions(cursor, day, batch.records.actions, batch.decided_at)
            self._copy_reviews(cursor, batch.records.reviews, batch.decided_at)
            again = self._insert_dead_letters(cursor, batch)
            if again:
                cursor.execute(COUNT_DUPLICATES, (again, self._graph_uid))
            append_leaves(
                cursor, "decision", [each.decision_id for each in decisions], [each.body for each in decisions]
            )
        self._days.add(day)
        self.next_seq = batch.first_seq + len(decisions)

    def import_history(self, events: Sequence[EventRow], at: datetime) -> int:
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
            return self._copy_events(cursor, day, events, history_from=int(row[0]))

    def _copy_events(
        self, cursor: psycopg.Cursor[TupleRow], day: date, events: Sequence[EventRow], history_from: int | None
    ) -> int:
        if not events:
            return 0
        positions = None if history_from is None else range(history_from, history_from + len(events))
        copy_rows(
            cursor,
            "staged_events",
            len(events),
            [
                always("day", day),
                always("stream_uid", self._stream_uid),
                texts("event_id", [each.event_id for each in events]),
                byteas("digest", [each.digest for each in events]),
                byteas("body", [each.body for each in events]),
                timestamps("event_time", [each.event_time for each in events]),
                timestamps("known_at", [each.known_at for each in events]),
                always("history_position", None) if positions is None else int8s("history_position", positions),
            ],
        )
        return cursor.execute(UNSTAGE).rowcount

    def _copy_decisions(self, cursor: psycopg.Cursor[TupleRow], day: date, batch: Commit) -> None:
        decisions: Sequence[DecisionRow] = batch.records.decisions
        if not decisions:
            return
        ids = uuids("decision_id", [each.decision_id for each in decisions])
        seqs = int8s("seq", [each.seq for each in decisions])
        copy_rows(
            cursor,
            "decisions",
            len(decisions),
            [
                always("day", day),
                ids,
                always("graph_uid", self._graph_uid),
                always("stream_uid", self._stream_uid),
                texts("event_id", [each.event_id for each in decisions]),
                seqs,
                always("revision", batch.revision),
                float8s("score", [each.score for each in decisions]),
                labels("band", [each.band for each in decisions]),
                labels("outcome", [each.outcome for each in decisions]),
                text_arrays("reasons", [each.reasons for each in decisions]),
                always("decided_at", batch.decided_at),
                byteas("body", [each.body for each in decisions]),
            ],
        )
        digests = byteas("event_digest", [each.digest for each in batch.events])
        copy_rows(cursor, "decision_keys", len(decisions), [ids, digests, always("day", day), seqs])

    def _copy_actions(
        self, cursor: psycopg.Cursor[TupleRow], day: date, actions: Sequence[ActionRow], at: datetime
    ) -> None:
        if not actions:
            return
        rows = [
            (
                day,
                each.action_id,
                each.decision_id,
                self._graph_uid,
                each.name,
                each.target,
                each.operation,
                each.parameters.decode(),
                at,
                each.expires_at,
            )
            for each in actions
        ]
        cursor.executemany("INSERT INTO actions VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)", rows)
        cursor.executemany(
            "INSERT INTO outbox (day, action_id, decision_id, graph_uid, target, operation, parameters, created_at, "
            "expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)",
            [(*row[:4], *row[5:]) for row in rows],
        )
        cursor.execute(f"NOTIFY {OUTBOX_CHANNEL}")

    def _copy_reviews(self, cursor: psycopg.Cursor[TupleRow], reviews: Sequence[ReviewRow], at: datetime) -> None:
        if not reviews:
            return
        copy_rows(
            cursor,
            "reviews",
            len(reviews),
            [
                uuids("review_id", [each.decision_id for each in reviews]),
                uuids("decision_id", [each.decision_id for each in reviews]),
                always("graph_uid", self._graph_uid),
                texts("event_id", [each.event_id for each in reviews]),
                texts("case_key", [each.case_key for each in reviews]),
                float8s("priority", [each.priority for each in reviews]),
                text_arrays("reasons", [each.reasons for each in reviews]),
                always("opened_at", at),
                moments("deadline_at", [each.deadline_at for each in reviews]),
                always("state", "open"),
            ],
        )

    def _insert_dead_letters(self, cursor: psycopg.Cursor[TupleRow], batch: Commit) -> int:
        """Write them, and return how many were there already: those are duplicates."""
        if not batch.dead_letters:
            return 0
        cursor.executemany(
            "INSERT INTO dead_letters (dead_letter_id, graph_uid, stream_uid, event_id, source, reason, place, message, "
            "body, at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (
                    each.dead_letter_id,
                    self._graph_uid,
                    self._stream_uid,
                    each.event_id,
                    batch.source,
                    each.reason.value,
                    each.place,
                    each.message,
                    each.body,
                    batch.decided_at,
                )
                for each in batch.dead_letters
            ],
        )
        return len(batch.dead_letters) - cursor.rowcount
