"""Starts and stops the local runtime of a home: `pointsman up` and `down`, and the demo."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from pointsman.local.client import ControlClient, ControlError, NotRunning
from pointsman.local.home import Home
from pointsman.local.keeper import keeper_of, start_keeper
from pointsman.local.leftovers import end
from pointsman.local.processes import last_lines

ANSWER_SECONDS = 60.0
"""How long a supervisor may take until its socket answers."""
STOP_SECONDS = 60.0
POLL_SECONDS = 0.05


class CannotStart(Exception):
    """The supervisor does not come up; the message holds its last words."""


def up(
    home: Home,
    *,
    foreground: bool = False,
    timeout: float = 180,
    on_change: Callable[[str], None] = lambda text: None,
) -> bool:
    """Start what does not run yet; True once all that is applied is Ready, False where that took too long.

    In the foreground it returns when it was stopped. Raises CannotStart, and home.HomeRefused.
    """
    home.create()
    if foreground:
        return _stay(home)
    started = start_keeper(home) if keeper_of(home) is None else None

    def lives() -> bool:
        """Whether a keeper runs: the one that was started, though it may not have said so yet, or another."""
        return keeper_of(home) is not None or (started is not None and _runs(started))

    client = ControlClient(home)
    _until_it_answers(home, client, lives)
    try:
        return client.wait_ready(timeout, on_change, lives=lives)
    except NotRunning:
        raise CannotStart(_last_words(home)) from None


def down(home: Home) -> bool:
    """Stop everything and wait until nothing is left; False where nothing ran."""
    keeper = keeper_of(home)
    if keeper is None:
        return (home.root / "instance").exists() and end(home.instance) > 0
    try:
        ControlClient(home).down()
    except (NotRunning, ControlError):
        keeper.terminate()
    try:
        keeper.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        keeper.kill()
    end(home.instance)
    return True


def _stay(home: Home) -> bool:
    """Run the keeper as our child until it ends; Ctrl-C and SIGTERM reach it through us."""
    if keeper_of(home) is not None:
        raise CannotStart(f"it runs already: {home.root}: `pointsman down` stops it")
    process = subprocess.Popen(
        [sys.executable, "-m", "pointsman.local.keeper", "--home", str(home.root)], start_new_session=True
    )

    def pass_on(*_: object) -> None:
        process.terminate()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        raise CannotStart(_last_words(home))
    return True


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _until_it_answers(home: Home, client: ControlClient, lives: Callable[[], bool]) -> None:
    began = time.monotonic()
    while True:
        try:
            client.status()
        except NotRunning:
            if time.monotonic() - began > ANSWER_SECONDS or not lives():
                raise CannotStart(_last_words(home)) from None
            time.sleep(POLL_SECONDS)
        else:
            return


def _last_words(home: Home) -> str:
    """What the keeper and the supervisor said last, whichever of it is a cause."""
    lines = [line for line in last_lines(home.logs, "keeper", 20) if line.strip()]
    causes = [line for line in lines if line.startswith("pointsman: ")] or lines
    return causes[-1].removeprefix("pointsman: ") if causes else "the keeper ended and said nothing"
