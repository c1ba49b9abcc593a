"""The Serve application as it runs in pods: Ray started by its command, the graph handed over as KubeRay hands it over."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import psutil
import pytest

from pointsman.governance.access import Role
from pointsman.governance.keys import make
from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import load
from pointsman.local.leftovers import INSTANCE, end, marked
from pointsman.store.database import connect
from pointsman.store.migrate import migrate
from pointsman_operator.resources.graphs.ray_service import _serve_config
from pointsman_serving.ray_settings import settings

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
PATIENCE = 120.0
pytestmark = pytest.mark.slow


@dataclass
class Pod:
    """A Ray cluster of one node, and a caller of the graph that it hosts."""

    instance: str
    dashboard: str
    token: str
    url: str
    key: str
    database_url: str
    folder: Path
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)

    def hand_over(self, resolved: ResolvedGraph) -> None:
        """As KubeRay does with a changed `serveConfigV2`."""
        handed = {"resolved": orjson.loads(resolved.to_json()), "standby": False}
        config = orjson.loads(_serve_config(resolved.graph.name, handed))
        config["proxy_location"] = "HeadOnly"
        config["http_options"] = {"host": "127.0.0.1", "port": int(self.url.rpartition(":")[2])}
        [application] = config["applications"]
        self.applications[application["name"]] = application
        config["applications"] = list(self.applications.values())
        self._dashboard("PUT", json=config).raise_for_status()

    def status(self, graph: str = "card-fraud") -> dict[str, Any]:
        found: dict[str, Any] = self._dashboard("GET").json()["applications"].get(graph, {})
        return found

    def ready(self) -> dict[str, Any]:
        try:
            answer = httpx2.get(f"{self.url}/v1/graphs/card-fraud/-/ready", timeout=10, trust_env=False)
            return answer.json() if answer.status_code == 200 else {}
        except (httpx2.HTTPError, ValueError):
            return {}

    def decide(self, **changes: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        url = f"{self.url}/v1/graphs/card-fraud/decisions"
        return httpx2.post(url, json=event(**changes), headers=headers, timeout=30, trust_env=False)

    def replica(self) -> int | None:
        """The process of the graph's replica."""
        found = [each for each in marked(self.instance) if "ServeReplica:card-fraud:" in " ".join(each.cmdline())]
        return found[0].pid if found else None

    def _dashboard(self, method: str, **arguments: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"{self.dashboard}/api/serve/applications/"
        return httpx2.request(method, url, headers=headers, timeout=60, trust_env=False, **arguments)


def event(**changes: str) -> dict[str, str]:
    return {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": "12.50",
        "card_id": "c",
        "terminal_id": "t",
        "card_account": "a",
    } | changes


def until(fact: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, f"it did not become so in time: {told()}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def resolved() -> ResolvedGraph:
    return load(EXAMPLE).graph.resolved


@pytest.fixture(scope="module")
def pod_of_ray(postgres: Any) -> Iterator[Pod]:
    import psycopg

    with ExitStack() as stack:
        name, instance = f"test_{uuid4().hex[:12]}", uuid4().hex
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" OWNER pointsman_owner')
        migrate(postgres.url(name, "pointsman_owner"))
        database_url = postgres.url(name, "pointsman_app")
        with connect(database_url) as connection:
            _, key = make(connection, "shop", Role.SERVICE, expires_at=None, now=datetime.now(UTC))
        folder = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))  # Ray's sockets want a short path
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        gcs, dashboard, agent, port = free_ports(4)
        environment = {
            **os.environ,
            **settings(folder),
            INSTANCE: instance,
            pod.STORE_URL: database_url,
            pod.CONTROL_TOKEN: "x" * 16,
            pod.MODELS: str(folder / "models"),
            pod.HOST: "card-fraud-a",
        }
        options = {
            "node-ip-address": "127.0.0.1", "port": gcs, "dashboard-host": "127.0.0.1", "dashboard-port": dashboard,
            "dashboard-agent-listen-port": agent, "min-worker-port": 0, "max-worker-port": 0, "num-cpus": 3,
            "object-store-memory": 83886080, "temp-dir": folder,
        }  # fmt: skip
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*ray, *(f"--{name}={value}" for name, value in options.items())],
                env=environment,
                stdout=log,
                stderr=log,
            )
        stack.callback(process.wait)
        stack.callback(end, instance)
        made = Pod(
            instance=instance,
            dashboard=f"http://127.0.0.1:{dashboard}",
            token=environment["RAY_AUTH_TOKEN"],
            url=f"http://127.0.0.1:{port}",
            key=key,
            database_url=database_url,
            folder=folder,
        )

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return made._dashboard("GET").status_code == 200
            except httpx2.HTTPError:
                return False

        until(answers)
        yield made


@pytest.fixture
def serving(pod_of_ray: Pod, resolved: ResolvedGraph) -> Pod:
    """The pod with the graph, at the revision that the example has."""
    pod_of_ray.hand_over(resolved)
    until(lambda: pod_of_ray.ready().get("revision") == resolved.revision, pod_of_ray.status)
    return pod_of_ray


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def revised(resolved: ResolvedGraph, number: int, folder: Path | None = None) -> ResolvedGraph:
    """Another revision; with a folder, one whose model lies there."""
    found = resolved.model_copy(update={"revision": f"sha256:{number:064x}"})
    if folder is None:
        return found
    node, model = next(iter(resolved.models.items()))
    models = {**resolved.models, node: model.model_copy(update={"folder": str(folder)})}
    return found.model_copy(update={"models": models})


class Caller(threading.Thread):
    """Asks for one decision after the other until it is told to stop."""

    def __init__(self, pod: Pod) -> None:
        super().__init__()
        self._pod, self._enough = pod, threading.Event()
        self.statuses, self.revisions = list[int](), list[str]()

    def run(self) -> None:
        while not self._enough.is_set():
            answer = self._pod.decide()
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                self.revisions.append(answer.json()["revision"])

    def __enter__(self) -> Caller:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()


def test_another_revision_is_taken_over_by_the_same_replica_while_decisions_go_on(
    serving: Pod, resolved: ResolvedGraph
) -> None:
    before, wanted = serving.replica(), revised(resolved, 2)
    with Caller(serving) as caller:
        until(lambda: len(caller.statuses) > 5)
        serving.hand_over(wanted)
        until(lambda: wanted.revision in caller.revisions, serving.status)
    assert set(caller.statuses) == {200}
    assert list(dict.fromkeys(caller.revisions)) == [resolved.revision, wanted.revision]
    assert serving.replica() == before
    assert serving.ready()["models"].keys() == resolved.models.keys()


def test_a_revision_that_cannot_be_loaded_is_refused_and_serve_knows_nothing_of_it(
    serving: Pod, resolved: ResolvedGraph
) -> None:
    before, wanted = serving.replica(), revised(resolved, 3, Path("/nowhere"))
    with Caller(serving) as caller:
        serving.hand_over(wanted)
        until(lambda: serving.ready().get("refused"), serving.ready)
        until(lambda: serving.status()["status"] == "RUNNING", serving.status)
        until(lambda: len(caller.statuses) > 5)
    ready = serving.ready()
    assert ready["refused"]["revision"] == wanted.revision
    assert 'are not in "/nowhere"' in ready["refused"]["message"]
    assert (ready["revision"], ready["ready"]) == (resolved.revision, True)
    assert set(caller.statuses) == {200}
    assert serving.replica() == before


def test_a_replica_that_is_killed_is_replaced_and_nothing_is_lost_or_doubled(
    serving: Pod, resolved: ResolvedGraph
) -> None:
    before = serving.replica()
    sent = [uuid4().hex for _ in range(40)]

    def surely(event_id: str) -> None:
        def decided() -> bool:
            try:
                return serving.decide(transaction_id=event_id).status_code == 200
            except httpx2.HTTPError:
                return False

        until(decided, serving.status)

    for number, event_id in enumerate(sent):
        if number == 20:
            assert before is not None
            psutil.Process(before).kill()
        surely(event_id)
    assert serving.replica() not in (None, before)
    with connect(serving.database_url) as connection:
        [(received, duplicates, next_seq)] = connection.execute(
            "SELECT received, duplicates, next_seq FROM graph_heads"
        ).fetchall()
        [(found,)] = connection.execute("SELECT count(*) FROM decisions WHERE event_id = ANY(%s)", (sent,)).fetchall()
        [(recorded,)] = connection.execute("SELECT count(*) FROM decisions").fetchall()
    assert found == len(sent)
    assert received - duplicates == recorded == next_seq


def test_a_graph_of_which_nothing_can_be_loaded_says_why_in_serves_status(
    serving: Pod, resolved: ResolvedGraph
) -> None:
    metadata = resolved.graph.metadata.model_copy(update={"name": "broken", "uid": str(uuid4())})
    graph = resolved.graph.model_copy(update={"metadata": metadata})
    serving.hand_over(revised(resolved.model_copy(update={"graph": graph}), 4, Path("/nowhere")))
    try:
        until(lambda: serving.status("broken").get("status") == "DEPLOY_FAILED", lambda: serving.status("broken"))
        said = orjson.dumps(serving.status("broken")).decode()
        assert "RevisionRefused" in said
        assert "are not in" in said
        assert "/nowhere" in said
    finally:
        del serving.applications["broken"]
