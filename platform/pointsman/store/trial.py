"""A PostgreSQL for trials in a pod: `python -m pointsman.store.trial`, the image `postgres`.

The URLs by which others will connect are in its environment, and name the roles, passwords and databases that it makes. It
listens only once they are there, so whoever waits for it waits for all of it. One pod, one volume, no backups, no TLS.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from pointsman.graphs.pod import STORE_URL
from pointsman.logs import log_as_json
from pointsman.store import server
from pointsman.store.database import APP_ROLE, MLFLOW_URL, OWNER_URL, StoreUrlRefused, store_url
from pointsman.store.server import Login

log = structlog.get_logger()

ACCESS = """\
local all postgres trust
host all postgres all reject
host all all all scram-sha-256
"""
"""Who may connect. The folder of the socket is closed to other users."""
STARTING_SECONDS = 120.0
"""How long it may take to answer, recovery after a crash included"""


class TrialFailed(Exception):
    """The server cannot be set up; the message says what it said."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the URLs name: logins, and databases with their owners."""

    logins: tuple[Login, ...]
    databases: Mapping[str, str]


def asked(environment: Mapping[str, str]) -> Asked:
    """What to make for these URLs. Raises StoreUrlRefused."""
    owner, database = _named(environment, OWNER_URL)
    app, same = _named(environment, STORE_URL)
    if same != database or app.name == owner.name:
        raise StoreUrlRefused(f"{STORE_URL}, {OWNER_URL}: need one database and two roles")
    logins, databases = [owner, Login(name=app.name, password=app.password, group=APP_ROLE)], {database: owner.name}
    if environment.get(MLFLOW_URL):
        registry, its = _named(environment, MLFLOW_URL)
        logins.append(registry)
        databases[its] = registry.name
    return Asked(logins=tuple(logins), databases=databases)


def _named(environment: Mapping[str, str], variable: str) -> tuple[Login, str]:
    parts = conninfo_to_dict(store_url(environment, variable))
    missing = [name for name in ("user", "password", "dbname") if not parts.get(name)]
    if missing:
        raise StoreUrlRefused(f"{variable}: names no {', '.join(missing)}: postgresql://role:password@host/database")
    return Login(name=str(parts["user"]), password=str(parts["password"])), str(parts["dbname"])


class Trial:
    """The server's process, started twice: without a network to make what is asked for, then for everybody."""

    def __init__(self, data: Path, sockets: Path, port: int) -> None:
        self._data, self._sockets, self._port = data, sockets, port
        self._programs = server.site() / server.BINARIES
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a signal handler's signature
        """End all sessions, write everything down, and end: `run` returns."""
        self._stopping = True
        self._interrupt()

    def run(self, wanted: Asked) -> int:
        """Serve until told to stop; the exit code. Raises TrialFailed."""
        with self._held() as lock:
            self._set_up()
            self._start(lock, "-c", "listen_addresses=")
            try:
                self._make(wanted)
            finally:
                self._interrupt()
                self._wait()
            if self._stopping:
                return 0
            self._start(lock)
            log.info("listening", port=self._port, databases=sorted(wanted.databases))
            code = self._wait()
        if self._stopping:
            return code
        log.error("the server has ended by itself", code=code)
        return 1

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The lock of the folder, which the server's processes hold too: none of an earlier one is left."""
        self._data.parent.mkdir(parents=True, exist_ok=True)
        with self._data.with_name("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()

    def _set_up(self) -> None:
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        server.make_cluster(self._data, self._initdb)
        self._data.chmod(0o700)  # Kubernetes opens a volume to its group, and the server refuses to start in it then
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # in a new container its number may be anybody's
        (self._data / "pg_hba.conf").write_text(ACCESS)
        settings = {
            "listen_addresses": "'*'",
            "port": str(self._port),
            "unix_socket_directories": f"'{self._sockets}'",
            "max_wal_size": "'1GB'",
        }
        server.write_settings(self._data, settings)

    def _initdb(self, data: Path, arguments: list[str]) -> None:
        command = [str(self._programs / "initdb"), "--pgdata", str(data), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TrialFailed(f"initdb: {done.stderr.strip() or done.stdout.strip()}")

    def _start(self, lock: int, *options: str) -> None:
        command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
        self._process = subprocess.Popen(command, pass_fds=(lock,))
        if self._stopping:  # told so before there was a process to tell
            self._interrupt()

    def _make(self, wanted: Asked) -> None:
        """Roles, passwords and databases, once it answers on its socket."""
        url = f"postgresql://{server.SUPERUSER}@/postgres?host={self._sockets}&port={self._port}"
        assert self._process is not None
        deadline = time.monotonic() + STARTING_SECONDS
        while not self._stopping:
            try:
                with psycopg.connect(url, autocommit=True) as connection:
                    server.ensure(connection, wanted.logins, wanted.databases)
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise TrialFailed(f"the server does not answer: {' '.join(str(error).split())}") from None
                time.sleep(0.05)

    def _interrupt(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # SIGTERM would wait for every session to end by itself

    def _wait(self) -> int:
        assert self._process is not None
        return self._process.wait()


def main() -> int:
    """The command: 0 told to stop, 1 failed, 2 where the environment lacks something."""
    parser = argparse.ArgumentParser(prog="pointsman.store.trial", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("/data/postgres"), help="its folder  [default: /data/postgres]"
    )
    parser.add_argument("--sockets", type=Path, default=Path("/tmp/postgres"), help="the folder of its socket")
    parser.add_argument("--port", type=int, default=5432, help="where it listens, on all addresses  [default: 5432]")
    options = parser.parse_args()
    log_as_json()
    try:
        wanted = asked(os.environ)
    except StoreUrlRefused as error:
        log.error("cannot begin", why=str(error))
        return 2
    trial = Trial(options.data, options.sockets, options.port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, trial.stop)
    try:
        return trial.run(wanted)
    except TrialFailed as error:
        log.error("cannot serve", why=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
