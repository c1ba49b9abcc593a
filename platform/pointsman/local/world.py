"""What the local world is made of: for every object, the processes that stand for it and where they listen. Pure specs.

The supervisor's parts carry them out; nothing here starts anything. What this world cannot honour stands here too, once.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import httpx2

from pointsman.api.decision_graph import DecisionGraph
from pointsman.governance.access import POLICIES
from pointsman.graphs.pod import STORE_URL
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.local.processes import ProcessSpec

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LOOPBACK = "127.0.0.1"

GRAPHS_SET_ASIDE: Mapping[str, str] = MappingProxyType(
    {
        "spec.runtime.image": "it runs from this installation",
        "spec.runtime.resources": "neither CPU nor memory is limited",
        "spec.runtime.podTemplate": "there are no pods",
        "spec.runtime.workers": "one replica decides, on as many of Ray's CPUs as the most workers",
    }
)

HOST_MODULES = {"RayServe": "pointsman_serving.ray_host", "Embedded": "pointsman_serving.embedded"}


def model_process(name: str, digest: str) -> str:
    """The name of the process that serves one revision of a deployment."""
    return f"model-{name}-{digest.removeprefix('sha256:')[:8]}"


def model_folder(home: Home, digest: str) -> Path:
    """Where the pinned files of a digest lie."""
    return home.models / digest.removeprefix("sha256:")


def model_url(ports: Ports, process: str) -> str:
    """Where a model server answers HTTP."""
    return f"http://{LOOPBACK}:{ports.of(f'{process}/http')}"


def registry_tag(name: str) -> str:
    """The tag by which the registry says what has become of a version in a deployment."""
    return f"pointsman.dev/local.{name}"


def graph_process(name: str) -> str:
    """The name of a graph's host."""
    return f"graph-{name}"


def graph_url(ports: Ports, name: str) -> str:
    """A graph's ingress."""
    return f"http://{LOOPBACK}:{ports.of(graph_process(name))}/v1/graphs/{name}"


def graph_config(home: Home, name: str) -> Path:
    """The file that a graph's host is started with."""
    return home.config / f"{graph_process(name)}.json"


def graph_shape(graph: DecisionGraph, stream_uid: str | None) -> str:
    """What a host cannot change while it runs: what hosts it, with how many workers, and whose events it takes."""
    runtime = graph.spec.runtime
    workers = (runtime.workers.max_replicas or runtime.workers.min_replicas) if runtime.type == "RayServe" else 1
    return f"{runtime.type}, workers {workers}, graph {graph.metadata.uid}, stream {stream_uid}"


def graph_spec(home: Home, ports: Ports, graph: DecisionGraph, start: str) -> ProcessSpec:
    """The host of a graph, by its runtime. Ready when a decision would be made. Another `start` is another process."""
    name = graph.name
    return ProcessSpec(
        name=graph_process(name),
        command=(
            sys.executable, "-m", HOST_MODULES[graph.spec.runtime.type], "--config", str(graph_config(home, name)),
        ),
        environment={**ONE_THREAD, "POINTSMAN_HOST_START": start},
        ready=answers(f"{graph_url(ports, name)}/-/ready"),
        stop_seconds=12,
        address=graph_url(ports, name),
    )  # fmt: skip


def dispatcher_config(home: Home) -> Path:
    """The dispatcher's settings; it reads them again when they change."""
    return home.config / "dispatcher.json"


def dispatcher_url(ports: Ports) -> str:
    """Where the dispatcher tells of itself and of the targets."""
    return f"http://{LOOPBACK}:{ports.of('dispatcher')}"


def dispatcher_spec(home: Home, ports: Ports, database_url: str) -> ProcessSpec:
    """The dispatcher of all targets. Ready once its settings are applied."""
    address = dispatcher_url(ports)
    return ProcessSpec(
        name="dispatcher",
        command=(sys.executable, "-m", "pointsman.actions.dispatcher", "--config", str(dispatcher_config(home))),
        environment={STORE_URL: database_url},
        ready=answers(f"{address}/-/ready"),
        address=address,
    )


def prometheus_config(home: Home) -> Path:
    """What a Prometheus is started with that is to read what runs here."""
    return home.config / "prometheus.yml"


API = "pointsman-api"


def api_url(ports: Ports) -> str:
    """Where the API listens, behind the gateway."""
    return f"http://{LOOPBACK}:{ports.of(API)}"


def api_spec(home: Home, ports: Ports, database_url: str) -> ProcessSpec:
    """The decision API. Ready when the store answers it."""
    return ProcessSpec(
        name=API,
        command=(sys.executable, "-m", "pointsman.console", "--host", LOOPBACK, "--port", str(ports.of(API))),
        environment={STORE_URL: database_url, POLICIES: str(home.policies)},
        ready=answers(f"{api_url(ports)}/readyz"),
        address=api_url(ports),
    )


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """A ready check: the address answers 200."""

    async def ready() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2, trust_env=False, verify=False) as client:
                return (await client.get(url)).status_code == 200
        except httpx2.HTTPError:
            return False

    return ready


def listens(url: str) -> Callable[[], Awaitable[bool]]:
    """A ready check: the address answers anything at all."""

    async def ready() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2, trust_env=False, verify=False) as client:
                await client.get(url)
        except httpx2.HTTPError:
            return False
        return True

    return ready
