"""Finds and ends processes by the marker in their environment, whatever became of their parents and groups.

The process table calls it for what a child leaves, the keeper for what a supervisor leaves, `pointsman down` for what is
left without either.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil
import structlog

log = structlog.get_logger()

INSTANCE = "POINTSMAN_INSTANCE"
"""Set for every process of a local runtime: the id of its home."""
CHILD = "POINTSMAN_CHILD"
"""Set for a supervised child and all that it starts: the child's name."""

TERM_SECONDS = 3.0
KILL_SECONDS = 10.0
"""A process that SIGKILL has not ended by then hangs in the kernel; nobody waits for it."""


def marked(
    instance: str,
    *,
    child: str | None = None,
    session: int | None = None,
    but: Collection[int] = (),
) -> list[psutil.Process]:
    """The living processes that carry the marker, or are of the session, without this one and those in `but`.

    The session is for what has overwritten its environment. Its leader must have been a child of ours and have just ended:
    an empty session's number is given away again, and then belongs to a leader that lives.
    """
    spared = {os.getpid(), *but}
    if session is not None and psutil.pid_exists(session):
        session = None
    wanted = [f"{INSTANCE}={instance}", *([f"{CHILD}={child}"] if child is not None else [])]
    found = list[psutil.Process]()
    for pid, environment in _environments():
        if pid in spared or not (environment.issuperset(wanted) or _in_session(pid, session)):
            continue
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return found


def end(
    instance: str,
    *,
    child: str | None = None,
    session: int | None = None,
    also: Collection[psutil.Process] = (),
    but: Collection[int] = (),
    term_seconds: float = TERM_SECONDS,
) -> int:
    """End what is marked, and `also`: SIGTERM, a short wait, SIGKILL, until none is left. Blocks.

    Returns how many there were.
    """
    ended, began = set[psutil.Process](), time.monotonic()
    while processes := {*marked(instance, child=child, session=session, but=but), *_living(also)}:
        ended |= processes
        passed = time.monotonic() - began
        if passed > term_seconds + KILL_SECONDS:
            log.error("these cannot be ended", pids=sorted(each.pid for each in processes))
            break
        late = passed >= term_seconds
        for process in processes:
            try:
                process.kill() if late else process.terminate()
            except psutil.Error:
                continue
        psutil.wait_procs(processes, timeout=0.2 if late else max(0.05, term_seconds - passed))
    return len(ended)


def _environments() -> Iterator[tuple[int, set[str]]]:
    """Each process that this user may look at, with the `NAME=value` of its environment as it was started."""
    if sys.platform != "linux":
        for process in psutil.process_iter():
            try:
                yield process.pid, {f"{name}={value}" for name, value in process.environ().items()}
            except (psutil.Error, OSError):
                continue
        return
    for folder in os.scandir("/proc"):
        if folder.name.isdecimal():
            try:
                text = Path(folder.path, "environ").read_bytes()
            except OSError:
                continue  # it ended meanwhile, or is not ours to look at
            yield int(folder.name), set(os.fsdecode(text).split("\0"))


def _in_session(pid: int, session: int | None) -> bool:
    if session is None:
        return False
    try:
        return os.getsid(pid) == session
    except OSError:
        return False


def _living(processes: Collection[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that still run; a recycled pid is not mistaken for one of them."""
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue
