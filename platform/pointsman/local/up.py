"""Starts and stops the local runtime of a home."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from pointsman.local.client import ControlClient, NotRunning
from pointsman.local.home import Home
from pointsman.local.keeper import keeper_of, start_keeper
from pointsman.local.leftovers import end

STOP_SECONDS = 60.0


class CannotStart(Exception):
    """The supervisor ended before it answered; the message holds its last words."""


def up(
    home: Home,
    *,
    foreground: bool = False,
    timeout: float = 180,
    on_change: Callable[[str], None] = lambda text: None,
) -> bool:
    """Start what does not run yet; True once all that is applied is Ready, False where that took too long.

    In the foreground it returns when it was stopped. Raises CannotStart.
    """
    home.create()
    if foreground:
        command = [sys.executable, "-m", "pointsman.local.keeper", "--home", str(home.root)]
        process = subprocess.Popen(command)
        while True:
            try:
                process.wait()
            except KeyboardInterrupt:
                continue  # the keeper got it too, and stops what runs
            return True
    if keeper_of(home) is None:
        start_keeper(home)
        _until_it_answers(home)
    return ControlClient(home).wait_ready(timeout, on_change)


def down(home: Home) -> bool:
    """Stop everything and wait until nothing is left; False where nothing ran."""
    keeper = keeper_of(home)
    if keeper is None:
        return home.root.exists() and end(home.instance) > 0
    try:
        ControlClient(home).down()
    except NotRunning:
        keeper.terminate()
    try:
        keeper.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        keeper.kill()
    end(home.instance)
    return True


def _until_it_answers(home: Home) -> None:
    client, began = ControlClient(home), time.monotonic()
    while True:
        try:
            client.status()
        except NotRunning:
            if time.monotonic() - began > 2 and keeper_of(home) is None:
                words = (home.logs / "keeper.log").read_text(errors="replace").strip().splitlines()
                raise CannotStart(words[-1] if words else "the keeper ended at once") from None
            time.sleep(0.1)
        else:
            return
