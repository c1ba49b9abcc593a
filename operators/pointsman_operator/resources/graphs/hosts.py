"""What one shape of a graph becomes: who hosts it, how it alone is reached, and who may reach it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from pointsman.api.event_stream import EventStream
from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph
from pointsman_operator import names
from pointsman_operator.resources.graphs import edges, embedded, ray_service
from pointsman_operator.resources.graphs.metadata import of_graph
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.graphs.shape import shape
from pointsman_operator.resources.metadata import hashed
from pointsman_operator.seen import NETWORK_POLICY, POD_MONITOR, SERVICE, Child, Raw

PORT = 80
"""Of every Service that leads to a host"""


def host(
    owner: Raw, resolved: ResolvedGraph, platform: Platform, *, standby: bool, order: int | None = None
) -> tuple[Child, ...]:
    """Everything of the shape that `resolved` has here, in the order in which it is written; all is named `<graph>-<shape>`.

    A NetworkPolicy, a RayService or a ConfigMap and a Deployment, a Service, and a PodMonitor where that is known. Of another
    revision, standby or order only the RayService's `serveConfigV2` or the ConfigMap differs. `order` is a number that grows
    whenever another shape is to have the graph; None: the graph's generation is taken for it. There is no PodDisruptionBudget:
    the one writer is in one pod, and a budget could only forbid to move it.
    """
    name, handed = shape(resolved.graph, resolved.stream, platform), _handed(resolved, standby, order)
    monitor = (_monitor(owner, resolved, name),) if platform.installed.monitors else ()
    return (
        _policy(owner, resolved, name, platform),
        *_hosted(owner, resolved, name, platform, handed),
        _service(owner, resolved, name),
        *monitor,
    )


def _handed(resolved: ResolvedGraph, standby: bool, order: int | None) -> Raw:
    """What the host that runs is told."""
    handed = {"resolved": orjson.loads(resolved.to_json()), "standby": standby}
    return handed if order is None else {**handed, "order": order}


def _hosted(owner: Raw, resolved: ResolvedGraph, shape: str, platform: Platform, handed: Raw) -> Iterator[Child]:
    if resolved.graph.spec.runtime.type == "RayServe":
        yield ray_service.ray_service(owner, resolved, shape, platform, handed)
    else:
        yield embedded.config_map(owner, resolved, shape, handed)
        yield embedded.deployment(owner, resolved, shape, platform)


def _service(owner: Raw, resolved: ResolvedGraph, shape: str) -> Child:
    graph = resolved.graph.name
    spec = {
        "type": "ClusterIP",
        "publishNotReadyAddresses": True,
        "selector": {**names.graph_labels(graph, shape), names.PART: "host"},
        "ports": [{"name": "http", "port": PORT, "targetPort": pod.HTTP_PORT, "protocol": "TCP"}],
    }
    return hashed(of_graph(owner, SERVICE, names.host(graph, shape), shape=shape, spec=spec))


def _policy(owner: Raw, resolved: ResolvedGraph, shape: str, platform: Platform) -> Child:
    graph = resolved.graph
    allowed = edges.of_host(
        graph.name,
        shape,
        platform,
        on_ray=graph.spec.runtime.type == "RayServe",
        sources=_sources(resolved.stream),
    )
    spec = allowed.policy(names.graph_labels(graph.name, shape))
    return hashed(of_graph(owner, NETWORK_POLICY, names.host(graph.name, shape), shape=shape, spec=spec))


def _monitor(owner: Raw, resolved: ResolvedGraph, shape: str) -> Child:
    """Only a pod that is ready is read: of Ray's workers it is the one that takes decisions."""
    graph = resolved.graph.name
    endpoint = {
        "portNumber": pod.HTTP_PORT,
        "path": f"/v1/graphs/{graph}/-/metrics",
        "interval": "15s",
        "relabelings": [{"action": "keep", "sourceLabels": ["__meta_kubernetes_pod_ready"], "regex": "true"}],
    }
    spec = {
        "selector": {"matchLabels": {**names.graph_labels(graph, shape), names.PART: "host"}},
        "podTargetLabels": [names.GRAPH, names.SHAPE],
        "podMetricsEndpoints": [endpoint],
    }
    return hashed(of_graph(owner, POD_MONITOR, names.host(graph, shape), shape=shape, spec=spec))


def _sources(stream: EventStream) -> list[str]:
    """The addresses that events are read from."""
    kafka = stream.spec.source.kafka
    if kafka is None:
        return []
    return [*kafka.bootstrap_servers, *([kafka.schema_registry] if kafka.schema_registry is not None else [])]
