"""Keeps processes as they are wanted: starts, restarts what died, stops what is wanted no more. One table a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from pointsman.local.leftovers import CHILD, INSTANCE, end

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS = 0.3
LONGEST_BACKOFF_SECONDS = 15.0
READY_POLL_SECONDS = 0.2
LOG_BYTES = 64 * 1024 * 1024
PR_SET_PDEATHSIG = 1


class State(StrEnum):
    """Where a process is."""

    STARTING = "Starting"
    READY = "Ready"
    BACKING_OFF = "BackOff"
    STOPPING = "Stopping"


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process that is wanted. `ready` is asked until it says True, and not again; it must not raise."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    folder: Path | None = None
    ready: Callable[[], Awaitable[bool]] | None = field(default=None, compare=False)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is seen of a process."""

    name: str
    state: State
    pid: int | None
    restarts: int
    last_exit: str | None
    address: str | None
    ready_since: float | None


class _Kept:
    """One process and the task that keeps it."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.state = State.STARTING
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.last_exit: str | None = None
        self.ready_since: float | None = None
        self.task: asyncio.Task[None] | None = None


class ProcessTable:
    """The children of one supervisor. `changed` is called whenever an observed state changes."""

    def __init__(self, *, instance: str, logs: Path, changed: Callable[[], None] = lambda: None) -> None:
        self._instance, self._logs, self._changed = instance, logs, changed
        self._kept = dict[str, _Kept]()

    async def apply(self, desired: Mapping[str, ProcessSpec]) -> None:
        """Start what is missing, stop what is gone, replace what changed. Returns when what had to stop has stopped."""
        gone = [name for name, kept in self._kept.items() if desired.get(name) != kept.spec]
        await asyncio.gather(*(self._stop(name) for name in reversed(gone)))
        for name, spec in desired.items():
            if name not in self._kept:
                kept = self._kept[name] = _Kept(spec)
                kept.task = asyncio.create_task(self._keep(kept), name=f"keep {name}")

    async def stop_all(self) -> None:
        """Stop everything, the last started first."""
        for name in reversed(list(self._kept)):
            await self._stop(name)

    def observed(self) -> dict[str, Observed]:
        """What is seen, by name, in the order of starting."""
        return {
            name: Observed(
                name=name,
                state=kept.state,
                pid=kept.process.pid if kept.process is not None and kept.process.returncode is None else None,
                restarts=kept.restarts,
                last_exit=kept.last_exit,
                address=kept.spec.address,
                ready_since=kept.ready_since,
            )
            for name, kept in self._kept.items()
        }

    async def _keep(self, kept: _Kept) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            self._now(kept, State.STARTING)
            began = time.monotonic()
            try:
                kept.process = await self._start(kept.spec)
            except OSError as error:
                kept.last_exit = f"cannot be started: {error}"
            else:
                waiting = asyncio.create_task(self._until_ready(kept))
                code = await kept.process.wait()
                waiting.cancel()
                kept.last_exit = _exit_words(code)
                log.warning("a process ended", process=kept.spec.name, exit=kept.last_exit)
                await asyncio.to_thread(end, self._instance, child=kept.spec.name)
            if kept.ready_since is not None and time.monotonic() - began > LONGEST_BACKOFF_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            kept.ready_since = None
            kept.restarts += 1
            self._now(kept, State.BACKING_OFF)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def _until_ready(self, kept: _Kept) -> None:
        if kept.spec.ready is not None:
            while not await kept.spec.ready():
                await asyncio.sleep(READY_POLL_SECONDS)
        kept.ready_since = time.monotonic()
        self._now(kept, State.READY)

    async def _start(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        path = self._logs / f"{spec.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))
        environment = {**os.environ, **spec.environment, INSTANCE: self._instance, CHILD: spec.name}
        with path.open("ab") as stream:
            return await asyncio.create_subprocess_exec(
                *spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=spec.folder,
                env=environment,
                start_new_session=True,
                user=spec.user,
                group=_group_of(spec.user),
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    async def _stop(self, name: str) -> None:
        kept = self._kept[name]
        if kept.task is not None:
            kept.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await kept.task
        self._now(kept, State.STOPPING)
        process = kept.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(kept.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), kept.spec.stop_seconds)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.to_thread(end, self._instance, child=name)
        del self._kept[name]

    def _now(self, kept: _Kept, state: State) -> None:
        if kept.state is not state:
            kept.state = state
            self._changed()


def last_lines(logs: Path, name: str, count: int = 5) -> list[str]:
    """The last lines of a process's log."""
    path = logs / f"{name}.log"
    if not path.exists():
        return []
    with path.open(errors="replace") as stream:
        return [line.rstrip() for line in deque(stream, maxlen=count)]


def _exit_words(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd

    return pwd.getpwnam(user).pw_gid


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Runs in the child between fork and exec, after its user was set: SIGKILL when the supervisor dies."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
