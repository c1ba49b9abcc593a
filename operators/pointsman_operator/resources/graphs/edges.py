"""Who reaches whom: the edges that NetworkPolicies let through, and no others. `docs/network.md` is made of them.

A policy selects pods by label, so an edge that should lead to one Service leads to every pod behind it. What lies outside the
cluster, or is known by a secret alone, has no labels: it is named by its port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pointsman.graphs import pod
from pointsman_operator import names
from pointsman_operator.resources.graphs.platform import Platform

API_PORT, DISPATCHER_PORT = 8080, 8081
Selector = Mapping[str, Any]
ANYBODY: tuple[Selector, ...] = ()
NEIGHBOURS: tuple[Selector, ...] = ({"podSelector": {}},)
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
KUBERAY = {"app.kubernetes.io/component": "kuberay-operator"}
OPERATOR = {"app.kubernetes.io/name": "pointsman-operator"}


@dataclass(frozen=True, kw_only=True)
class Ports:
    """One port, or a range up to `end`. None: every port."""

    start: int | None = None
    end: int | None = None
    protocol: str = "TCP"


EVERY = Ports()


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One way that is open. `peers` are whom it leads to or comes from (none: anybody), in `words` for people."""

    words: str
    peers: Sequence[Selector]
    ports: Sequence[Ports]
    why: str


@dataclass(frozen=True, kw_only=True)
class Edges:
    """All ways into some pods, and out of them."""

    incoming: tuple[Edge, ...]
    outgoing: tuple[Edge, ...]

    def policy(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The spec of the NetworkPolicy: what is not an edge is closed, in both directions."""
        return {
            "podSelector": {"matchLabels": dict(labels)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [_rule("from", edge) for edge in self.incoming],
            "egress": [_rule("to", edge) for edge in self.outgoing],
        }


DNS = Edge(
    words="anybody",
    peers=ANYBODY,
    ports=(Ports(start=53, protocol="UDP"), Ports(start=53)),
    why="names are resolved",
)


def of_host(graph: str, shape: str, platform: Platform, *, on_ray: bool, sources: Iterable[str] = ()) -> Edges:
    """Of the pods of one shape of a graph, Ray's head among them. `sources` are the addresses that events are read from."""
    incoming = _asked(platform)
    outgoing = [
        DNS,
        _store(platform),
        reach(platform.registry_url, "models are fetched"),
        Edge(
            words="pods of ModelDeployments, in the namespace",
            peers=({"podSelector": {"matchExpressions": [{"key": names.DEPLOYMENT, "operator": "Exists"}]}},),
            ports=(EVERY,),
            why="remote models are asked",
        ),
        *(reach(address, "events are read") for address in sources),
    ]
    if on_ray:
        cluster = Edge(
            words="pods of the same shape",
            peers=({"podSelector": {"matchLabels": names.graph_labels(graph, shape)}},),
            ports=_between_ray_nodes(),
            why="Ray's own traffic",
        )
        dashboard = Edge(
            words="KubeRay's operator, in any namespace",
            peers=({"namespaceSelector": {}, "podSelector": {"matchLabels": KUBERAY}},),
            ports=(Ports(start=pod.RAY_HEAD_PORTS["dashboard"]),),
            why="what Serve is to run, and how it is",
        )
        incoming += [cluster, dashboard]
        outgoing.append(cluster)
        if platform.redis is not None:
            outgoing.append(reach(platform.redis.address, "Ray's head remembers"))
    return Edges(incoming=tuple(incoming), outgoing=_each_once(outgoing))


def of_api(platform: Platform) -> Edges:
    """Of the API's pods. The API server leads people to it (`kubectl pointsman`), and is no pod in most clusters."""
    asked = Edge(
        words="anybody",
        peers=ANYBODY,
        ports=(Ports(start=API_PORT),),
        why="decisions, reviews and approvals: every request needs a key",
    )
    hosts = Edge(
        words="hosts of graphs, in the namespace",
        peers=({"podSelector": {"matchLabels": names.part_labels("host")}},),
        ports=(Ports(start=pod.HTTP_PORT),),
        why="hosts are asked how they are",
    )
    return Edges(incoming=(asked,), outgoing=(DNS, _store(platform), hosts))


def of_dispatcher(platform: Platform, addresses: Iterable[str]) -> Edges:
    """Of the dispatcher's pods. `addresses` are all that its targets name: their own, and of those that give out tokens."""
    outgoing = [DNS, _store(platform), *(reach(address, "actions are taken") for address in addresses)]
    incoming = [_operator(platform, DISPATCHER_PORT), *_measured(platform, DISPATCHER_PORT)]
    return Edges(incoming=tuple(incoming), outgoing=_each_once(outgoing))


def of_migration(platform: Platform) -> Edges:
    """Of the pods that migrate the store: nobody asks them anything."""
    return Edges(incoming=(), outgoing=(DNS, _store(platform)))


def reach(address: str, why: str) -> Edge:
    """The way to an address: a URL, or `host:port`.

    A Service is reached in its namespace, at every port: what stands behind it may listen at another. Everything else is
    reached at its port, wherever it is.
    """
    place = urlsplit(address if "//" in address else f"//{address}")
    host = place.hostname or ""
    labels = host.removesuffix(".").split(".")
    if len(labels) == 1 and ":" not in host:
        return Edge(words="pods of the namespace", peers=NEIGHBOURS, ports=(EVERY,), why=why)
    if len(labels) > 2 and labels[2] == "svc":
        return Edge(words=f"pods of the namespace {labels[1]}", peers=(_namespace(labels[1]),), ports=(EVERY,), why=why)
    port = place.port or {"http": 80}.get(place.scheme, 443)
    return Edge(words="anybody", peers=ANYBODY, ports=(Ports(start=port),), why=why)


def _asked(platform: Platform) -> list[Edge]:
    """Who may ask a host: it is a key that lets in, not where one comes from."""
    ports, why = (Ports(start=pod.HTTP_PORT),), "events are decided"
    found = [Edge(words="pods of the namespace", peers=NEIGHBOURS, ports=ports, why=why)]
    if platform.gateway is not None:
        namespace = platform.gateway.pods or platform.gateway.namespace
        words = f"the Gateway, in the namespace {namespace}"
        found.append(Edge(words=words, peers=(_namespace(namespace),), ports=ports, why=why))
    return [*found, _operator(platform, pod.HTTP_PORT), *_measured(platform, pod.HTTP_PORT)]


def _operator(platform: Platform, port: int) -> Edge:
    return Edge(
        words=f"the operator, in the namespace {platform.namespace}",
        peers=({**_namespace(platform.namespace), "podSelector": {"matchLabels": OPERATOR}},),
        ports=(Ports(start=port),),
        why="how it is",
    )


def _measured(platform: Platform, port: int) -> Iterable[Edge]:
    if platform.installed.monitors:
        yield Edge(
            words="Prometheus, in any namespace",
            peers=({"namespaceSelector": {}, "podSelector": {"matchLabels": PROMETHEUS}},),
            ports=(Ports(start=port),),
            why="metrics",
        )


def _store(platform: Platform) -> Edge:
    ports = tuple(Ports(start=port) for port in sorted(platform.store_ports))
    return Edge(words="anybody", peers=ANYBODY, ports=ports, why="the store, whose address is a secret")


def _between_ray_nodes() -> tuple[Ports, ...]:
    single = {name: port for name, port in pod.RAY_NODE_PORTS.items() if not name.endswith("worker-port")}
    proxies = (pod.HTTP_PORT, pod.FALLBACK_PORT)
    first, last = (pod.RAY_NODE_PORTS[f"{end}-worker-port"] for end in ("min", "max"))
    return (
        *(Ports(start=port) for port in sorted({*pod.RAY_HEAD_PORTS.values(), *single.values(), *proxies})),
        Ports(start=first, end=last),
        Ports(start=pod.REPLICA_PORTS[0], end=pod.REPLICA_PORTS[1]),
    )


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _each_once(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    found = list[Edge]()
    for edge in edges:
        if edge not in found:
            found.append(edge)
    return tuple(found)


def _rule(side: str, edge: Edge) -> dict[str, Any]:
    rule: dict[str, Any] = {side: [dict(peer) for peer in edge.peers]} if edge.peers else {}
    if EVERY not in edge.ports:
        rule["ports"] = [_port(each) for each in edge.ports]
    return rule


def _port(ports: Ports) -> dict[str, Any]:
    found: dict[str, Any] = {"protocol": ports.protocol, "port": ports.start}
    return found if ports.end is None else {**found, "endPort": ports.end}
