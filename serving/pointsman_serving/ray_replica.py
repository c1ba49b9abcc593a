"""The replica that serves a graph under Ray Serve: the same host and ingress as in the embedded process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray import serve

from pointsman.logs import log_as_json
from pointsman_serving.graph.app import GraphApp
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.host import GraphHost

_hosted: dict[str, GraphApp] = {}
"""The one application of this worker process, put here by the replica before Serve asks for it."""


def _hosted_app() -> GraphApp:
    return _hosted["app"]


class GraphReplica:
    """One graph's writer. Raises in its constructor what keeps the graph from being served."""

    async def __init__(self, config_path: str) -> None:  # type: ignore[misc]  # Serve awaits it
        log_as_json()
        self._host = GraphHost(HostConfig.read(Path(config_path)))
        await self._host.start()
        _hosted["app"] = GraphApp(self._host)

    def check_health(self) -> None:
        """Serve's health check: an unhealthy replica is replaced, and the new one takes the graph over."""
        state = self._host.readiness()
        if not state.ready:
            raise RuntimeError(state.message)


def application(config_path: Path, concurrent_requests: int) -> Any:
    """The Serve application of a graph."""
    deployment = serve.deployment(
        name="graph",
        num_replicas=1,
        max_ongoing_requests=concurrent_requests,
        max_queued_requests=concurrent_requests,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": _own_environment()}},
    )
    return deployment(serve.ingress(_hosted_app)(GraphReplica)).bind(str(config_path))


def _own_environment() -> dict[str, str]:
    """What must reach the worker beside what it inherits: one thread a numeric library, since the batch is the unit."""
    return {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
