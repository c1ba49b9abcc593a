"""The queue in the store: list, claim with a lease, release, and what happens when a deadline passes.

Items of one subject are one case, claimed together. Claims, verdicts and deadlines of a graph take one lock, so that two
people never hold one item; they come at people's pace. All times come from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

Connection = psycopg.Connection[TupleRow]
Item = dict[str, Any]
"""A row of `reviews` with what a reviewer sees first of its decision."""

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 7300412004))"

FIELDS = """
r.review_id, r.decision_id, r.graph_uid, r.event_id, r.case_key, r.priority, r.reasons, r.state, r.opened_at,
r.deadline_at, r.escalated_at, r.lease_owner, r.lease_until, r.closed_at, v.verdict, v.reason AS verdict_reason,
v.reviewer, v.at AS decided_at, r.purpose, EXISTS (
    SELECT FROM reviews s WHERE s.decision_id = r.decision_id AND s.purpose = 'Second' AND s.state = 'open') AS awaits_second
"""
RANK = "(r.escalated_at IS NOT NULL, coalesce(r.priority, '-Infinity'), -extract(epoch FROM r.opened_at), r.review_id)"
"""Escalated first, then by priority, then the oldest; the id makes the order total."""
LIST = f"""
SELECT {FIELDS}, (r.escalated_at IS NOT NULL) AS escalated, coalesce(r.priority, '-Infinity') AS rank_priority,
    -extract(epoch FROM r.opened_at) AS rank_age
FROM reviews r LEFT JOIN verdicts v USING (review_id)
WHERE r.graph_uid = %(graph)s AND (%(state)s::text IS NULL OR r.state = %(state)s)
    AND (%(case)s::text IS NULL OR r.case_key = %(case)s)
    AND (%(reason)s::text IS NULL OR %(reason)s = ANY(r.reasons))
    AND (%(holder)s::text IS NULL OR (r.lease_owner = %(holder)s AND r.lease_until > %(now)s))
    AND (%(band)s::text IS NULL OR EXISTS (SELECT FROM decision_keys k JOIN decisions d USING (day, decision_id)
        WHERE k.decision_id = r.decision_id AND d.band = %(band)s))
    AND (%(after_id)s::uuid IS NULL OR {RANK} <
        (%(after_escalated)s::boolean, %(after_priority)s::float8, %(after_age)s::numeric, %(after_id)s::uuid))
ORDER BY escalated DESC, rank_priority DESC, rank_age DESC, r.review_id DESC LIMIT %(limit)s
"""
ONE = f"SELECT {FIELDS} FROM reviews r LEFT JOIN verdicts v USING (review_id) WHERE r.review_id = %s"
BETWEEN = "SELECT review_id FROM reviews WHERE review_id BETWEEN %s AND %s LIMIT 2"
OPEN_OF_CASE = """
SELECT review_id, lease_owner, lease_until FROM reviews
WHERE state = 'open' AND graph_uid = %(graph)s AND (review_id = %(review)s OR case_key = %(case)s)
ORDER BY review_id FOR UPDATE
"""
NEXT = f"""
SELECT r.review_id FROM reviews r
WHERE r.graph_uid = %(graph)s AND r.state = 'open' AND NOT EXISTS (
    SELECT FROM reviews o WHERE o.graph_uid = r.graph_uid AND o.state = 'open' AND o.lease_until > %(now)s
        AND (o.review_id = r.review_id OR o.case_key = r.case_key))
    AND r.author IS DISTINCT FROM %(who)s
    AND NOT EXISTS (SELECT FROM verdicts v WHERE v.decision_id = r.decision_id AND v.reviewer = %(who)s)
ORDER BY {RANK} DESC LIMIT 1
"""
KNOWN = """
SELECT EXISTS (SELECT FROM verdicts v WHERE v.decision_id = r.decision_id AND v.reviewer = %(who)s)
    OR r.author IS NOT DISTINCT FROM %(who)s AS known FROM reviews r WHERE r.review_id = %(review)s
"""
LEASE = """
UPDATE reviews SET claimed_at = CASE WHEN lease_owner = %(who)s THEN claimed_at ELSE %(now)s END,
    lease_owner = %(who)s, lease_until = %(until)s
WHERE review_id = ANY(%(items)s)
"""
RELEASE = """
UPDATE reviews SET lease_owner = NULL, lease_until = NULL
WHERE state = 'open' AND lease_owner = %(who)s AND (review_id = %(review)s OR
    case_key = (SELECT case_key FROM reviews WHERE review_id = %(review)s))
"""
ESCALATE = """
UPDATE reviews SET escalated_at = %(now)s
WHERE graph_uid = %(graph)s AND state = 'open' AND escalated_at IS NULL AND deadline_at <= %(now)s
"""


class NotFound(Exception):
    """No such item."""


class Conflict(Exception):
    """Somebody else holds the item, or it has ended."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to list; `holder` holds it at `now`. `after` is where the last page ended: escalated, priority, age and id of its
    last item.
    """

    graph_uid: UUID
    state: str | None
    case: str | None
    reason: str | None = None
    band: str | None = None
    holder: str | None = None
    now: datetime | None = None
    after: tuple[bool, float, str, UUID] | None
    limit: int


def listed(connection: Connection, wanted: Wanted) -> list[Item]:
    """Items in the order in which they should be worked."""
    escalated, priority, age, id_ = wanted.after or (None, None, None, None)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            LIST,
            {
                "graph": wanted.graph_uid,
                "state": wanted.state,
                "case": wanted.case,
                "reason": wanted.reason,
                "band": wanted.band,
                "holder": wanted.holder,
                "now": wanted.now,
                "after_escalated": escalated,
                "after_priority": priority,
                "after_age": age,
                "after_id": id_,
                "limit": wanted.limit,
            },
        ).fetchall()


def find(connection: Connection, wanted: str) -> UUID:
    """An item's id, by the id itself or the first six digits or more of it. Raises NotFound."""
    digits = wanted.lower().replace("-", "")
    found = list[UUID]()
    if re.fullmatch("[0-9a-f]{6,32}", digits):
        between = (UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))
        with connection.transaction():
            found = [id_ for (id_,) in connection.execute(BETWEEN, between).fetchall()]
    if len(found) > 1:
        raise NotFound(f'more than one review item begins with "{wanted[:40]}": give more digits')
    if not found:
        raise NotFound(f'no review item has the id "{wanted[:40]}"')
    return found[0]


def one(connection: Connection, review_id: UUID) -> Item:
    """One item. Raises NotFound."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(ONE, (review_id,)).fetchone()
    if found is None:
        raise NotFound(f"no review item has the id {review_id}")
    return found


def claim(connection: Connection, review_id: UUID, who: str, *, lease: timedelta, now: datetime) -> list[Item]:
    """Hold the item and all open items of its case; who holds them already holds them longer.

    Raises NotFound, Conflict.
    """
    item = one(connection, review_id)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(LOCK, (item["graph_uid"],))
        rows = open_of_case(cursor, item)
        if review_id not in {each["review_id"] for each in rows}:
            raise Conflict("the item has ended: look at it to see how")
        for each in rows:
            if each["lease_owner"] != who and each["lease_until"] is not None and each["lease_until"] > now:
                until = each["lease_until"].isoformat(timespec="seconds")
                raise Conflict(f'"{each["lease_owner"]}" holds this case until {until}')
        if any(each["known"] for each in cursor.execute(KNOWN, {"who": who, "review": review_id})):
            raise Conflict("somebody else is to decide this item: you have decided its decision already")
        ids = [each["review_id"] for each in rows]
        cursor.execute(LEASE, {"who": who, "now": now, "until": now + lease, "items": ids})
    return [one(connection, id_) for id_ in ids]


def claim_next(connection: Connection, graph_uid: UUID, who: str, *, lease: timedelta, now: datetime) -> list[Item]:
    """Hold the case that comes first among those that nobody holds; nothing where there is none."""
    while True:
        with connection.transaction():
            found = connection.execute(NEXT, {"graph": graph_uid, "now": now, "who": who}).fetchone()
        if found is None:
            return []
        try:
            return claim(connection, found[0], who, lease=lease, now=now)
        except Conflict:
            continue  # somebody was quicker: there may be another


def release(connection: Connection, review_id: UUID, who: str) -> int:
    """Give the case back; return how many items that were."""
    with connection.transaction():
        return connection.execute(RELEASE, {"review": review_id, "who": who}).rowcount


def open_of_case(cursor: psycopg.Cursor[dict[str, Any]], item: Item) -> list[dict[str, Any]]:
    """The open items of an item's case, locked for this transaction."""
    asked = {"graph": item["graph_uid"], "review": item["review_id"], "case": item["case_key"]}
    return cursor.execute(OPEN_OF_CASE, asked).fetchall()


def held_of_case(cursor: psycopg.Cursor[dict[str, Any]], item: Item, who: str, now: datetime) -> list[UUID]:
    """The open items of an item's case that somebody holds. Raises Conflict where the item is not among them."""
    held = [
        each["review_id"]
        for each in open_of_case(cursor, item)
        if each["lease_owner"] == who and each["lease_until"] > now
    ]
    if item["review_id"] not in held:
        raise Conflict("claim the item first: you do not hold it, or no longer")
    return held


def escalate(connection: Connection, graph_uid: UUID, now: datetime) -> int:
    """Put overdue items before all others; return how many that were."""
    with connection.transaction():
        connection.execute(LOCK, (graph_uid,))
        return connection.execute(ESCALATE, {"graph": graph_uid, "now": now}).rowcount


def rank_of(item: Mapping[str, Any]) -> tuple[bool, float, str, UUID]:
    """Where the next page begins after this item."""
    return item["escalated"], item["rank_priority"], str(item["rank_age"]), item["review_id"]


def shown(items: Sequence[Item], who: str) -> list[dict[str, Any]]:
    """Items for people and programs: without what only orders them, or would say that an answer is known already.

    What was said of an item that waits for a second opinion is shown to nobody but who said it.
    """
    hidden = {"escalated", "rank_priority", "rank_age", "purpose", "awaits_second"}
    blind = {"verdict", "verdict_reason", "reviewer", "decided_at"}
    return [
        {
            key: None if key in blind and each["awaits_second"] and each["reviewer"] != who else value
            for key, value in each.items()
            if key not in hidden
        }
        for each in items
    ]
