"""How a graph is reached: a Service that selects the shape that serves, and a route from the Gateway to it.

Traffic moves when the Service's selector moves: one write, and requests under way end where they began.
"""

from __future__ import annotations

from typing import Any

from pointsman.graphs import pod
from pointsman_operator import names
from pointsman_operator.resources.graphs.hosts import PORT
from pointsman_operator.resources.graphs.metadata import of_graph
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.metadata import hashed
from pointsman_operator.seen import HTTP_ROUTE, SERVICE, Child, Raw


def service(owner: Raw, serves: str | None) -> Child:
    """The graph's address inside the cluster. Before any shape serves it selects nothing, and the address is already there."""
    graph = str(owner["metadata"]["name"])
    spec = {
        "type": "ClusterIP",
        "selector": {**names.graph_labels(graph, serves or "none"), names.PART: "host"},
        "ports": [{"name": "http", "port": PORT, "targetPort": pod.HTTP_PORT, "protocol": "TCP"}],
    }
    return hashed(of_graph(owner, SERVICE, graph, spec=spec))


def routes(owner: Raw, platform: Platform) -> tuple[Child, ...]:
    """The graph's HTTPRoute: decisions alone, and nothing else of its host. None where nothing is routed."""
    graph = str(owner["metadata"]["name"])
    path = {"type": "Exact", "value": f"/v1/graphs/{graph}/decisions"}
    spec = route(platform, owner["metadata"]["namespace"], path, graph)
    return () if spec is None else (hashed(of_graph(owner, HTTP_ROUTE, graph, spec=spec)),)


def url(platform: Platform, graph: str, namespace: str) -> str:
    """Where the graph's decisions are asked for: at the Gateway where it has one host, else inside the cluster."""
    host = _hostname(platform, namespace) if _is_routed(platform) else ""
    return f"http://{host or f'{graph}.{namespace}.svc'}/v1/graphs/{graph}/decisions"


def route(platform: Platform, namespace: str, path: dict[str, str], service: str) -> dict[str, Any] | None:
    """The spec of a route to a Service's port 80; None where nothing is routed."""
    gateway = platform.gateway
    if gateway is None or not _is_routed(platform):
        return None
    host = _hostname(platform, namespace)
    return {
        "parentRefs": [{"namespace": gateway.namespace, "name": gateway.name}],
        **({"hostnames": [host]} if host else {}),
        "rules": [{"matches": [{"path": path}], "backendRefs": [{"name": service, "port": PORT}]}],
    }


def _is_routed(platform: Platform) -> bool:
    return platform.gateway is not None and platform.installed.gateway


def _hostname(platform: Platform, namespace: str) -> str:
    return platform.hostname.format(namespace=namespace)
