"""How a model is reached: a Service that selects the revision that serves, and routes from a Gateway to that Service.

Traffic moves when the Service's selector moves: one write, and requests under way end where they began.
"""

from __future__ import annotations

from typing import Any

from pointsman.api.model_deployment import ModelDeploymentSpec, Route
from pointsman.deployments.plan import Pinned
from pointsman_operator import names
from pointsman_operator.resources.inference_service import ports
from pointsman_operator.resources.metadata import child, hashed
from pointsman_operator.seen import GRPC_ROUTE, HTTP_ROUTE, SERVICE, Child, Raw

HTTP_PORT, GRPC_PORT = 80, 9000
"""The Service's ports"""
GRPC_HOST = "grpc."
"""In front of a route's hostname: a Gateway takes HTTP and gRPC routes of one hostname for a conflict"""


def service(owner: Raw, spec: ModelDeploymentSpec, serve: Pinned | None) -> Child:
    """The model's address inside the cluster. Before anything serves it selects nothing, and the address is already there."""
    name = str(owner["metadata"]["name"])
    http, grpc = ports(spec)
    revision = serve.revision if serve is not None else "none"
    offered: list[dict[str, Any]] = [{"name": "http", "port": HTTP_PORT, "targetPort": http, "protocol": "TCP"}]
    if grpc is not None:
        over_grpc = {"name": "grpc", "port": GRPC_PORT, "targetPort": grpc, "protocol": "TCP"}
        offered.append({**over_grpc, "appProtocol": "kubernetes.io/h2c"})
    selector = {**names.labels(name, revision), "component": "predictor"}
    return hashed(child(owner, SERVICE, name, spec={"type": "ClusterIP", "selector": selector, "ports": offered}))


def routes(owner: Raw, spec: ModelDeploymentSpec) -> list[Child]:
    """The routes that were asked for: HTTP's, and gRPC's for every hostname that is whole."""
    if spec.route is None:
        return []
    found = [_http(owner, spec.route)]
    hosts = [host for host in spec.route.hostnames if not host.startswith("*.")]
    if hosts and ports(spec)[1] is not None:
        found.append(_grpc(owner, spec.route, hosts))
    return found


def _http(owner: Raw, route: Route) -> Child:
    name = owner["metadata"]["name"]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}],
        "backendRefs": [{"name": name, "port": HTTP_PORT}],
    }
    hosts = {"hostnames": list(route.hostnames)} if route.hostnames else {}
    return hashed(child(owner, HTTP_ROUTE, name, spec={"parentRefs": _parents(route), **hosts, "rules": [rule]}))


def _grpc(owner: Raw, route: Route, hosts: list[str]) -> Child:
    name = owner["metadata"]["name"]
    rule = {
        "matches": [{"method": {"type": "Exact", "service": "inference.GRPCInferenceService"}}],
        "backendRefs": [{"name": name, "port": GRPC_PORT}],
    }
    hostnames = [GRPC_HOST + host for host in hosts]
    return hashed(
        child(owner, GRPC_ROUTE, name, spec={"parentRefs": _parents(route), "hostnames": hostnames, "rules": [rule]})
    )


def _parents(route: Route) -> list[dict[str, Any]]:
    return [parent.model_dump(mode="json", exclude_none=True) for parent in route.parent_refs]
