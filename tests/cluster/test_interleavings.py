"""Whatever happens in whatever order, in the end the cluster holds what the specs ask for, once, and nothing else.

Fifty seeds at a time, each in a namespace of its own, under one operator that is killed again and again. A failure names its
seed: POINTSMAN_TEST_SEEDS=17 runs that one alone, killed at the same seconds. KServe's controller is off (it takes a quarter of a
second for each InferenceService, and there are hundreds); what it and the kubelets write, the harness writes.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness import operator as harness
from harness import yours
from harness.api import Api
from harness.audit import Audit
from harness.cluster import Cluster
from harness.equal import differences, everything
from harness.interleaving import ADDRESSED, REGISTERED, SECONDS, VERSIONS, Step, act, alias, steps
from harness.operator import Operator
from harness.played import playing
from harness.waiting import wait_for
from pointsman.models.artifact import digest_of
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import ModelUri
from pointsman_operator.seen import MODEL_DEPLOYMENT, Kind, Reference

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

SEEDS = [int(seed) for seed in os.environ.get("POINTSMAN_TEST_SEEDS", " ".join(map(str, range(50)))).split()]
NAMESPACE = Kind(name="Namespace", api_version="v1", plural="namespaces", namespaced=False)
DRAIN = timedelta(seconds=1)
SETTINGS = {
    "POINTSMAN_DRAIN_SECONDS": "1",
    "POINTSMAN_RESYNC_SECONDS": "5",
    "POINTSMAN_REGISTRY_POLL_SECONDS": "2",
}
LIVES = (3.0, 0.1, 5.0, 1.0, 4.0)
"""Seconds between an operator's readiness and its end; the last one lives on"""


class Versions:
    """The versions of the model that all seeds share, each under an alias of its own; what each alias means now."""

    def __init__(self, server: Any, folders: list[Path]) -> None:
        self._server = server
        self.digests = [digest_of(folder) for folder in folders]
        with MlflowRegistry(server.url) as registry:
            self._sources = [
                registry.resolve(ModelUri(name="shared", version=str(number + 1))).artifact_uri
                for number in range(len(folders))
            ]
        self.now = dict[int, int]()

    async def move(self, seed: int, version: int) -> None:
        self.now[seed] = version
        body = {"name": "shared", "alias": f"seed-{seed}", "version": str(version)}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{self._server.url}/api/2.0/mlflow/registered-models/alias", json=body)
            answer.raise_for_status()

    def meant(self, seed: int) -> Reference:
        number = self.now[seed] - 1
        source = "mlflow-artifacts:/" + self._sources[number].removeprefix("mlflow-artifacts:").lstrip("/")
        return Reference(uri=alias(seed), version=str(number + 1), digest=self.digests[number], source=source)


@pytest.fixture
def versions(mlflow_server: Any, make_model: Callable[..., Path], tmp_path: Path) -> Versions:
    folders = [make_model(tmp_path / f"model-{number}", bias=float(number)) for number in range(VERSIONS)]
    for folder in folders:
        mlflow_server.publish("shared", folder)
    return Versions(mlflow_server, folders)


class Mortal:
    """An operator that is killed after each of its lives and started anew, until it is to live."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self.living: Operator | None = None
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Mortal]:
        living = threading.Thread(target=self._live, name="operator")
        living.start()
        try:
            yield self
        finally:
            self._ended.set()
            living.join()

    def _live(self) -> None:
        for seconds in LIVES:
            with self._start() as operator:
                if self._ended.wait(seconds):
                    return
                operator.kill()
        with self._start() as self.living:
            self._ended.wait()


async def happen(cluster: Cluster, seed: int, script: list[Step], versions: Versions) -> None:
    """All steps of a seed, each at its second or as soon as the one before is done."""
    namespace, clock = f"seed-{seed}", asyncio.get_running_loop().time
    began = clock()
    async with Api(cluster.kubeconfig) as api:
        for step in script:
            await asyncio.sleep(max(0.0, began + step.at - clock()))
            await act(step, api, namespace, lambda version: versions.move(seed, version))


async def prepare(cluster: Cluster, versions: Versions) -> None:
    """A namespace for each seed, and where its alias points first."""
    async with Api(cluster.kubeconfig) as api:
        for seed in SEEDS:
            await api.create(NAMESPACE, {"metadata": {"name": f"seed-{seed}"}})
            await versions.move(seed, random.Random(seed).randint(1, VERSIONS))


async def all_happen(cluster: Cluster, scripts: Mapping[int, list[Step]], versions: Versions) -> None:
    async with asyncio.TaskGroup() as tasks:
        for seed, script in scripts.items():
            tasks.create_task(happen(cluster, seed, script, versions))


async def found(cluster: Cluster, versions: Versions) -> dict[int, list[str]]:
    """By seed, what is not as the specs ask."""
    async with Api(cluster.kubeconfig) as api:
        objects = await everything(api)
    told = dict[int, list[str]]()
    for seed in SEEDS:
        there = objects.get(f"seed-{seed}", {})
        means = {REGISTERED: versions.meant(seed), ADDRESSED: addressed(there)}
        if differ := differences(there, means, DRAIN):
            told[seed] = differ
    return told


def addressed(objects: Any) -> Reference:
    """What the model with an address means: what its spec says."""
    for raw in objects.get(MODEL_DEPLOYMENT.name, ()):
        if raw["metadata"]["name"] == ADDRESSED:
            uri, digest = raw["spec"]["model"]["uri"], raw["spec"]["model"]["digest"]
            return Reference(uri=uri, version=digest.removeprefix("sha256:")[:12], digest=digest, source=uri)
    return Reference(uri="")


def told(seeds: Mapping[int, list[str]], scripts: Mapping[int, list[Step]]) -> str:
    """Everything that a person needs to run a failure again."""
    lines = list[str]()
    for seed, differ in seeds.items():
        lines += [f"seed {seed} (POINTSMAN_TEST_SEEDS={seed} runs it alone):", *(f"  {each}" for each in differ)]
        lines += [f"    {step}" for step in scripts[seed]]
    return "\n".join(lines)


def test_after_any_interleaving_the_cluster_is_what_the_specs_ask_for(
    unattended: Cluster, versions: Versions, mlflow_server: Any, tmp_path: Path
) -> None:
    scripts = {seed: steps(seed) for seed in SEEDS}
    audit = Audit(unattended)
    asyncio.run(prepare(unattended, versions))
    try:
        with playing(unattended) as played:

            def start() -> Any:
                return harness.operator(
                    unattended, tmp_path, registry=mlflow_server.url, probes=played.address, environment=SETTINGS
                )

            with Mortal(start).running() as mortal:
                asyncio.run(all_happen(unattended, scripts, versions))
                operator = wait_for("an operator lives on", lambda: mortal.living, seconds=120)
                differ: dict[int, list[str]] = {}

                def is_equal() -> bool:
                    differ.clear()
                    differ.update(asyncio.run(found(unattended, versions)))
                    return not differ

                try:
                    wait_for(
                        "the cluster is what the specs ask for", is_equal, seconds=SECONDS + 2 * len(SEEDS), every=1
                    )
                except AssertionError:
                    pytest.fail(f"the cluster is not what the specs ask for:\n{told(differ, scripts)}", pytrace=False)
                quiet = audit.now()
                before = operator.reconciled()
                many = 2 * 2 * len(SEEDS)
                wait_for("all are looked at again", lambda: operator.reconciled() >= before + many, seconds=60)
                assert audit.since(quiet) == []
    finally:
        unattended.kubectl("delete", "namespace", "--wait=false", *(f"seed-{seed}" for seed in SEEDS))
