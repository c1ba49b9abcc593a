"""What a graph's host on Ray watches: it ends, to be started anew, once Ray cannot serve any more."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import psutil
import pytest

from pointsman_serving.ray_host import why_it_ended


@pytest.fixture
def raylet() -> Iterator[psutil.Process]:
    """Stands for Ray's own process: it lives until it is killed."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_a_core_process_of_rays_that_ended_ends_the_host_whatever_serve_says(raylet: psutil.Process) -> None:
    raylet.kill()
    assert why_it_ended([raylet], lambda: "RUNNING", every=0.01) == "sleep ended"


def test_a_controller_that_never_answers_ends_the_host(raylet: psutil.Process) -> None:
    never = threading.Event()

    def ask() -> str:
        never.wait()
        return "RUNNING"

    assert why_it_ended([raylet], ask, every=0.01, silent=0.1) == "Serve's controller does not answer"
    never.set()


def test_an_application_that_failed_ends_the_host_once_it_says_so(raylet: psutil.Process) -> None:
    says = iter(["RUNNING", "RUNNING", "UNHEALTHY"])
    assert why_it_ended([raylet], lambda: next(says, "UNHEALTHY"), every=0.01) == "Serve says UNHEALTHY"
