"""What the local world is made of: for every object, the processes that stand for it and where they listen. Pure specs.

The supervisor carries them out. Nothing here starts anything; files for children are written by `write_private`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson

from pointsman.api.action_target import ActionTarget
from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Pinned
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.local.companions import LocalProcess, LocalService
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.local.processes import ProcessSpec
from pointsman.local.secrets import SecretStore

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LOOPBACK = "127.0.0.1"


def model_process(name: str, digest: str) -> str:
    """The name of the process that serves one revision of a deployment."""
    return f"model-{name}-{digest.removeprefix('sha256:')[:8]}"


def model_url(ports: Ports, process: str) -> str:
    """Where a model server answers HTTP."""
    return f"http://{LOOPBACK}:{ports.of(f'{process}/http')}"


def model_spec(home: Home, ports: Ports, deployment: ModelDeployment, pinned: Pinned) -> ProcessSpec:
    """A native server of one pinned revision. Ready when the model has answered its example."""
    process = model_process(deployment.name, pinned.digest)
    url = model_url(ports, process)
    return ProcessSpec(
        name=process,
        command=(
            sys.executable, "-m", "pointsman_serving.native",
            "--model-dir", str(home.models / pinned.digest.removeprefix("sha256:")),
            "--digest", pinned.digest,
            "--name", deployment.name,
            "--version", pinned.version,
            "--http-port", str(ports.of(f"{process}/http")),
            "--grpc-port", str(ports.of(f"{process}/grpc")),
        ),
        environment=ONE_THREAD,
        ready=answers(f"{url}/v2/models/{deployment.name}/ready"),
        address=f"{url} (gRPC {LOOPBACK}:{ports.of(f'{process}/grpc')})",
    )  # fmt: skip


def graph_process(name: str) -> str:
    """The name of a graph's host."""
    return f"graph-{name}"


def graph_url(ports: Ports, name: str) -> str:
    """A graph's ingress."""
    return f"http://{LOOPBACK}:{ports.of(graph_process(name))}/v1/graphs/{name}"


def graph_config(home: Home, name: str) -> Path:
    """The file that a graph's host is started with."""
    return home.config / f"{graph_process(name)}.json"


def graph_spec(home: Home, ports: Ports, resolved: ResolvedGraph) -> ProcessSpec:
    """The host of a graph, by its runtime. Ready when a decision would be made."""
    name = resolved.graph.name
    module = {"RayServe": "pointsman_serving.ray_host", "Embedded": "pointsman_serving.embedded"}
    return ProcessSpec(
        name=graph_process(name),
        command=(
            sys.executable, "-m", module[resolved.graph.spec.runtime.type], "--config", str(graph_config(home, name)),
        ),
        environment=ONE_THREAD,
        ready=answers(f"{graph_url(ports, name)}/-/ready"),
        stop_seconds=12,
        address=graph_url(ports, name),
    )  # fmt: skip


def dispatcher_spec(home: Home) -> ProcessSpec:
    """The dispatcher of all targets."""
    return ProcessSpec(
        name="dispatcher",
        command=(
            sys.executable, "-m", "pointsman.actions.dispatcher", "--config", str(home.config / "dispatcher.json"),
        ),
    )  # fmt: skip


def companion_spec(home: Home, ports: Ports, secrets: SecretStore, process: LocalProcess) -> ProcessSpec | None:
    """A Deployment's process with its secrets; None while a secret is missing or it is scaled to nothing."""
    if not process.running:
        return None
    environment = dict(process.environment)
    for variable, (secret, key) in process.secrets.items():
        value = secrets.get(secret, key)
        if value is None:
            return None
        environment[variable] = value
    numbers = set(process.ports.values())
    address = None
    for number in numbers:
        port = ports.of(f"{process.name}/{number}")
        address = f"http://{LOOPBACK}:{port}"
        for variable, value in environment.items():
            if variable.endswith("PORT") and value == str(number):
                environment[variable] = str(port)
    folder = home.data / process.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = list(process.command)
    if command[0] in ("python", "python3"):
        command[0] = sys.executable
    return ProcessSpec(
        name=process.name,
        command=tuple(command),
        environment=environment,
        folder=folder,
        ready=listens(address) if address else None,
        address=address,
    )


def service_url(
    ports: Ports, services: Mapping[str, LocalService], processes: Mapping[str, LocalProcess], name: str, port: int
) -> str | None:
    """The address that a Service's port leads to, or None where it finds no process."""
    service = services.get(name)
    if service is None or port not in service.ports:
        return None
    for process in processes.values():
        selected = service.selector.items() <= process.labels.items() and service.selector
        number = process.ports.get(service.ports[port])
        if selected and number is not None:
            return f"http://{LOOPBACK}:{ports.of(f'{process.name}/{number}')}"
    return None


def secret_keys(target: ActionTarget) -> list[tuple[str, str]]:
    """Every (secret, key) that a target's authentication needs."""
    found = list[tuple[str, str]]()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            reference = value.get("secretKeyRef")
            if isinstance(reference, dict):
                found.append((reference["name"], reference["key"]))
            for each in value.values():
                walk(each)

    if target.spec.auth is not None:
        walk(target.spec.auth.model_dump(mode="json", by_alias=True, exclude_none=True))
    return found


def write_private(path: Path, value: Any) -> bool:
    """Write JSON for a child, for its owner alone; False where the file says the same already."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if path.exists() and path.read_bytes() == body:
        return False
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(body)
    fresh.replace(path)
    return True


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
