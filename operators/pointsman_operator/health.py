"""Prometheus metrics, and whether the operator lives and is ready, over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


def app(*, is_ready: Callable[[], bool]) -> FastAPI:
    """`/metrics`, `/healthz` (the process answers) and `/readyz` (the cluster is remembered)."""
    api = FastAPI(openapi_url=None)

    @api.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @api.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @api.get("/readyz")
    async def readyz() -> Response:
        ready = is_ready()
        return Response("ok\n" if ready else "not yet\n", status_code=200 if ready else 503, media_type="text/plain")

    return api
