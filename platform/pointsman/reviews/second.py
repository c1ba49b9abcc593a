"""Items that measure reviewers: a second opinion on a drawn share of decided items, and golden ones, whose answer is known.

Both stand in the queue like any other, each a case of its own. What is said of them has no effect outside and is no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.api.decision_graph import Review
from pointsman.decisions.recorded import Cursor, NotRecorded, Recorded, recorded
from pointsman.reviews.draws import is_in_share
from pointsman.reviews.measures import Given
from pointsman.reviews.queue import LOCK, Item, NotFound

DRAW = b"pointsman/second-review"
"""Keeps this draw apart from others over the same ids"""

OPEN = """
INSERT INTO reviews (review_id, decision_id, graph_uid, event_id, priority, reasons, opened_at, deadline_at, purpose, known,
    author)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
GIVEN = """
SELECT r.decision_id::text AS decision, v.reviewer, v.verdict, r.known, c.verdict AS first_call, d.score,
    (extract(epoch FROM v.at - r.claimed_at) / count(*) OVER (PARTITION BY v.reviewer, v.at))::float8 AS seconds
FROM verdicts v JOIN reviews r USING (review_id)
    LEFT JOIN first_calls c ON c.decision_id = v.decision_id AND c.reviewer = v.reviewer
    LEFT JOIN decision_keys k ON k.decision_id = v.decision_id
    LEFT JOIN decisions d ON d.day = k.day AND d.decision_id = k.decision_id
WHERE v.graph_uid = %(graph)s AND v.verdict IS NOT NULL AND v.at >= %(since)s ORDER BY v.at, r.review_id
"""


AWAITED = """
SELECT DISTINCT r.decision_id FROM reviews r WHERE r.decision_id = ANY(%(decisions)s) AND r.purpose = 'Second' AND r.state = 'open'
    AND NOT EXISTS (SELECT FROM verdicts v WHERE v.decision_id = r.decision_id AND v.reviewer = %(who)s)
"""


class UnknownAnswer(ValueError):
    """A golden item's answer that no reviewer could give; the message says which could."""


def is_drawn(decision_id: UUID, share: float) -> bool:
    """Whether the decision is reviewed twice: by its id alone, the same each time."""
    return is_in_share(DRAW + decision_id.bytes, share)


def open_second(cursor: Cursor, behind: Recorded, item: Item, now: datetime) -> None:
    """Ask for a second opinion on an item that was just decided, where it is drawn."""
    review = behind.resolved.graph.spec.review
    if review.second_share is None or not is_drawn(item["decision_id"], float(review.second_share.fraction)):
        return
    _open(cursor, item, "Second", now, deadline=now + timedelta(seconds=review.deadline.seconds))


def awaited(connection: psycopg.Connection[TupleRow], who: str, decision_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Of these decisions those that wait for a second opinion, which this person may come to give."""
    with connection.transaction():
        rows = connection.execute(AWAITED, {"decisions": list(decision_ids), "who": who}).fetchall()
    return frozenset(decision_id for (decision_id,) in rows)


def open_golden(
    connection: psycopg.Connection[TupleRow], decision_id: UUID, known: str, *, author: str, now: datetime
) -> UUID:
    """Put a decision whose right verdict is known into the queue; return the item's id. Its author cannot claim it.

    Raises NotFound, UnknownAnswer.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        try:
            behind = recorded(cursor, [decision_id])[decision_id]
        except NotRecorded as error:
            raise NotFound(str(error)) from error
        review = behind.resolved.graph.spec.review
        _check(review, known)
        cursor.execute(LOCK, (behind.resolved.graph_uid,))
        priority = None if review.priority is None else behind.columns.get(review.priority)
        item = {
            "decision_id": decision_id,
            "graph_uid": behind.resolved.graph_uid,
            "event_id": behind.body["event"]["id"],
            "priority": priority,
            "reasons": behind.body["reasons"],
        }
        return _open(cursor, item, "Golden", now, known=known, author=author)


def given(connection: psycopg.Connection[TupleRow], graph_uid: UUID, since: datetime) -> Sequence[Given]:
    """Every verdict of people on a graph since then. What was decided in one go shares its time evenly."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(GIVEN, {"graph": graph_uid, "since": since}).fetchall()
    return [Given(**row) for row in rows]


def _check(review: Review, known: str) -> None:
    names = [each.name for each in review.verdicts]
    if known not in names:
        raise UnknownAnswer(f'verdict: "{known}" is not declared by the graph; it has {", ".join(names) or "none"}')


def _open(
    cursor: Cursor,
    item: dict[str, Any],
    purpose: str,
    now: datetime,
    *,
    deadline: datetime | None = None,
    known: str | None = None,
    author: str | None = None,
) -> UUID:
    id_ = uuid4()
    what = (item["decision_id"], item["graph_uid"], item["event_id"], item["priority"], item["reasons"])
    cursor.execute(OPEN, (id_, *what, now, deadline, purpose, known, author))
    return id_
