"""An embedded host as its pod runs it: settings from the environment, and a file that is put in place of the one before."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import load
from pointsman.local.home import Home
from pointsman.local.ports import Ports

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
PATIENCE = 60.0
pytestmark = pytest.mark.slow


class Mounted:
    """The folder of a ConfigMap, which the kubelet changes by putting one link in place of another."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._turn = folder, 0
        self.file = folder / "host.json"
        (folder / "host.json").symlink_to("..data/host.json")

    def write(self, content: bytes) -> None:
        self._turn += 1
        version = self._folder / f"..{self._turn}"
        version.mkdir()
        (version / "host.json").write_bytes(content)
        fresh = self._folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self._folder / "..data")


@pytest.fixture(scope="module")
def resolved() -> ResolvedGraph:
    return load(EXAMPLE).graph.resolved


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    folder = tmp_path / "config"
    folder.mkdir()
    return Mounted(folder)


@pytest.fixture
def handed(resolved: ResolvedGraph, tmp_path: Path) -> Callable[..., bytes]:
    port = Ports(Home(tmp_path)).of("graph")

    def of(number: int, **changes: object) -> bytes:
        revision = resolved.model_copy(update={"revision": f"sha256:{number:064x}"})
        document = orjson.loads(revision.to_json())
        return orjson.dumps({"resolved": document, "standby": False, "host": "127.0.0.1", "port": port, **changes})

    of.port = port  # type: ignore[attr-defined]
    return of


@pytest.fixture
def ready(mounted: Mounted, handed: Any, database_url: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """A host that was started with revision 1, as a standby; what its ready check answers."""
    mounted.write(handed(1, standby=True))
    environment = {**os.environ, pod.STORE_URL: database_url, pod.CONTROL_TOKEN: "x" * 16, pod.HOST: "card-fraud-a"}
    command = [sys.executable, "-m", "pointsman_serving.embedded", "--config", str(mounted.file)]
    url = f"http://127.0.0.1:{handed.port}/v1/graphs/card-fraud/-/ready"

    def ask() -> dict[str, Any]:
        assert process.poll() is None
        try:
            found: dict[str, Any] = httpx2.get(url, timeout=5, trust_env=False).json()
        except httpx2.TransportError:
            return {}
        return found

    with subprocess.Popen(command, env=environment) as process:
        try:
            yield ask
        finally:
            process.terminate()


def until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.05)


def test_what_is_mounted_is_taken_over_and_what_cannot_be_is_refused(
    ready: Callable[[], dict[str, Any]], mounted: Mounted, handed: Callable[..., bytes]
) -> None:
    until(lambda: ready().get("ready"))
    assert (ready()["standby"], ready()["probed"]) == (True, True)

    mounted.write(handed(2))
    until(lambda: not ready()["standby"] and ready()["revision"].endswith("2"))

    mounted.write(b'{"resolved": {"graph": {}}}')
    until(lambda: ready()["refused"])
    assert "is no configuration of a host" in ready()["refused"]["message"]
    assert (ready()["ready"], ready()["revision"][-1]) == (True, "2")

    mounted.write(handed(3))
    until(lambda: ready()["revision"].endswith("3"))
    assert ready()["refused"] is None
