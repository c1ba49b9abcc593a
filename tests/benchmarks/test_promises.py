"""The measurements of certified bands run, in small, and keep no result then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["certificates", "monitors", "seasons", "overhead"])
def test_a_measurement_runs_in_small_and_keeps_nothing(name: str) -> None:
    kept = results()
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout
    assert results() == kept


def results() -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (BENCHMARKS / "results").iterdir()}
