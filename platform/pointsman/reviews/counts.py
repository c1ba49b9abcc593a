"""How many items wait, and which: what a console shows before anybody opens one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

AGES = (60, 600, 3600, 14_400, 86_400)
"""Seconds; an item is counted under the first that it is not older than"""

OPEN = """
SELECT coalesce(d.band, ''), width_bucket(extract(epoch FROM %(now)s - r.opened_at)::float8, %(ages)s::float8[]), count(*),
    count(*) FILTER (WHERE r.escalated_at IS NOT NULL), count(*) FILTER (WHERE r.deadline_at <= %(now)s),
    count(*) FILTER (WHERE r.lease_until > %(now)s),
    count(*) FILTER (WHERE r.lease_until > %(now)s AND r.lease_owner = %(who)s), coalesce(sum(greatest(r.priority, 0)), 0)
FROM reviews r LEFT JOIN decision_keys k USING (decision_id) LEFT JOIN decisions d USING (day, decision_id)
WHERE r.graph_uid = %(graph)s AND r.state = 'open' GROUP BY 1, 2
"""
REASONS = """
SELECT reason, count(*) FROM reviews r, unnest(r.reasons) reason WHERE r.graph_uid = %(graph)s AND r.state = 'open'
GROUP BY 1 ORDER BY 2 DESC, 1
"""


@dataclass(kw_only=True)
class Waiting:
    """Open items of a graph. `mine` are held by who asks; an item of several reasons counts under each."""

    open: int = 0
    escalated: int = 0
    overdue: int = 0
    held: int = 0
    mine: int = 0
    at_stake: float = 0.0
    by_band: Counter[str] = field(default_factory=Counter)
    """`""`: without a score"""
    by_age: list[int] = field(default_factory=lambda: [0] * (len(AGES) + 1))
    """by AGES, the last for what is older"""
    by_reason: dict[str, int] = field(default_factory=dict)


def waiting(connection: psycopg.Connection[TupleRow], graph_uid: UUID, who: str, now: datetime) -> Waiting:
    """Counted now."""
    asked = {"graph": graph_uid, "who": who, "now": now, "ages": list(AGES)}
    found = Waiting()
    with connection.transaction():
        for band, age, count, escalated, overdue, held, mine, at_stake in connection.execute(OPEN, asked).fetchall():
            found.open += count
            found.escalated += escalated
            found.overdue += overdue
            found.held += held
            found.mine += mine
            found.at_stake += float(at_stake)
            found.by_band[band] += count
            found.by_age[age] += count
        found.by_reason = dict(connection.execute(REASONS, asked).fetchall())
    return found
