"""One pinned model as a BentoML service: BentoML joins requests, measures and traces; Open Inference Protocol is ours.

It runs in BentoML's own environment. BentoML speaks no Open Inference Protocol, so Native's application is mounted on the
service, with the same refusals; what it infers goes through the service's batchable method, by BentoML's own queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import bentoml
import numpy as np
import prometheus_client
from _bentoml_impl.server.app import ServiceAppFactory
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.server.metrics.prometheus import PrometheusClient
from bentoml.exceptions import ServiceUnavailable

from pointsman_serving.bento.rows import as_rows, joined, parted, row_type
from pointsman_serving.native.http import HttpApp, Receive, Scope, Send
from pointsman_serving.native.model import THE_CALLERS, NotReady, ServedModel
from pointsman_serving.oip.tensors import Array

REQUEST_SECONDS = 60
"""After so long a request is given up, in the queue or beyond it."""
BENTOML_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})


class BentoApp:
    """The ASGI application of a loaded model: BentoML's, for the paths that there are.

    Other paths do not reach BentoML: it counts requests by path, whatever the path is, and would offer the method by a
    protocol of its own.
    """

    def __init__(self, model: ServedModel, *, rows_joined: int) -> None:
        self._model = model
        loaded = model.loaded
        row = row_type(loaded.artifact.inputs, loaded.artifact.outputs)
        self._row = row if loaded.probe.batch_invariant and rows_joined > 1 else None
        self._oip = HttpApp(model, name="pointsman-bentoml", infer=self._infer)
        self._factory = _factory(model, self._oip, rows_joined)
        self._bentoml = self._factory()
        path = f"/v2/models/{model.name}"
        of_model = (
            f"{each}{rest}" for each in (path, f"{path}/versions/{model.version}") for rest in ("", "/ready", "/infer")
        )
        self._paths = BENTOML_PATHS | {"/v2", "/v2/health/live", "/v2/health/ready", *of_model}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and end."""
        known = scope["type"] == "lifespan" or scope["path"] in self._paths
        await (self._bentoml if known else self._oip)(scope, receive, send)

    @property
    def joins(self) -> bool:
        """Whether requests are joined: where each row's answer is the same to the bit whatever it is joined with."""
        return self._row is not None

    async def _infer(self, inputs: Mapping[str, Array], outputs: tuple[str, ...] | None) -> Mapping[str, Array]:
        self._model.take(inputs, outputs)
        rows = None if self._row is None else as_rows(inputs, self._row)
        if rows is None:  # nothing to join, or a mistake, which is said here
            return await asyncio.to_thread(self._model.infer, inputs, outputs)
        try:
            answers = parted(await self._factory.batch_infer("infer", (rows,), {}))
        except THE_CALLERS:  # maybe of another's values: each is told its own
            return await asyncio.to_thread(self._model.infer, inputs, outputs)
        except ServiceUnavailable as error:
            raise NotReady("the queue is too long; ask again") from error
        return answers if outputs is None else {name: answers[name] for name in outputs}


def _factory(model: ServedModel, oip: HttpApp, rows_joined: int) -> Any:
    """What `Service.to_asgi` makes, kept: its queue is asked from inside, where BentoML itself would go through JSON."""

    class Scorer:
        @bentoml.api(batchable=True, max_batch_size=max(rows_joined, 2), max_latency_ms=REQUEST_SECONDS * 1000)  # type: ignore[untyped-decorator]
        def infer(self, rows: np.ndarray) -> np.ndarray:  # BentoML reads the types
            return joined(model.infer(parted(rows), None))

        def __is_ready__(self) -> bool:
            return model.ready

    quiet = {"access": {"enabled": False}}
    service = bentoml.service(name=model.name, workers=1, traffic={"timeout": REQUEST_SECONDS}, logging=quiet)(Scorer)
    service.mount_asgi_app(oip)
    BentoMLContainer.metrics_client.set(PrometheusClient(multiproc=False))
    prometheus_client.REGISTRY.register(model.registry)
    bentoml.server_context.service_name = bentoml.server_context.bento_name = model.name
    bentoml.server_context.bento_version = model.version
    service.inject_config()
    return ServiceAppFactory(service, is_main=True)
