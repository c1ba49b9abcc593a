"""What a DecisionGraph becomes: taken by the API server, admitted at the restricted level, made into pods by KubeRay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness import fraud, operator
from harness.cluster import Cluster, KubectlFailed
from harness.waiting import wait_for
from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman_operator.differences import is_part
from pointsman_operator.resources.graphs import hosts, traffic
from pointsman_operator.resources.graphs.namespace import Namespace, namespace_children
from pointsman_operator.resources.graphs.platform import Gateway, Platform, Redis
from pointsman_operator.seen import ACTION_TARGET, DECISION_GRAPH, Child, Installed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PLATFORM = Platform(
    gateway=Gateway(namespace="gateways", name="public"),
    hostname="{namespace}.decisions.example.com",
    pull_secrets=("theirs",),
    installed=Installed(gateway=True),
)
RUNTIMES: Mapping[str, dict[str, Any]] = {
    "RayServe": fraud.written()["spec"]["runtime"],
    "Embedded": {
        "type": "Embedded",
        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "2048Mi"}},
        "podTemplate": {
            "metadata": {"labels": {"team": "risk"}},
            "spec": {"tolerations": [{"key": "decisions", "operator": "Exists"}]},
        },
    },
}
KAFKA = {
    "type": "Kafka",
    "kafka": {
        "bootstrapServers": ["kafka.example.com:9093"],
        "topic": "transactions",
        "sasl": {"username": "risk", "password": {"secretKeyRef": {"name": "kafka", "key": "password"}}},
    },
}


@pytest.fixture(scope="module")
def cluster(simulated: Cluster) -> Cluster:
    operator.installed(simulated)
    return simulated


def applied(cluster: Cluster, namespace: str, runtime: Mapping[str, Any]) -> DecisionGraph:
    """The example's graph, as the API server has it."""
    document = fraud.written()
    document["metadata"]["namespace"] = namespace
    document["spec"]["runtime"] = dict(runtime)
    cluster.apply(document)
    found = cluster.get("decisiongraph", document["metadata"]["name"], namespace)
    return fraud.graph(namespace, uid=found["metadata"]["uid"], runtime=runtime)


def rendered(graph: DecisionGraph, platform: Platform = PLATFORM) -> tuple[Child, ...]:
    """All of one graph that reads its events from Kafka."""
    owner = graph.document()
    [stream] = fraud.of_kind(EventStream, str(graph.metadata.namespace))
    document = stream.document()
    kafka = EventStream.model_validate({**document, "spec": {**document["spec"], "source": KAFKA}})
    host = hosts.host(owner, fraud.resolved(graph, stream=kafka), platform, standby=False)
    [workload] = [child for child in host if child.kind.name in ("RayService", "Deployment")]
    shape = workload.document["metadata"]["labels"]["pointsman.dev/shape"]
    return (*host, traffic.service(owner, shape), *traffic.routes(owner, platform))


def of_the_namespace(cluster: Cluster, graph: DecisionGraph) -> tuple[Child, ...]:
    namespace = str(graph.metadata.namespace)
    [target] = fraud.of_kind(ActionTarget, namespace)
    document = target.document()
    cluster.apply({**document, "metadata": {"name": target.name, "namespace": namespace}})
    owners = [
        (DECISION_GRAPH, graph.document()),
        (ACTION_TARGET, cluster.get("actiontarget", target.name, namespace)),
    ]
    return namespace_children(Namespace(name=namespace, owners=owners, targets=[target]), PLATFORM)


def pod_templates(children: tuple[Child, ...]) -> Iterator[dict[str, Any]]:
    """What pods are made from."""
    for child in children:
        spec = child.document.get("spec", {})
        if child.kind.name == "RayService":
            yield spec["rayClusterConfig"]["headGroupSpec"]["template"]
            yield from (each["template"] for each in spec["rayClusterConfig"]["workerGroupSpecs"])
        elif "template" in spec:
            yield spec["template"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_everything_is_taken_and_nothing_of_it_would_be_written_again(
    cluster: Cluster, namespace: str, runtime: str
) -> None:
    graph = applied(cluster, namespace, RUNTIMES[runtime])
    children = (*rendered(graph), *of_the_namespace(cluster, graph))

    cluster.apply(*(child.document for child in children))

    for child in children:
        found = cluster.get(child.kind.plural, child.name, namespace)
        assert is_part(child.document, found), f"{child.kind.name} {child.name}"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_pod_is_admitted_at_the_restricted_level(cluster: Cluster, namespace: str, runtime: str) -> None:
    graph = applied(cluster, namespace, RUNTIMES[runtime])

    for template in pod_templates((*rendered(graph), *of_the_namespace(cluster, graph))):
        admitted(cluster, namespace, template)
        for field in ("allowPrivilegeEscalation", "capabilities"):
            [container] = template["spec"]["containers"]
            weaker = {key: value for key, value in container["securityContext"].items() if key != field}
            pod = {**template["spec"], "containers": [{**container, "securityContext": weaker}]}
            with pytest.raises(KubectlFailed, match=f"violates PodSecurity.*{field}"):
                admitted(cluster, namespace, {**template, "spec": pod})


def admitted(cluster: Cluster, namespace: str, template: Mapping[str, Any]) -> None:
    """Nothing, where the API server would take such a pod."""
    metadata = {**template["metadata"], "name": "tried", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_kuberay_makes_a_head_and_a_worker_that_the_services_know(cluster: Cluster, namespace: str) -> None:
    graph = applied(cluster, namespace, RUNTIMES["RayServe"])
    children = rendered(graph)
    cluster.apply(*(child.document for child in children))

    pods = wait_for("head and worker are ready", lambda: ready(cluster, namespace, 2), seconds=60)

    by_part = {pod["metadata"]["labels"]["pointsman.dev/part"]: pod for pod in pods}
    assert set(by_part) == {"head", "host"}
    assert {pod["metadata"]["labels"]["ray.io/node-type"] for pod in pods} == {"head", "worker"}
    [worker] = by_part["host"]["spec"]["containers"]
    variables = {each["name"]: each for each in worker["env"]}
    assert variables["RAY_AUTH_MODE"]["value"] == "token"
    assert "auth_token" in variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["key"]
    assert [each["name"] for each in by_part["host"]["spec"]["initContainers"]] == ["wait-gcs-ready"]
    assert "--num-cpus=0" in by_part["head"]["spec"]["containers"][0]["args"][0]
    for child in children:
        if child.kind.name == "Service":
            selector = ",".join(f"{key}={value}" for key, value in child.document["spec"]["selector"].items())
            assert [each["metadata"]["uid"] for each in cluster.list("pod", namespace, selector)] == [
                by_part["host"]["metadata"]["uid"]
            ]


def test_a_head_that_remembers_in_redis_is_taken_too(cluster: Cluster, namespace: str) -> None:
    graph = applied(cluster, namespace, RUNTIMES["RayServe"])
    platform = replace(PLATFORM, redis=Redis(address="redis.example.com:6379", secret="redis"))

    for child in rendered(graph, platform):
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(child.document))


def test_what_is_no_ray_starts_too(cluster: Cluster, namespace: str) -> None:
    graph = applied(cluster, namespace, RUNTIMES["Embedded"])

    cluster.apply(*(child.document for child in (*rendered(graph), *of_the_namespace(cluster, graph))))

    parts = wait_for("host, two of the API, dispatcher and migrations", lambda: ready(cluster, namespace, 4))
    assert sorted(each["metadata"]["labels"]["pointsman.dev/part"] for each in parts) == [
        "api",
        "api",
        "dispatcher",
        "host",
    ]
    wait_for("the Job is done", lambda: cluster.list("job", namespace)[0]["status"].get("succeeded"))


def ready(cluster: Cluster, namespace: str, count: int) -> list[dict[str, Any]]:
    """The pods that are Ready, once there are so many."""
    found = [
        pod
        for pod in cluster.list("pod", namespace, "app.kubernetes.io/managed-by=pointsman")
        if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    ]
    return found if len(found) == count else []
