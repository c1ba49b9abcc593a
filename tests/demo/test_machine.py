"""The CPU seconds of a runtime are those of all its processes, whatever became of their environments or of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest

from pointsman.demo.machine import cpu_seconds
from pointsman.local.leftovers import INSTANCE

BURN = "import time\nwhile time.process_time() < 0.5: pass\n"
STAY = "print('burnt', flush=True)\ninput()\n"
IN_A_CHILD = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {code!r}], env={{}}, stdin=0)\n"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(BURN + STAY, id="a process with the marker"),
        pytest.param(IN_A_CHILD.format(code=BURN + STAY) + "child.wait()", id="a child that lost the marker"),
        pytest.param(IN_A_CHILD.format(code=BURN) + "child.wait()\n" + STAY, id="a child that has ended"),
    ],
)
@pytest.mark.slow
def test_what_a_process_has_used_is_counted(code):
    instance = uuid.uuid4().hex
    assert cpu_seconds(instance) == 0
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, INSTANCE: instance},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "burnt\n"
            assert 0.45 <= cpu_seconds(instance) < 5
        finally:
            process.stdin.close()


def test_this_process_is_not_counted(monkeypatch):
    instance = uuid.uuid4().hex
    monkeypatch.setenv(INSTANCE, instance)
    assert cpu_seconds(instance) == 0
