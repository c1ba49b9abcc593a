"""Fixtures that several areas share: one embedded PostgreSQL a session, a fresh migrated database a test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "manifests" / "examples" / "fraud"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running embedded PostgreSQL, the same one that `pointsman up` runs."""
    from pointsman.local.home import Home
    from pointsman.local.postgres import running_postgres

    with running_postgres(Home(tmp_path_factory.mktemp("pg"))) as server:
        yield server


@pytest.fixture
def database(postgres) -> Iterator[str]:
    """The name of a fresh, migrated database."""
    import psycopg

    from pointsman.store.migrate import migrate

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" OWNER pointsman_owner')
    migrate(postgres.url(name, "pointsman_owner"))
    yield name
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(postgres, database: str) -> str:
    """The fresh database's URL with the application's role."""
    return postgres.url(database, "pointsman_app")


@pytest.fixture
def owner_url(postgres, database: str) -> str:
    """The fresh database's URL with the owner's role."""
    return postgres.url(database, "pointsman_owner")
