"""Plays what a graph's operator asks over HTTP where pods are simulated: hosts, the dispatcher, and every model there is.

with neighbours() as played:
    ...  # POINTSMAN_GRAPH_ADDRESS is played.graphs, POINTSMAN_PROBE_ADDRESS is played.models
    played.decides(namespace, "card-fraud-12345678", revision)
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

DISPATCHER = "pointsman-dispatcher"
Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """`said` is what each answers, by namespace and Service; who is not in it does not answer."""

    address: str
    said: dict[tuple[str, str], Answer] = field(default_factory=dict)

    @property
    def graphs(self) -> str:
        return f"{self.address}/{{namespace}}/{{service}}"

    @property
    def models(self) -> str:
        return self.address

    def decides(self, namespace: str, host: str, revision: str, **more: Any) -> None:
        """A host decides with a revision."""
        body = {"ready": True, "revision": revision, "reason": "HostServing", "message": "", "standby": False}
        self.said[namespace, host] = (200, {**body, "probed": True, "refused": None, "models": {}, **more})

    def refuses(self, namespace: str, host: str, reason: str, message: str) -> None:
        """A host does not decide."""
        body = {"ready": False, "revision": "", "reason": reason, "message": message, "standby": False}
        self.said[namespace, host] = (503, {**body, "probed": False, "refused": None, "models": {}})

    def reports(self, namespace: str, **targets: dict[str, Any]) -> None:
        """The dispatcher tells of its targets."""
        nothing = {"answers": True, "cause": "", "missingSecrets": [], "budgetLeft": None, "held": None}
        told = {name: {**nothing, **each} for name, each in targets.items()}
        self.said[namespace, DISPATCHER] = (200, {"targets": told})


@contextmanager
def neighbours() -> Iterator[Neighbours]:
    """Play until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        played = Neighbours(address=f"http://127.0.0.1:{listening.getsockname()[1]}")
        web = uvicorn.Server(uvicorn.Config(_web(played), log_config=None, access_log=False, lifespan="off"))
        serving = threading.Thread(target=web.run, args=([listening],), name="neighbours")
        serving.start()
        try:
            yield played
        finally:
            web.should_exit = True
            serving.join()


def _web(played: Neighbours) -> FastAPI:
    web = FastAPI(openapi_url=None)
    tensor = {"datatype": "FP32", "shape": [1, 2]}

    @web.get("/v2/models/{name}")
    async def described(name: str) -> dict[str, Any]:
        return {"name": name, "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}

    @web.post("/v2/models/{name}/infer")
    async def inferred(name: str) -> dict[str, Any]:
        return {"model_name": name, "outputs": [{"name": "y", **tensor, "data": [0.25, 0.75]}]}

    @web.get("/{namespace}/{service}/{path:path}")
    async def asked(namespace: str, service: str, path: str) -> Response:
        status, body = played.said.get((namespace, service), (0, {}))
        return JSONResponse(body, status) if status else Response("nobody\n", 404)

    return web
