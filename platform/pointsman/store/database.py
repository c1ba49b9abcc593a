"""Connections to the decision store, for everything that runs SQL.

A URL names a database and a role. `pointsman_owner` migrates; everything else connects as `pointsman_app`, which can
neither update nor delete what is append-only.
"""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

OWNER_ROLE = "pointsman_owner"
APP_ROLE = "pointsman_app"

CONNECT_TIMEOUT_SECONDS = 10


def connect(url: str, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """A connection whose session speaks UTC and keeps no statement waiting for ever on a lock.

    Raises psycopg.OperationalError when the server cannot be reached.
    """
    return psycopg.connect(
        url,
        autocommit=autocommit,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        options="-c timezone=UTC -c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
        application_name="pointsman",
    )
