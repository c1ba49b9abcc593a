"""Environments of their own, for runtimes whose packages cannot live beside ours: built once a lock, in the user's cache.

An environment is there or it is not: it is built beside its place and renamed. Its lock names versions and hashes, only
wheels are installed, and its folder's name holds the lock's digest. `triton.environment` and `kserve_python.environment`
are the commands; the runtimes' starters ask `Environment.python`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = re.compile(r"Collecting ([A-Za-z0-9._-]+)==")
LAST_LINES = 20


class EnvironmentFailed(Exception):
    """It cannot be built, or is not there: what, and what to do. One line."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a runtime is run with. `cannot` says why it cannot be built on this machine, None where it can."""

    name: str
    lock: Path
    module: str
    cannot: str | None = None

    @property
    def folder(self) -> Path:
        """Where it lies: another lock, or another Python, is another folder."""
        return cache() / self.named(f"{sys.version_info.major}.{sys.version_info.minor}")

    def named(self, version: str) -> str:
        """The folder's name for a version of Python, such as "3.11"."""
        return f"{self.name}-{hashlib.sha256(self.lock.read_bytes() + version.encode()).hexdigest()[:12]}"

    @property
    def python(self) -> Path:
        """Its interpreter. Raises EnvironmentFailed where it has not been built."""
        if self.cannot is not None:
            raise EnvironmentFailed(self.cannot)
        if not self.is_built:
            raise EnvironmentFailed(f'no environment in "{self.folder}": run `{sys.executable} -m {self.module}`')
        return self._python

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    @property
    def is_built(self) -> bool:
        """Whether it is there, whole, and the Python that it was built on still is."""
        return self._python.exists()

    @property
    def _python(self) -> Path:
        return self.folder / "bin" / "python"

    def build(self, say: Callable[[str], None]) -> None:
        """Build it where it is not there; another process that builds it is waited for. Raises EnvironmentFailed."""
        if self.cannot is not None:
            raise EnvironmentFailed(self.cannot)
        if self.is_built:
            say(f"{self.name}: it is in {self.folder}")
            return
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self.folder.with_suffix(".lock"), say):
                if not self.is_built:
                    self._build(say)
        except OSError as error:
            raise EnvironmentFailed(
                f'{self.name}: "{error.filename or self.folder}": {error.strerror}: free space, or set XDG_CACHE_HOME'
            ) from error
        say(f"{self.name}: it is in {self.folder}")

    def _build(self, say: Callable[[str], None]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # one whose Python has gone
        for left in self.folder.parent.glob(f".{self.folder.name}-*"):  # we hold the lock: nobody builds it any more
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.folder.name}-", dir=self.folder.parent) as beside:
            place = Path(beside) / "environment"
            say(f"{self.name}: an environment of its own, in {self.folder}")
            self._run([sys.executable, "-m", "venv", str(place)], "venv", lambda _: None)
            self._install(place, say)
            # Only its scripts know where they were built; nothing here runs by a script.
            place.rename(self.folder)

    def _install(self, place: Path, say: Callable[[str], None]) -> None:
        total = sum(line[:1].isalnum() for line in self.lock.read_text().splitlines())
        seen = set[str]()

        def heard(line: str) -> None:
            found = PACKAGE.match(line.strip())
            if found is not None:
                seen.add(found[1])
                say(f"{self.name}: {len(seen)} of at most {total} packages: {found[1]}")
            elif line.startswith("Installing collected"):
                say(f"{self.name}: the packages are unpacked")

        command = [str(place / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:"]
        quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        self._run([*command, *quiet, "-r", str(self.lock)], "pip", heard)

    def _run(self, command: list[str], what: str, heard: Callable[[str], None]) -> None:
        """Run to the end, hearing each line. Raises EnvironmentFailed with what it said last."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        lines = list[str]()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines = [*lines[1 - LAST_LINES :], line.strip()]
                heard(line)
        if process.returncode:
            said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
            raise EnvironmentFailed(
                f"{self.name}: {what} ended with {process.returncode}: {said[:300]}: "
                f"see that the package index answers, and run `{sys.executable} -m {self.module}`"
            )


def cache() -> Path:
    """Where environments lie: below $XDG_CACHE_HOME, by default ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "pointsman"


def main(environment: Environment) -> int:
    """Build it, telling how far it is; 1 where that is impossible."""
    try:
        environment.build(_tell)
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


@contextmanager
def _alone(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process builds it: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
