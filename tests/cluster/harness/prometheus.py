"""Prometheus' own programs, where they are installed, else out of Debian's package."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.waiting import wait_for
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


class Prometheus:
    """A running server. `ask` gives what an expression is now."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def get(self, path: str, **asked: str) -> Any:
        body = self._client.get(path, params=asked).json()
        assert body["status"] == "success", f"{asked}: {body['error']}"
        return body["data"]

    def ask(self, expression: str) -> list[float]:
        """The values of all series that are a number."""
        values = [float(each["value"][1]) for each in self.get("/query", query=expression)["result"]]
        return [value for value in values if not math.isnan(value)]

    def targets(self) -> dict[str, set[str]]:
        """Whether what it reads answers, by the configuration's jobs: {"up"} where all of a job do."""
        found = dict[str, set[str]]()
        for each in self.get("/targets")["activeTargets"]:
            found.setdefault(each["scrapePool"], set()).add(each["health"])
        return found


@contextmanager
def prometheus(configuration: Mapping[str, Any], folder: Path) -> Iterator[Prometheus]:
    """Runs a server with this configuration, its data below the folder."""
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(json.dumps(configuration))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [prometheus_program("prometheus"), f"--config.file={file}", f"--web.listen-address={address}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={folder / 'data'}"], stdout=output, stderr=output, cwd=folder
        )
    try:
        wait_for("Prometheus is ready", lambda: _ready(f"http://{address}", process, log))
        with httpx2.Client(base_url=f"http://{address}/api/v1", trust_env=False, timeout=30) as client:
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    try:
        return httpx2.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False
