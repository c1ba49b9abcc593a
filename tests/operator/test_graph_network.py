"""Who reaches whom: the rendered NetworkPolicies, judged as Kubernetes judges them, let through exactly what stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import fraud
from pointsman.api.action_target import ActionTarget
from pointsman.api.event_stream import EventStream
from pointsman_operator import names, network_page
from pointsman_operator.resources.graphs import edges, hosts, namespace
from pointsman_operator.resources.graphs.namespace import Namespace
from pointsman_operator.resources.graphs.platform import Gateway, Platform
from pointsman_operator.resources.graphs.shape import shape
from pointsman_operator.seen import Installed, Raw

PLATFORM = Platform(
    gateway=Gateway(namespace="gateways", name="public", pods="gateway-pods"),
    installed=Installed(gateway=True, monitors=True),
)
PORTS = (53, 443, 5000, 5432, 6379, 8000, 8080, 8081, 8265, 9000, 9093, 10001, 10050, 30010)
KAFKA = {"type": "Kafka", "kafka": {"bootstrapServers": ["kafka.example.com:9093"], "topic": "transactions"}}


@dataclass(frozen=True, kw_only=True)
class Pod:
    """Something with an address; without a namespace it lies outside the cluster."""

    namespace: str | None = "risk"
    labels: Mapping[str, str] = field(default_factory=dict)


def part(of: str, **labels: str) -> Pod:
    return Pod(labels={**names.part_labels(of), **labels})  # type: ignore[arg-type]  # the parts there are


GRAPH = fraud.graph("risk")
[STREAM] = fraud.of_kind(EventStream, "risk")
ON_KAFKA = EventStream.model_validate({**STREAM.document(), "spec": {**STREAM.document()["spec"], "source": KAFKA}})
SHAPE = {names.GRAPH: "card-fraud", names.SHAPE: shape(GRAPH, ON_KAFKA, PLATFORM)}
PODS = {
    "head": part("head", **SHAPE),
    "host": part("host", **SHAPE),
    "another shape": part("host", **{**SHAPE, names.SHAPE: "none"}),
    "api": part("api"),
    "dispatcher": part("dispatcher"),
    "migrate": part("migrate"),
    "model": Pod(labels=names.labels("fraud-scorer", "r1")),
    "accounts": Pod(labels={"app": "accounts"}),
    "operator": Pod(namespace="pointsman-system", labels=edges.OPERATOR),
    "registry": Pod(namespace="pointsman-system", labels={"app": "mlflow"}),
    "kuberay": Pod(namespace="ray", labels=edges.KUBERAY),
    "prometheus": Pod(namespace="monitoring", labels=edges.PROMETHEUS),
    "gateway": Pod(namespace="gateway-pods"),
    "stranger": Pod(namespace="elsewhere"),
    "internet": Pod(namespace=None),
}
RAYS = {6379, 8000, 8080, 8265, 10001, 10050, 30010}
INTO = {
    ("head", "host"): RAYS,
    ("host", "head"): RAYS,
    ("another shape", "host"): {8000},
    ("api", "host"): {8000},
    ("accounts", "host"): {8000},
    ("model", "host"): {8000},
    ("gateway", "host"): {8000},
    ("operator", "host"): {8000},
    ("prometheus", "host"): {8000},
    ("kuberay", "host"): {8265},
    ("dispatcher", "host"): {8000},  # a target of this namespace is a Service, and hosts are open to their neighbours
    ("stranger", "host"): set[int](),
    ("internet", "host"): set[int](),
    ("kuberay", "head"): {8265},
    ("stranger", "head"): set[int](),
    ("accounts", "api"): {8080},
    ("gateway", "api"): {8080},
    ("internet", "api"): {8080},
    ("stranger", "api"): {8080},
    ("operator", "dispatcher"): {8081},
    ("prometheus", "dispatcher"): {8081},
    ("accounts", "dispatcher"): set[int](),
    ("gateway", "dispatcher"): set[int](),
    ("stranger", "dispatcher"): set[int](),
    ("operator", "migrate"): set[int](),
    ("accounts", "migrate"): set[int](),
}
ANYWHERE = {53, 5432}
OUT_OF = {
    ("host", "model"): set(PORTS),
    ("host", "registry"): set(PORTS),
    ("host", "internet"): {*ANYWHERE, 9093},
    ("host", "accounts"): {*ANYWHERE, 9093},
    ("host", "stranger"): {*ANYWHERE, 9093},
    ("api", "accounts"): ANYWHERE,
    ("api", "internet"): ANYWHERE,
    ("dispatcher", "accounts"): set(PORTS),
    ("dispatcher", "internet"): {*ANYWHERE, 443},
    ("dispatcher", "stranger"): {*ANYWHERE, 443},
    ("migrate", "internet"): ANYWHERE,
    ("migrate", "accounts"): ANYWHERE,
}


def policies() -> list[Raw]:
    targets = [*fraud.of_kind(ActionTarget, "risk"), at("https://core.example.com")]
    resolved = fraud.resolved(GRAPH, stream=ON_KAFKA)
    children = [
        *hosts.host(GRAPH.document(), resolved, PLATFORM, standby=False),
        *namespace.namespace_children(Namespace(name="risk", owners=[], targets=targets), PLATFORM),
    ]
    return [child.document for child in children if child.kind.name == "NetworkPolicy"]


def at(url: str) -> ActionTarget:
    [target] = fraud.of_kind(ActionTarget, "risk")
    spec = {key: value for key, value in target.document()["spec"].items() if key != "serviceRef"}
    return ActionTarget.model_validate(
        {**target.document(), "metadata": {"name": "core"}, "spec": {**spec, "url": url}}
    )


def reached(source: str, target: str) -> set[int]:
    """The TCP ports of `target` that `source` reaches, by all policies that select either."""
    out = allowed(PODS[source], "Egress", PODS[target])
    return {port for port in PORTS if port in out and port in allowed(PODS[target], "Ingress", PODS[source])}


def allowed(pod: Pod, direction: str, peer: Pod) -> set[int]:
    """What the policies of a pod let through in one direction: everything where none selects it."""
    side, way = ("from", "ingress") if direction == "Ingress" else ("to", "egress")
    mine = [
        each["spec"]
        for each in policies()
        if each["metadata"]["namespace"] == pod.namespace
        and selects(each["spec"]["podSelector"], pod.labels)
        and direction in each["spec"]["policyTypes"]
    ]
    if not mine:
        return set(PORTS)
    rules = (
        rule for spec in mine for rule in spec[way] if side not in rule or any(is_peer(one, peer) for one in rule[side])
    )
    return {
        port
        for rule in rules
        for port in PORTS
        if "ports" not in rule or any(covers(one, port) for one in rule["ports"])
    }


def is_peer(selector: Raw, pod: Pod) -> bool:
    if pod.namespace is None:
        return False
    spaces = selector.get("namespaceSelector")
    in_space = (
        pod.namespace == "risk" if spaces is None else selects(spaces, {"kubernetes.io/metadata.name": pod.namespace})
    )
    return in_space and selects(selector.get("podSelector", {}), pod.labels)


def selects(selector: Raw, labels: Mapping[str, str]) -> bool:
    if any(each["operator"] != "Exists" or each["key"] not in labels for each in selector.get("matchExpressions", ())):
        return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def covers(rule: Raw, port: int) -> bool:
    return rule["protocol"] == "TCP" and rule["port"] <= port <= rule.get("endPort", rule["port"])


@pytest.mark.parametrize(("source", "target"), [*INTO, *OUT_OF])
def test_what_is_documented_is_let_through_and_nothing_else(source: str, target: str) -> None:
    assert reached(source, target) == {**INTO, **OUT_OF}[source, target]


def test_every_pod_of_ours_is_closed_in_both_directions() -> None:
    for name in ("head", "host", "api", "dispatcher", "migrate"):
        nobody = Pod(namespace="elsewhere")
        assert allowed(PODS[name], "Ingress", nobody) == ({8080} if name == "api" else set()), name
        assert not allowed(PODS[name], "Egress", nobody) & {8265, 10001, 6379}, name


@pytest.mark.parametrize(
    ("address", "words", "ports"),
    [
        ("http://mlflow.pointsman-system.svc:5000", "pods of the namespace pointsman-system", [None]),
        (
            "http://mlflow.pointsman-system.svc.cluster.local:5000/base",
            "pods of the namespace pointsman-system",
            [None],
        ),
        ("http://mlflow:5000", "pods of the namespace", [None]),
        ("https://core.example.com/api", "anybody", [443]),
        ("http://core.example.com", "anybody", [80]),
        ("https://core.example.com:8443", "anybody", [8443]),
        ("kafka.example.com:9093", "anybody", [9093]),
        ("10.0.0.7:9092", "anybody", [9092]),
        ("[2001:db8::1]:9092", "anybody", [9092]),
    ],
)
def test_a_service_is_reached_in_its_namespace_and_all_else_at_its_port(
    address: str, words: str, ports: list[int | None]
) -> None:
    edge = edges.reach(address, "why")

    assert (edge.words, [each.start for each in edge.ports]) == (words, ports)


def test_the_page_is_what_the_edges_make() -> None:
    assert (Path(__file__).parents[2] / network_page.PAGE).read_text() == network_page.page()
