"""Brings a store's schema up to date. Safe to run twice, at every start, and from several processes at once.

`pointsman.store.prepare` does it on a cluster, the supervisor on a laptop; the URL must be the owner's.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, pool, text

from pointsman.store.database import APP_ROLE, HOW

MIGRATION_LOCK = 7_300_412_001
"""The advisory lock that lets one migration run at a time."""


def migrate(url: str) -> str:
    """Run all migrations that have not run yet and return the revision reached.

    Raises sqlalchemy.exc.DBAPIError where the server refuses.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, **HOW), poolclass=pool.NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.execute(text(f"GRANT SELECT ON alembic_version TO {APP_ROLE}"))
            connection.commit()
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
    engine.dispose()
    return str(revision)
