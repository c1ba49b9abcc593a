"""The days of the append-only tables: what they hold, and dropping old ones. Called by `pointsman retention`, as the owner.

Events, decisions, actions and effects are partitioned by the day of their commit. Dropping a day waits for the batch that is
being written, and holds the next one up for milliseconds. What stays for ever: the ids of decisions, so that an event that
comes again is not decided again, and the ledger's leaves, so that every proof of what was kept still holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg import sql

TABLES = ("events", "decisions", "actions", "effects")
DAYS = """
SELECT to_date(right(part.relname, 8), 'YYYYMMDD') AS day,
    sum(CASE WHEN parent.relname = 'decisions' THEN greatest(part.reltuples, 0) ELSE 0 END)::bigint,
    sum(pg_total_relation_size(part.oid))::bigint
FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent
WHERE parent.relname = ANY(%s) AND part.relkind = 'r' GROUP BY 1 ORDER BY 1
"""
WAITING = """
SELECT (SELECT count(*) FROM reviews r JOIN decision_keys k USING (decision_id) WHERE r.state = 'open' AND k.day < %(before)s),
    (SELECT count(*) FROM outbox WHERE day < %(before)s AND state NOT IN ('observed', 'rejected', 'unknown', 'compensated'))
"""


class RetentionRefused(Exception):
    """Days that cannot be dropped yet: why, and what to do. One line."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of the store. `decisions` is PostgreSQL's estimate; `size` is in bytes, indexes included."""

    day: date
    decisions: int
    size: int


def days(connection: psycopg.Connection[Any]) -> list[Day]:
    """The days that are kept, the oldest first."""
    with connection.transaction():
        rows = connection.execute(DAYS, (list(TABLES),)).fetchall()
    return [Day(day=day, decisions=decisions, size=size) for day, decisions, size in rows]


def drop_before(connection: psycopg.Connection[Any], before: date, *, now: datetime | None = None) -> list[Day]:
    """Drop every day before this one and return what was dropped; a day is dropped whole or not at all.

    Raises RetentionRefused while people or targets still have to do with those days.
    """
    today = (now or datetime.now(UTC)).date()
    if before > today:
        raise RetentionRefused(f'"{before}" is in the future: today is {today}, and what is written today is kept')
    with connection.transaction():
        reviews, actions = connection.execute(WAITING, {"before": before}).fetchone() or (0, 0)
    if reviews or actions:
        raise RetentionRefused(
            f"{reviews} open review items and {actions} unsettled actions are from before {before}: decide and settle "
            "them first, or choose an earlier day"
        )
    dropped = [each for each in days(connection) if each.day < before]
    for each in dropped:
        with connection.transaction():
            for table in TABLES:
                part = sql.Identifier(f"{table}_{each.day:%Y%m%d}")
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(part))
    return dropped
