"""However the local runtime is stopped or killed, nothing of it is left behind, and it starts again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from pointsman.local.client import ControlClient, NotRunning
from pointsman.local.home import Home
from pointsman.local.keeper import keeper_of
from pointsman.local.leftovers import marked
from pointsman.local.postgres import PostgresServer
from pointsman.local.up import down, up

pytestmark = pytest.mark.slow


def until(fact: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.1)


def is_ready(home: Home) -> bool:
    try:
        return bool(ControlClient(home).status()["ready"])
    except NotRunning:
        return False


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("home"))
    yield home
    down(home)
    server = PostgresServer(home)
    if server.user:
        shutil.rmtree(server.data.parent, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_foreground_stops_everything(home: Home, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from pointsman.cli.main import run; run()", "up", "--foreground"]
    environment = {**os.environ, "POINTSMAN_HOME": str(home.root)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: is_ready(home))
    assert len(marked(home.instance)) > 2
    os.killpg(process.pid, number)
    assert process.wait(60) == 0
    assert marked(home.instance) == []
    assert keeper_of(home) is None


def test_without_its_keeper_the_supervisor_stops_and_leaves_nothing(home: Home) -> None:
    assert up(home, timeout=90)
    keeper = keeper_of(home)
    assert keeper is not None
    keeper.kill()
    until(lambda: marked(home.instance) == [])
    assert up(home, timeout=90)
    assert is_ready(home)


def test_a_second_up_does_nothing_and_a_second_down_too(home: Home) -> None:
    assert up(home, timeout=90)
    pid = keeper_of(home)
    assert up(home, timeout=90)
    assert keeper_of(home) == pid
    assert down(home)
    assert not down(home)
