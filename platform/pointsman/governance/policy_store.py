"""The policies that the platform's owner has put in the place of ours, as the store keeps them for every server."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from pointsman.governance.policies import policies_of

Connection = psycopg.Connection[TupleRow]

LATEST = "SELECT text FROM policies ORDER BY seq DESC LIMIT 1"
PUT = "INSERT INTO policies (text, at) VALUES (%s, %s)"
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7300412006)"


def text(connection: Connection) -> str | None:
    """The owner's; None where ours are in force."""
    with connection.transaction():
        row = connection.execute(LATEST).fetchone()
    return None if row is None else row[0]


def put(connection: Connection, wanted: str | None, *, now: datetime) -> bool:
    """Have these in force, within two seconds everywhere; None for ours. Whether that was new. Raises PolicyRefused."""
    policies_of(wanted)
    if text(connection) == wanted:
        return False
    with connection.transaction():
        connection.execute(ONE_AT_A_TIME)
        if text(connection) == wanted:
            return False
        connection.execute(PUT, (wanted, now))
    return True
