"""What a run of a test cluster has on this machine: all of it, by its mark, so that a test sees that nothing stays."""

from __future__ import annotations

from pathlib import Path

import psutil


def leftovers(run: Path) -> list[str]:
    """Everything on this machine that bears the run's mark."""
    left = []
    for process in psutil.process_iter():
        try:
            marks = " ".join([*process.cmdline(), Path(f"/proc/{process.pid}/cgroup").read_text()])
        except (psutil.Error, OSError):
            continue  # it ended just now
        if run.name in marks:
            left.append(f"process {marks}")
    left += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**/pointsman-{run.name}")]
    left += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if run.name in line]
    return left


def links() -> set[str]:
    """The network links of this machine."""
    return {path.name for path in Path("/sys/class/net").iterdir()}
