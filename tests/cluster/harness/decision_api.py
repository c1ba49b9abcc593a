"""A namespace's API and a graph's host as real servers of this machine over a real store, behind Services of the tests' cluster."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvicorn

from harness.cluster import Cluster, Object
from harness.gateway import asked
from harness.waiting import wait_for
from harness.workloads import pod
from pointsman.console.app import console_app
from pointsman.console.store import Store
from pointsman.decisions.queries import record_revision
from pointsman.governance import keys
from pointsman.governance.access import Role
from pointsman.library import load
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "fraud"
GRAPH = "card-fraud"


def key(database_url: str, role: Role) -> str:
    """The text of a fresh API key."""
    with connect(database_url) as connection:
        return keys.make(connection, role.value, role, expires_at=None, now=datetime.now(UTC))[1]


def own_key(namespace: str, text: str) -> Object:
    """The Secret with a namespace's own key, as the operator makes it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pointsman-keys", "namespace": namespace},
        "data": {"adminKey": base64.b64encode(text.encode()).decode()},
    }


@contextmanager
def decisions(cluster: Cluster, namespace: str, database_url: str, address: str, folder: Path) -> Iterator[None]:
    """The API and the example's graph, on this address of the machine, in a namespace while the block runs."""
    resolved = load(EXAMPLE).graph.resolved
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO objects (kind, name, uid, generation, document) VALUES ('DecisionGraph', %s, %s, 1, %s::jsonb)",
            (resolved.graph.name, resolved.graph_uid, orjson.dumps(resolved.graph.document()).decode()),
        )
        connection.commit()
        record_revision(connection, resolved)
    with socket.create_server((address, 0)) as free:
        port = free.getsockname()[1]
    config = HostConfig(database_url=database_url, host=address, port=port, control_token="x" * 16, resolved=resolved)
    file = folder / "host.json"
    file.write_text(config.model_dump_json(by_alias=True, exclude_none=True))
    with _api(database_url, address) as api, (folder / "host.log").open("wb") as log:
        command = [sys.executable, "-m", "pointsman_serving.embedded", "--config", str(file)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            ready = f"/v1/graphs/{GRAPH}/-/ready"
            wait_for(
                f"the graph's host is ready; its log is {log.name}",
                lambda: asked(port, ready, at=address)[0] == 200,
                seconds=60,
            )
            wait_for("the API is ready", lambda: asked(api, "/readyz", at=address)[0] == 200, seconds=60)
            _behind_a_service(cluster, "pointsman-api", namespace, address, api)
            _behind_a_service(cluster, GRAPH, namespace, address, port)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def _behind_a_service(cluster: Cluster, name: str, namespace: str, address: str, port: int) -> None:
    """A Service whose one pod is simulated and has this address: the API server leads to pods alone."""
    labels = {"app": name}
    of_name = pod(name, namespace)
    of_name["metadata"]["labels"] = labels
    ports = [{"name": "http", "port": 80, "targetPort": port, "protocol": "TCP"}]
    metadata = {"name": name, "namespace": namespace}
    cluster.apply(
        of_name,
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
    )
    cluster.kubectl("wait", f"pod/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
    status = json.dumps({"status": {"podIP": address, "podIPs": [{"ip": address}]}})
    cluster.kubectl("patch", f"pod/{name}", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)

    def addresses() -> bool:
        subsets = cluster.get("endpoints", name, namespace).get("subsets") or ()
        return [each["ip"] for subset in subsets for each in subset["addresses"]] == [address]

    wait_for(f"the Service {name} leads to {address}", addresses)


@contextmanager
def _api(database_url: str, address: str) -> Iterator[int]:
    listening = socket.create_server((address, 0))
    server = uvicorn.Server(uvicorn.Config(console_app(Store(database_url)), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
