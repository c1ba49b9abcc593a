"""Plays KServe and the kubelets for many models: what they would write for each InferenceService, and nothing more.

An InferenceService gets its Deployment, as many Ready pods as that asks for, and a Ready status. What ends takes along what it
owned by the real garbage collector. A pod has no node, so that it ends at once. All pods answer at one address, by any name.

    with playing(cluster) as played:
        ...  # POINTSMAN_PROBE_ADDRESS is played.address
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI

from harness import workloads
from harness.api import Answered, Api
from harness.cluster import Cluster
from pointsman_operator import names
from pointsman_operator.cluster.client import Cluster as Client
from pointsman_operator.cluster.follow import Follower
from pointsman_operator.cluster.memory import Key, key_of, owner_of
from pointsman_operator.cluster.queue import WorkQueue
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, Kind, Raw

AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Played:
    """`asked` holds the names of the models that were asked for an inference; who empties it sees who is asked again."""

    address: str
    asked: set[str] = field(default_factory=set)


@contextmanager
def playing(cluster: Cluster) -> Iterator[Played]:
    """Play until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        played = Played(address=f"http://127.0.0.1:{listening.getsockname()[1]}")
        web = uvicorn.Server(uvicorn.Config(_models(played), log_config=None, access_log=False, lifespan="off"))
        serving = threading.Thread(target=web.run, args=([listening],), name="models")
        ended = threading.Event()
        acting = threading.Thread(target=lambda: asyncio.run(_play(cluster, ended)), name="played")
        serving.start()
        acting.start()
        try:
            yield played
        finally:
            ended.set()
            web.should_exit = True
            acting.join()
            serving.join()


def _models(played: Played) -> FastAPI:
    """Every model there is, over Open Inference Protocol."""
    web = FastAPI(openapi_url=None)
    tensor = {"datatype": "FP32", "shape": [1, 2]}

    @web.get("/v2/models/{name}")
    async def described(name: str) -> dict[str, Any]:
        return {"name": name, "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}

    @web.post("/v2/models/{name}/infer")
    async def inferred(name: str) -> dict[str, Any]:
        played.asked.add(name)
        return {"model_name": name, "outputs": [{"name": "y", **tensor, "data": [0.25, 0.75]}]}

    return web


async def _play(cluster: Cluster, ended: threading.Event) -> None:
    async with Client.configured(str(cluster.kubeconfig)) as client, Api(cluster.kubeconfig) as api:
        company = _Company(client, api)
        playing = asyncio.create_task(company.play())
        while not ended.is_set() and not playing.done():
            await asyncio.sleep(0.05)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=not playing.done())


class _Company:
    def __init__(self, client: Client, api: Api) -> None:
        self._api = api
        self._queue = WorkQueue[Key]()
        selectors = {"labelSelector": names.DEPLOYMENT}
        self._followers = {
            kind.name: Follower(client, kind, heard=self._heard, appeared=lambda kind: None, selectors=selectors)
            for kind in (INFERENCE_SERVICE, DEPLOYMENT, POD)
        }

    async def play(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers.values():
                tasks.create_task(follower.run())
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    def _heard(self, kind: Kind, raw: Raw, is_living: bool) -> None:
        namespace, name = key_of(raw)
        service = name if kind is INFERENCE_SERVICE else raw["metadata"]["labels"].get(SERVICE)
        if service is not None:
            self._queue.add((namespace, service))

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._act(key)
            except Answered as answered:  # not yet, or what it acts on has changed or ended
                if answered.code not in (403, 404, 409, 422):
                    raise
                self._queue.failed(key)
            else:
                self._queue.done(key)

    async def _act(self, key: Key) -> None:
        service = self._one(INFERENCE_SERVICE, key)
        if service is None or service["metadata"].get("deletionTimestamp"):
            return  # the garbage collector takes the rest
        deployment = self._one(DEPLOYMENT, (key[0], names.predictor(key[1])))
        if deployment is None or not _owns(service, deployment):
            deployment = await self._api.create(DEPLOYMENT, _deployment(service))
            self._followers[DEPLOYMENT.name].memory.put(deployment)
        for number in range(deployment["spec"]["replicas"]):
            name = f"{deployment['metadata']['name']}-{number}"
            pod = self._one(POD, (key[0], name))
            if pod is None or not _owns(deployment, pod):
                pod = await self._api.create(POD, _pod(deployment, name))
            if not pod["status"].get("conditions"):
                pod = await self._api.merge(POD, key[0], name, {"status": _READY_POD}, "/status", "kubelet")
                self._followers[POD.name].memory.put(pod)
        for pod in self._beyond(deployment):
            await self._api.delete(POD, *key_of(pod))
        if not service.get("status", {}).get("conditions"):
            await self._api.merge(INFERENCE_SERVICE, *key, {"status": _READY_SERVICE}, "/status", "kserve")

    def _one(self, kind: Kind, key: Key) -> Raw | None:
        return self._followers[kind.name].memory.get(key)

    def _beyond(self, deployment: Raw) -> list[Raw]:
        """The pods of a Deployment that are more than it asks for."""
        wanted = deployment["spec"]["replicas"]
        ours = self._followers[POD.name].memory.of(owner_of(deployment))
        pods = [pod for pod in ours if _owns(deployment, pod)]
        return [pod for pod in pods if int(pod["metadata"]["name"].rpartition("-")[2]) >= wanted]


SERVICE = "serving.kserve.io/inferenceservice"
_MOMENT = "2026-01-01T00:00:00Z"
_READY_SERVICE = {
    "conditions": [
        {"type": kind, "status": "True", "lastTransitionTime": _MOMENT} for kind in ("PredictorReady", "Ready")
    ],
    "modelStatus": {
        "transitionStatus": "UpToDate",
        "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
    },
}
_READY_POD = {
    "phase": "Running",
    "conditions": [
        {"type": kind, "status": "True", "lastTransitionTime": _MOMENT} for kind in ("ContainersReady", "Ready")
    ],
    "containerStatuses": [
        {
            "name": "main",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": "model",
            "imageID": "",
            "state": {"running": {"startedAt": _MOMENT}},
        }
    ],
}


def _deployment(service: Raw) -> dict[str, Any]:
    """As KServe makes it where somebody else scales: of one replica, its labels handed on."""
    name = service["metadata"]["name"]
    labels = {**service["metadata"]["labels"], SERVICE: name, "app": f"isvc.{name}-predictor", "component": "predictor"}
    made = workloads.deployment(names.predictor(name), service["metadata"]["namespace"])
    metadata = {**made["metadata"], "labels": labels, "ownerReferences": [_owner(service)]}
    template = {**made["spec"]["template"], "metadata": {"labels": labels}}
    return {
        **made,
        "metadata": metadata,
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": labels["app"]}}, "template": template},
    }


def _pod(deployment: Raw, name: str) -> dict[str, Any]:
    made = workloads.pod(name, deployment["metadata"]["namespace"])
    labels = deployment["metadata"]["labels"]  # its template's; the operator's memory keeps no template
    return {**made, "metadata": {**made["metadata"], "labels": labels, "ownerReferences": [_owner(deployment)]}}


def _owner(raw: Raw) -> dict[str, Any]:
    named = {"apiVersion": raw["apiVersion"], "kind": raw["kind"]}
    return {**named, "name": raw["metadata"]["name"], "uid": raw["metadata"]["uid"], "controller": True}


def _owns(owner: Raw, raw: Raw) -> bool:
    return any(each["uid"] == owner["metadata"]["uid"] for each in raw["metadata"].get("ownerReferences", ()))
