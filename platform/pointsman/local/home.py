"""The state folder of one local runtime: where everything lies, and which processes belong to it.

Everything local begins with a `Home`: the command line, the keeper, the supervisor, and tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

SOCKET_PATH_BYTES = 103
"""What a unix socket's path may have where it may have the least (macOS; 107 on Linux)."""
LONGEST_SOCKET = "/.s.PGSQL.5432.lock"
INSTANCE_FORM = re.compile(r"[0-9a-f]{32}")


class HomeInUse(Exception):
    """Another supervisor, or another keeper, holds this state folder."""


class HomeRefused(Exception):
    """The state folder, or a folder that goes with it, cannot be trusted with secrets and sockets."""


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
        self.policies = self.root / "policies.cedar"
        self.lock = self.root / "supervisor.lock"
        self.keeper_lock = self.root / "keeper.lock"
        self.keeper_file = self.root / "keeper.pid"
        self.given_up_file = self.root / "given-up"
        self.certificate_key = self.root / "certificate-key.pem"

    def create(self) -> Home:
        """Make what is not there yet. The root's own mode is left alone where it exists. Raises HomeRefused."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.root.stat()
        if found.st_uid != os.geteuid():
            raise HomeRefused(f"the state folder belongs to another user: {self.root}")
        if found.st_mode & stat.S_IWOTH:
            raise HomeRefused(f"anybody may write to the state folder: {self.root}: chmod o-w, or choose another")
        for folder in (self.logs, self.models, self.secrets, self.config, self.artifacts, self.data):
            folder.mkdir(mode=0o700, exist_ok=True)  # a link to a larger disk may stand there
        _own(self.run)
        _own(self._ray_root)
        return self

    @property
    def key(self) -> str:
        """A short name of this folder, for what must lie elsewhere and holds no state."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    @property
    def run(self) -> Path:
        """Where sockets lie: in the home, or in a short folder where their paths would grow too long."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) + len(LONGEST_SOCKET) <= SOCKET_PATH_BYTES:
            return inside
        return Path(tempfile.gettempdir()) / f"pointsman-{self.key}"

    def ray(self, graph: str) -> Path:
        """Ray's folder for a graph, short whatever the home is: its sockets lie deep below and may have 97 bytes.

        Ray opens its own folders to everybody; the one above them is closed.
        """
        return self._ray_root / hashlib.sha256(graph.encode()).hexdigest()[:4]

    @property
    def _ray_root(self) -> Path:
        return Path("/tmp") / f"pm-{self.key[:8]}"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor answers."""
        return self.run / "control.sock"

    @property
    def instance(self) -> str:
        """The random id that marks every process of this home, and what it keeps elsewhere. Made once.

        Raises HomeRefused when the file that keeps it holds something else.
        """
        file = self.root / "instance"
        if not file.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = file.with_suffix(f".{uuid4().hex}")
            fresh.write_text(uuid4().hex)
            try:
                os.link(fresh, file)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        instance = file.read_text().strip()
        if not INSTANCE_FORM.fullmatch(instance):
            raise HomeRefused(f'not the id of a local runtime: {file}: "{instance[:40]}"')
        return instance

    def held(self) -> AbstractContextManager[None]:
        """Hold the home as its one supervisor. Raises HomeInUse."""
        return _hold(self.lock, "another supervisor runs here")

    def kept(self) -> AbstractContextManager[None]:
        """Hold the home as its one keeper. Raises HomeInUse."""
        return _hold(self.keeper_lock, "another keeper runs here")


@contextmanager
def _hold(file: Path, taken: str) -> Iterator[None]:
    """Hold a file's lock; it falls with the process, whatever ends it."""
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HomeInUse(f"{taken}: {file.parent}") from error
        yield


def _own(folder: Path) -> None:
    """Make a folder of ours, closed to others. Where all may write, somebody may have been there first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise HomeRefused(f"not a folder of ours: {folder}: remove it")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
