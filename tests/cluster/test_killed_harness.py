"""A harness that is killed leaves nothing: no process, no network link, no cgroup, no mount."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness import node, runs, sweeper, yours
from harness.leftovers import leftovers, links
from harness.waiting import wait_for
from pointsman_images import cache

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

PROGRAM = """
import signal
from harness.{module} import {world}
with {world}(lambda line: None) as cluster:
    print(cluster.log_folder.parent, flush=True)
    signal.pause()
"""


def started(program: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(Path(module.__file__).parents[1]) for module in (node, cache))
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(("module", "world"), [("simulated", "simulated"), ("real", "real_node")])
def test_a_killed_harness_leaves_nothing_behind(request: pytest.FixtureRequest, module: str, world: str) -> None:
    request.getfixturevalue(world)  # so that what is missing is said once, and programs are built
    before = links()
    with started(PROGRAM.format(module=module, world=world)) as harness:
        assert harness.stdout is not None
        run = Path(harness.stdout.readline().strip())
        assert leftovers(run), "nothing is seen of a cluster that is up: this test would see no leftovers either"
        harness.send_signal(signal.SIGKILL)

    wait_for("nothing is left", lambda: not leftovers(run) and links() == before)

    assert sorted(path.name for path in run.iterdir()) == ["log", "owner.lock"]


SLEEPER = """
import signal
from harness.runs import run
with run("sleeper") as made:
    made.start("sleeper", ["sleep", "1000"])
    print(made.folder, flush=True)
    signal.pause()
"""


def test_what_is_left_when_the_sweeper_is_killed_too_the_next_run_sweeps() -> None:
    with started(SLEEPER) as harness:
        assert harness.stdout is not None
        run = Path(harness.stdout.readline().strip())
        others = psutil.Process(harness.pid).children()
        [sweeping] = [other for other in others if sweeper.__file__ in other.cmdline()]
        for process in (sweeping, harness):
            process.send_signal(signal.SIGKILL)

    wait_for("the kernel ends what the harness started", lambda: not leftovers(run))
    assert (run / "pki").exists()

    with runs.run("sleeper"):
        assert sorted(path.name for path in run.iterdir()) == ["log", "owner.lock"]
