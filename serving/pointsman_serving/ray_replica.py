"""The replica that serves a graph under Ray Serve: the same host and ingress as in the embedded process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from ray import serve

from pointsman.graphs import pod
from pointsman.logs import log_as_json
from pointsman_serving.graph.app import GraphApp, Receive, Scope, Send, take_part
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.host import GraphHost

CONCURRENT_REQUESTS = 1024


class GraphReplica:
    """One graph's writer. The first `reconfigure` starts it, and raises what keeps the graph from being served."""

    def __init__(self) -> None:
        log_as_json()
        self._host: GraphHost | None = None
        self._app: GraphApp | None = None
        self._starting: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Start with these settings, or take them over beside the decisions that are made.

        A running replica never raises: Serve would stop it.
        """
        if self._host is None:
            await self._start(HostConfig.of(user_config))
            return
        try:
            self._host.follow(HostConfig.of(user_config))
        except ValidationError as error:
            self._host.refuse(f"the user_config is not one of a graph's host: {error.error_count()} problems")

    async def _start(self, config: HostConfig) -> None:
        """Be ready, or say in the ready check that the store is away: to wait for it unseen would tell nobody why."""
        host = GraphHost(config)
        self._starting = asyncio.create_task(host.start())
        away = asyncio.create_task(host.store_is_away.wait())
        await asyncio.wait({self._starting, away}, return_when=asyncio.FIRST_COMPLETED)
        away.cancel()
        if self._starting.done():
            self._starting.result()
        self._host, self._app = host, GraphApp(host)

    def check_health(self) -> None:
        """Serve's health check: an unhealthy replica is replaced, and the new one takes the graph over."""
        if self._host is None or self._starting is None:
            raise RuntimeError("no user_config was given: it holds the graph")
        if self._starting.done():
            self._starting.result()
        failure = self._host.failure()
        if failure is not None:
            raise RuntimeError(failure)

    def __serve_build_asgi_app__(self) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":  # before the first settings
                await take_part(receive, send)
                return
            assert self._app is not None  # Serve sends no request before they are taken over
            await self._app(scope, receive, send)

        return app


def application(user_config: Mapping[str, Any] | None = None) -> Any:
    """The Serve application of a graph."""
    deployment = serve.deployment(
        name=pod.DEPLOYMENT,
        num_replicas=1,
        max_ongoing_requests=CONCURRENT_REQUESTS,
        max_queued_requests=CONCURRENT_REQUESTS,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=5,
        user_config=None if user_config is None else dict(user_config),
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": _own_environment()}},
    )
    return deployment(serve.ingress()(GraphReplica)).bind()


def _own_environment() -> dict[str, str]:
    """What must reach the worker beside what it inherits: Ray sets a thread for each CPU of the actor where nothing is."""
    return {name: os.environ.get(name, default) for name, default in pod.ONE_THREAD.items()}
