"""Keeps processes as they are wanted: starts them, restarts what died, stops what is wanted no more.

A supervisor holds one table and gives it the specs that `world` makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil
import structlog

from pointsman.local.launch import launched
from pointsman.local.leftovers import CHILD, INSTANCE, end

log = structlog.get_logger()

READY_POLL_SECONDS = 0.2
LOG_BYTES = 64 * 1024 * 1024
"""A longer log is set aside as `NAME.log.old` when its process starts; the one set aside before goes."""
LAST_BYTES = 32 * 1024
"""So much of a log's end is looked at for its last lines."""
PASSED_TO_OTHER_USERS = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""All that another user's process gets of our environment, which may hold credentials."""


class State(StrEnum):
    """Where a process is."""

    STARTING = "Starting"
    READY = "Ready"
    BACKING_OFF = "BackOff"
    STOPPING = "Stopping"
    DONE = "Done"
    """It ended well and is not to be started again."""
    FAILED = "Failed"
    """It ended badly and is not to be started again."""


class Restart(StrEnum):
    """What follows the end of a process."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


@dataclass(frozen=True, kw_only=True)
class BackOff:
    """How long a process that ended waits for its next start: twice as long for each run before it that was not steady.

    Steady: Ready, and running for `longest` seconds. What is Ready and dies at once is not restarted in a tight loop.
    """

    first: float = 0.3
    longest: float = 15.0

    def seconds(self, failures: int) -> float:
        """The wait after so many unsteady runs in a row before this one."""
        return min(self.first * 2.0 ** min(failures, 30), self.longest)


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process that is wanted; two that are equal are the same process.

    `ready` is asked until it says True, and no more. `stop_seconds` after `stop_signal` comes SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    folder: Path | None = None
    ready: Callable[[], Awaitable[bool]] | None = field(default=None, compare=False)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    restart: Restart = Restart.ALWAYS
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is seen of a process. `failures` are its ends in a row without a steady run; `since` is in Unix seconds."""

    name: str
    state: State
    since: float
    pid: int | None
    restarts: int
    failures: int
    last_exit: str | None
    address: str | None


class _Kept:
    """One process and the task that keeps it."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.state = State.STARTING
        self.since = time.time()
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.failures = 0
        self.last_exit: str | None = None
        self.task: asyncio.Task[None] | None = None


class ProcessTable:
    """The children of one supervisor. `changed` is called whenever an observed state changes.

    Each child has a session of its own and both markers (see `leftovers`), and dies with this process. Its loop runs in the
    main thread. `apply` and `stop_all` are not called while one of them runs.
    """

    def __init__(
        self,
        *,
        instance: str,
        logs: Path,
        changed: Callable[[], None] = lambda: None,
        back_off: BackOff | None = None,
    ) -> None:
        self._instance, self._logs, self._changed = instance, logs, changed
        self._back_off = back_off or BackOff()
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
                since=kept.since,
                pid=kept.process.pid if kept.process is not None and kept.process.returncode is None else None,
                restarts=kept.restarts,
                failures=kept.failures,
                last_exit=kept.last_exit,
                address=kept.spec.address,
            )
            for name, kept in self._kept.items()
        }

    async def _keep(self, kept: _Kept) -> None:
        while True:
            self._now(kept, State.STARTING)
            began = time.monotonic()
            well = await self._run(kept)
            if kept.spec.restart is Restart.NEVER or (well and kept.spec.restart is Restart.ON_FAILURE):
                self._now(kept, State.DONE if well else State.FAILED)
                return
            steady = kept.state is State.READY and time.monotonic() - began >= self._back_off.longest
            pause = self._back_off.seconds(0 if steady else kept.failures)
            kept.failures = 0 if steady else kept.failures + 1
            kept.restarts += 1
            self._now(kept, State.BACKING_OFF)
            await asyncio.sleep(pause)

    async def _run(self, kept: _Kept) -> bool:
        """One life of a process, from its start until nothing of it is left. Whether it ended well."""
        name = kept.spec.name
        try:
            kept.process = process = await self._start(kept.spec)
        except OSError as error:
            kept.last_exit = f"cannot be started: {error}"
            return False
        waiting = asyncio.create_task(self._until_ready(kept), name=f"is {name} ready")
        try:
            code = await process.wait()
        finally:
            waiting.cancel()
        kept.last_exit = _exit_words(code)
        log.warning("a process ended", process=name, exit=kept.last_exit, last_lines=last_lines(self._logs, name, 3))
        await asyncio.to_thread(end, self._instance, child=name, session=process.pid)
        return code == 0

    async def _until_ready(self, kept: _Kept) -> None:
        while kept.spec.ready is not None:
            try:
                if await kept.spec.ready():
                    break
            except Exception:  # the check is another's code, and the process goes on whatever is wrong with it
                log.exception("a ready check failed", process=kept.spec.name)
            await asyncio.sleep(READY_POLL_SECONDS)
        self._now(kept, State.READY)

    async def _start(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        path = self._logs / f"{spec.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.old"))
        inherited = dict(os.environ)
        if spec.user is not None:
            inherited = {name: os.environ[name] for name in PASSED_TO_OTHER_USERS if name in os.environ}
        with path.open("ab") as stream:
            return await asyncio.create_subprocess_exec(
                *launched(spec.command, user=spec.user, on_death=signal.SIGKILL),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=spec.folder,
                env={**inherited, **spec.environment, INSTANCE: self._instance, CHILD: spec.name},
                start_new_session=True,
            )

    async def _stop(self, name: str) -> None:
        kept = self._kept[name]
        if kept.task is not None:
            kept.task.cancel()
            await asyncio.gather(kept.task, return_exceptions=True)
        self._now(kept, State.STOPPING)
        process, session, family = kept.process, None, list[psutil.Process]()
        if process is not None and process.returncode is None:
            session = process.pid
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(kept.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), kept.spec.stop_seconds)
            except TimeoutError:
                family = await asyncio.to_thread(_family, process.pid)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await asyncio.to_thread(end, self._instance, child=name, session=session, also=family)
        del self._kept[name]
        self._changed()

    def _now(self, kept: _Kept, state: State) -> None:
        if kept.state is not state:
            kept.state, kept.since = state, time.time()
            self._changed()


def last_lines(logs: Path, name: str, count: int = 5) -> list[str]:
    """The last lines of a process's log, of what it wrote last."""
    try:
        with (logs / f"{name}.log").open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - LAST_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines()[-count:]]


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
