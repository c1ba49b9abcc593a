"""The state folder of one local runtime: where everything lies, and which processes belong to it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

SOCKET_PATH_BYTES = 107
"""What a unix socket's path may have."""
LONGEST_SOCKET = "/.s.PGSQL.5432.lock"


class HomeInUse(Exception):
    """Another supervisor holds this state folder."""


class Home:
    """A state folder and its parts. Making one touches nothing; `create` makes the folders, for their owner alone."""

    def __init__(self, root: str | Path | None = None) -> None:
        chosen = root or os.environ.get("POINTSMAN_HOME") or Path.home() / ".pointsman"
        self.root = Path(chosen).expanduser().absolute()
        self.logs = self.root / "logs"
        self.models = self.root / "models"
        self.secrets = self.root / "secrets"
        self.config = self.root / "config"
        self.artifacts = self.root / "artifacts"
        self.data = self.root / "data"
        self.lock = self.root / "supervisor.lock"
        self.keeper_file = self.root / "keeper.pid"

    def create(self) -> Home:
        """Make what is not there yet."""
        for folder in (self.root, self.logs, self.models, self.secrets, self.config, self.artifacts, self.data):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    @property
    def key(self) -> str:
        """A short name of this folder, for what must lie elsewhere."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    @property
    def run(self) -> Path:
        """Where sockets lie: in the home, or in a short folder where their paths would grow too long."""
        inside = self.root / "run"
        if len(str(inside)) + len(LONGEST_SOCKET) <= SOCKET_PATH_BYTES:
            return inside
        return Path(tempfile.gettempdir()) / f"pointsman-{self.key}"

    @property
    def ray(self) -> Path:
        """Ray's folder: its sockets lie deep below, so it is short whatever the home is."""
        return Path(tempfile.gettempdir()) / f"pmr-{self.key}"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor answers."""
        return self.run / "control.sock"

    @property
    def instance(self) -> str:
        """The random id that marks every process of this home. Made once."""
        file = self.root / "instance"
        if not file.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = file.with_suffix(f".{os.getpid()}")
            fresh.write_text(uuid4().hex)
            try:
                os.link(fresh, file)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return file.read_text().strip()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the home as its one supervisor. Raises HomeInUse."""
        with self.lock.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HomeInUse(f"another supervisor runs here: {self.root}") from error
            yield
