"""Removes what a run of a test cluster made on this machine: processes, cgroups, network links, keys and state.

The harness calls it when a run ends. It is a program as well, started beside each run: it waits until the harness is
gone, however that ended (SIGKILL too), and sweeps then. A run whose sweeper was killed is swept by the next one.
Its logs stay. Standard library alone, so that it starts under any Python.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OWNER = "owner.lock"  # held by the harness while it lives: the kernel lets go of it whatever ends the process
PROCESSES = "processes"  # one a line: pid, start time
CGROUPS = "cgroups"  # one path a line
LINKS = "links"  # one name of a network link a line
KEPT = "log"


def started_at(pid: int) -> str | None:
    """When a process started, in ticks since boot; None where there is no such process, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def sweep(folder: Path, seconds: float = 15) -> list[str]:
    """End and remove all that the run in this folder recorded; what could not be removed is returned, one line each."""
    deadline = time.monotonic() + seconds
    alive = [(pid, start) for pid, start in _recorded_processes(folder) if started_at(pid) == start]
    for pid, _ in alive:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while alive and time.monotonic() < deadline:
        alive = [(pid, start) for pid, start in alive if started_at(pid) == start]
        time.sleep(0.02)
    left = [f"process {pid}" for pid, _ in alive]
    left += [f"cgroup {path}" for path in _lines(folder, CGROUPS) if not _cgroup_removed(Path(path), deadline)]
    for link in _lines(folder, LINKS):
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)  # mostly gone by now
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != KEPT:
            shutil.rmtree(entry, ignore_errors=True)
    if not left:
        for record in (PROCESSES, CGROUPS, LINKS):
            (folder / record).unlink(missing_ok=True)
    return left


def sweep_abandoned(runs: Path, keep: int = 12) -> None:
    """Sweep every run whose harness is gone, and drop the oldest of them beyond `keep`."""
    folders = sorted(
        (path for path in runs.glob("*/") if (path / OWNER).exists()), key=lambda path: path.stat().st_mtime
    )
    for position, folder in enumerate(folders):
        with (folder / OWNER).open("a") as owner:
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its harness lives, or its sweeper is at work
            if not sweep(folder) and position < len(folders) - keep:
                shutil.rmtree(folder, ignore_errors=True)


def _lines(folder: Path, name: str) -> list[str]:
    try:
        return (folder / name).read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


def _recorded_processes(folder: Path) -> Iterator[tuple[int, str]]:
    for line in _lines(folder, PROCESSES):
        pid, _, start = line.partition(" ")
        yield int(pid), start


def _cgroup_removed(top: Path, deadline: float) -> bool:
    """Remove a cgroup and those below it; processes still in one are killed, and those take a moment to be gone."""
    while top.exists():
        for path in (*sorted(top.glob("**/"), reverse=True),):  # the deepest first: a parent sorts before its children
            with suppress(OSError):
                for pid in (path / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with suppress(OSError):
                path.rmdir()
        if time.monotonic() > deadline:
            return not top.exists()
        if top.exists():
            time.sleep(0.05)
    return True


if __name__ == "__main__":
    run = Path(sys.argv[1])
    with (run / OWNER).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sweep(run)
