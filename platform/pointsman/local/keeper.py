"""Keeps the supervisor: starts it again when it dies, adopts and ends what it left. A process small enough not to die itself.

`python -m pointsman.local.keeper --home DIR` runs in the foreground; `start_keeper` detaches it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from pointsman.local.home import Home
from pointsman.local.leftovers import INSTANCE, end

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
QUICK_SECONDS = 5.0
QUICK_FAILURES = 5
"""So many deaths, each within `QUICK_SECONDS` of its start, and the keeper gives up."""


_started: list[subprocess.Popen[bytes]] = []
"""Keepers that outlive us on purpose: to forget one would be called a leak."""


def start_keeper(home: Home) -> int:
    """Start a keeper that outlives this process and its terminal; returns its pid."""
    home.create()
    with (home.logs / "keeper.log").open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pointsman.local.keeper", "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd="/",
            start_new_session=True,
        )
    _started.append(process)
    return process.pid


def keeper_of(home: Home) -> psutil.Process | None:
    """The living keeper of a home, if there is one; a recycled pid is not mistaken for it."""
    try:
        process = psutil.Process(int(home.keeper_file.read_text()))
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    if "pointsman.local.keeper" in command and str(home.root) in command and process.status() != psutil.STATUS_ZOMBIE:
        return process
    return None


def keep(home: Home) -> int:
    """Run the supervisor until it ends by itself; returns the exit code for this process."""
    _become_subreaper()
    home.keeper_file.write_text(str(os.getpid()))
    stopping = False

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal stopping
        stopping = True
        with contextlib.suppress(ProcessLookupError):
            supervisor.send_signal(signal.SIGTERM)

    quick = 0
    while True:
        began = time.monotonic()
        supervisor = _start_supervisor(home)
        signal.signal(signal.SIGTERM, pass_on)
        signal.signal(signal.SIGINT, pass_on)
        code = _wait(supervisor.pid)
        end(home.instance)
        if code == 0 or stopping:
            home.keeper_file.unlink(missing_ok=True)
            return 0
        quick = quick + 1 if time.monotonic() - began < QUICK_SECONDS else 0
        print(f"the supervisor ended ({code}), starting it again", file=sys.stderr, flush=True)  # noqa: T201
        if quick >= QUICK_FAILURES:
            print("it ends at once each time: given up", file=sys.stderr, flush=True)  # noqa: T201
            home.keeper_file.unlink(missing_ok=True)
            return 1
        time.sleep(min(0.2 * 2**quick, 5.0))


def _start_supervisor(home: Home) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pointsman.local.supervisor", "--home", str(home.root)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, INSTANCE: home.instance},
        preexec_fn=_end_with_keeper if sys.platform == "linux" else None,
    )


def _wait(supervisor: int) -> int:
    """Reap whatever ends below us until it is the supervisor."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == supervisor:
            return os.waitstatus_to_exitcode(status)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _become_subreaper() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)


def _end_with_keeper() -> None:
    """Runs in the child before exec: without its keeper the supervisor stops, cleanly."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Keep the supervisor of a home."""
    parser = argparse.ArgumentParser(prog="pointsman.local.keeper", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    return keep(Home(parser.parse_args().home).create())


if __name__ == "__main__":
    sys.exit(main())
