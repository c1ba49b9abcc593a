"""Finds and ends processes by the marker in their environment, whatever became of their parents and groups."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

import psutil

INSTANCE = "POINTSMAN_INSTANCE"
"""Set for every process of a local runtime: the id of its home."""
CHILD = "POINTSMAN_CHILD"
"""Set for a supervised child and all that it starts: the child's name."""

TERM_SECONDS = 3.0


def marked(instance: str, *, child: str | None = None, but: Collection[int] = ()) -> list[psutil.Process]:
    """The living processes that carry the marker, without this one and those in `but`."""
    spared = {os.getpid(), *but}
    found = list[psutil.Process]()
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            environment = process.environ()
            if (
                environment.get(INSTANCE) == instance
                and (child is None or environment.get(CHILD) == child)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or is not ours to look at
    return found


def end(
    instance: str, *, child: str | None = None, but: Collection[int] = (), term_seconds: float = TERM_SECONDS
) -> int:
    """End them: SIGTERM, a short wait, SIGKILL, until none is left. Returns how many there were. Blocks."""
    count, deadline = 0, time.monotonic() + term_seconds
    while processes := marked(instance, child=child, but=but):
        count = max(count, len(processes))
        late = time.monotonic() > deadline
        for process in processes:
            try:
                process.kill() if late else process.terminate()
            except psutil.Error:
                continue
        psutil.wait_procs(processes, timeout=0.2 if late else max(0.1, deadline - time.monotonic()))
    return count
