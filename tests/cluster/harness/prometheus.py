"""Prometheus' own programs, where they are installed, else out of Debian's package."""

from __future__ import annotations

import os
import shutil

import pytest

from pointsman_images import debian
from pointsman_images.cache import Missing


def prometheus_program(name: str) -> str:
    """The path of `prometheus` or `promtool`; the test is skipped where it cannot be had, and fails in CI."""
    program = shutil.which(name)
    if program is not None:
        return program
    try:
        content = debian.unpacked(("prometheus",), lambda line: None)
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is needed: {missing}", pytrace=False)
        pytest.skip(f"NOT TESTED: {name} is not here (on Debian or Ubuntu, apt-get install prometheus): {missing}")
    return str(content / "usr" / "bin" / name)
