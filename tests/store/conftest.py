"""The PostgreSQL for trials as it runs in a pod: a process that is not root's, with passwords, over TCP."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from psycopg.pq import PGconn, Ping

PASSWORDS = ("own%2Fer%20s", "ap'p")  # what must be encoded, and what SQL must quote
PATIENCE_SECONDS = 60.0

# PostgreSQL refuses to be root's, and others may not read where this Python lies: it is loaded first.
AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from pointsman.store import server, trial
uid, gid, site, *arguments = sys.argv[1:]
if int(uid):
    server.site = lambda: Path(site)
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
sys.argv = ["trial", *arguments]
sys.exit(trial.main())
"""


def wait_until(fact: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < end, f"did not come: {what}"
        time.sleep(0.05)


class TrialServer:
    """One server with its folder; its URLs stay the same over its restarts."""

    def __init__(self, folder: Path, site: Path, user: str | None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        owner, app = PASSWORDS
        self.owner_url = f"postgresql://pointsman_owner:{owner}@127.0.0.1:{self.port}/pointsman"
        self.url = f"postgresql://pointsman_app:{app}@127.0.0.1:{self.port}/pointsman"
        self.mlflow_url = f"postgresql://registry:{app}@127.0.0.1:{self.port}/mlflow"
        self.folder, self._site, self._user = folder, site, user
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Begin to start it."""
        entry = pwd.getpwnam(self._user) if self._user else None
        ids = (entry.pw_uid, entry.pw_gid) if entry else (0, 0)
        where = ["--data", str(self.folder / "postgres"), "--sockets", str(self.folder / "run")]
        urls = {
            "POINTSMAN_STORE_URL": self.url,
            "POINTSMAN_STORE_OWNER_URL": self.owner_url,
            "POINTSMAN_MLFLOW_URL": self.mlflow_url,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", AS_SOMEBODY_ELSE, *map(str, ids), str(self._site), *where]
                + ["--port", str(self.port)],
                env=os.environ | urls | environment,
                stderr=log,
                cwd="/",
            )
        return self.process

    def up(self) -> None:
        """Start it, and wait until it takes connections."""
        self.start()
        wait_until(lambda: self.answers(), "it answers")

    def answers(self) -> bool:
        return PGconn.ping(self.url.encode()) == Ping.OK

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """As a node that loses power: all its processes at once."""
        assert self.process is not None
        everything = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for each in everything:
            each.kill()
        psutil.wait_procs(everything, PATIENCE_SECONDS)
        self.process.wait()


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], None]:
    return wait_until


@pytest.fixture
def trial(postgres) -> Iterator[TrialServer]:
    """Not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir="/tmp"))
    if postgres.user:
        entry = pwd.getpwnam(postgres.user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    found = TrialServer(folder, postgres.binaries.parents[2], postgres.user)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.kill()
    shutil.rmtree(folder)
