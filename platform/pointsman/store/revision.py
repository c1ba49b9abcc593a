"""Which revision of the schema this release works on, and whether a store has it. The API's ready check asks.

Newer is as good: migrations add, so a release goes on while the next one's have run already.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

VERSIONS = Path(__file__).parent / "migrations" / "versions"


class NotPrepared(Exception):
    """The store lacks what this release needs; the message says what to do."""


@cache
def newest() -> str:
    """The last migration of this release; their files begin with their numbers."""
    return max(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))


def check(connection: psycopg.Connection[TupleRow]) -> None:
    """Raises NotPrepared where a migration of this release has not run."""
    found = None
    try:
        with connection.transaction():
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        pass
    if found is None or found[0] < newest():
        has = "no schema" if found is None else f'revision "{found[0]}" of the schema'
        raise NotPrepared(
            f'the decision store has {has}, this release needs "{newest()}": `python -m pointsman.store.prepare` '
            "brings it up to date; on a cluster a Job does"
        )
