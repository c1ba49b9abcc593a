"""Brings a store's schema up to date. Safe to run twice, at every start, and from several processes at once.

`python -m pointsman.store.migrate URL` does it by hand; the URL must be the owner's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, pool, text

MIGRATION_LOCK = 7_300_412_001
"""The advisory lock that lets one migration run at a time."""


def migrate(url: str) -> str:
    """Run all migrations that have not run yet and return the revision reached.

    Raises sqlalchemy.exc.DBAPIError where the server refuses.
    """
    engine = create_engine(_sqlalchemy_url(url), poolclass=pool.NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
    engine.dispose()
    return str(revision)


def _sqlalchemy_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(f'the store is PostgreSQL: a URL cannot begin with "{scheme}"')
    return f"postgresql+psycopg://{rest}"


if __name__ == "__main__":
    print(migrate(sys.argv[1]))  # noqa: T201
