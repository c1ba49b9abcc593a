"""A ModelDeployment on a cluster: what the operator makes of it, how a new version takes over, and what the status says.

The control plane, KServe and MLflow are real; nodes and pods are simulated. Probe inferences reach one real model server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import operator as harness
from harness import workloads, yours
from harness.audit import Audit
from harness.cluster import Cluster, KubectlFailed
from harness.model_deployments import URI, behaving, ready, says, seen
from harness.operator import Operator, model_deployment
from harness.pod_stages import ANNOTATION, Behaviour
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


def applied(cluster: Cluster, *objects: dict[str, Any]) -> bool:
    try:
        cluster.apply(*objects)
    except KubectlFailed:
        return False
    return True


@contextmanager
def without_admission(cluster: Cluster) -> Iterator[None]:
    """As it was before this release was installed: the API server refuses nothing."""
    binding = ("validatingadmissionpolicybinding", "pointsman-modeldeployments")
    cluster.kubectl("patch", *binding, "--type=merge", "-p", json.dumps({"spec": {"validationActions": ["Audit"]}}))
    try:
        yield
    finally:
        cluster.kubectl("patch", *binding, "--type=merge", "-p", json.dumps({"spec": {"validationActions": ["Deny"]}}))


def test_a_model_deployment_becomes_an_inference_service_and_is_ready_once_the_model_answers(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))

    raw = ready(simulated, namespace)

    status = raw["status"]
    assert status["version"] == "1"
    assert status["replicas"] == 1
    assert status["url"] == f"http://fraud.{namespace}.svc"
    [service] = simulated.list("inferenceservice", namespace)
    assert service["metadata"]["name"] == f"fraud-{status['revision']}"
    [pod] = simulated.list("pod", namespace)
    assert pod["spec"]["initContainers"][0]["args"][0].endswith(f"#{status['digest']}")
    stable = simulated.get("service", "fraud", namespace)
    assert stable["spec"]["selector"]["pointsman.dev/revision"] == status["revision"]
    assert stable["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_an_alias_that_moves_makes_a_new_revision_and_the_old_one_goes_once_it_is_drained(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    first = ready(simulated, namespace)["status"]

    registered()

    wait_for("version 2 serves", lambda: seen(simulated, namespace)["status"]["version"] == "2", seconds=60)
    status = ready(simulated, namespace)["status"]
    assert status["revision"] != first["revision"]
    assert [each["version"] for each in status["history"]] == ["1", "2"]
    services = lambda: [each["metadata"]["name"] for each in simulated.list("inferenceservice", namespace)]  # noqa: E731
    wait_for("the old revision is gone", lambda: services() == [f"fraud-{status['revision']}"])


def test_a_new_revision_that_never_answers_leaves_the_old_one_serving_and_says_why(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    uri = registered()
    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}))
    first = ready(simulated, namespace)["status"]

    broken = behaving(Behaviour.CRASH_LOOP)
    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}, podTemplate=broken))

    said = says(simulated, namespace, "Crashing")
    assert said["message"].startswith(f"revision {first['revision']} goes on serving")
    status = seen(simulated, namespace)["status"]
    assert (status["revision"], status["replicas"]) == (first["revision"], 1)
    selector = simulated.get("service", "fraud", namespace)["spec"]["selector"]
    assert selector["pointsman.dev/revision"] == first["revision"]

    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}))
    status = ready(simulated, namespace)["status"]
    assert status["revision"] == first["revision"], "back to what served all the time"
    services = lambda: len(simulated.list("inferenceservice", namespace))  # noqa: E731
    wait_for("the broken revision is gone", lambda: services() == 1)


def test_a_pod_that_falls_while_it_serves_takes_ready_away_and_gives_it_back(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    ready(simulated, namespace)
    [pod] = simulated.list("pod", namespace)
    name = pod["metadata"]["name"]

    simulated.kubectl("annotate", "pod", name, "-n", namespace, f"{ANNOTATION}={Behaviour.OOM}")
    says(simulated, namespace, "OutOfMemory")

    simulated.kubectl("annotate", "pod", name, "-n", namespace, f"{ANNOTATION}-")
    ready(simulated, namespace)


def test_what_a_cluster_would_ignore_is_refused_by_name_and_what_serves_goes_on(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    uri = registered()
    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}))
    first = ready(simulated, namespace)["status"]

    canary = {"type": "Canary", "steps": [{"trafficPercent": 5}]}
    changed = model_deployment("fraud", namespace, model={"uri": uri}, rollout=canary)
    with pytest.raises(KubectlFailed, match="Canary and Shadow are not honoured yet"):
        simulated.apply(changed)
    with without_admission(simulated):
        wait_for("the API server lets it pass", lambda: applied(simulated, changed))

    said = says(simulated, namespace, "NotHonouredHere")
    assert "spec.rollout.type: Canary is not honoured yet" in said["message"]
    status = seen(simulated, namespace)["status"]
    assert (status["revision"], status["replicas"]) == (first["revision"], 1)


def test_the_old_revision_ends_first_where_it_is_asked_for(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    spec = {"resources": {"limits": {"nvidia.com/gpu": "8"}}, "autoscaling": {"type": "None", "replicas": 2}}
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, **spec))
    wait_for("both GPU nodes are full", lambda: seen(simulated, namespace).get("status", {}).get("replicas") == 2)
    registered()
    said = says(simulated, namespace, "RolloutNeedsCapacity", "Rollout")
    assert "spec.rollout.type: Recreate" in said["message"]
    assert seen(simulated, namespace)["status"]["version"] == "1"

    uri = URI.format(namespace)
    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}, rollout={"type": "Recreate"}, **spec))

    wait_for("version 2 serves", lambda: seen(simulated, namespace)["status"].get("version") == "2", seconds=60)
    ready(simulated, namespace)


def test_replicas_have_one_writer(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    uri = registered()
    simulated.apply(
        model_deployment("fraud", namespace, model={"uri": uri}, autoscaling={"type": "None", "replicas": 3})
    )
    wait_for("three replicas are ready", lambda: ready(simulated, namespace)["status"]["replicas"] == 3)

    metric = {"type": "CPU", "averageUtilization": 70}
    hpa = {"type": "HPA", "minReplicas": 2, "maxReplicas": 4, "metrics": [metric]}
    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}, autoscaling=hpa))
    [found] = wait_for("there is an autoscaler", lambda: simulated.list("hpa", namespace))
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (2, 4)
    assert found["spec"]["scaleTargetRef"]["name"] == f"{found['metadata']['name']}-predictor"

    simulated.apply(model_deployment("fraud", namespace, model={"uri": uri}, autoscaling={"type": "External"}))
    wait_for("the autoscaler is gone", lambda: simulated.list("hpa", namespace) == [])
    deployment = f"deployment/{found['metadata']['name']}-predictor"
    simulated.kubectl("scale", deployment, "-n", namespace, "--replicas=1")
    wait_for("someone else's number stays", lambda: ready(simulated, namespace)["status"]["replicas"] == 1)


def test_what_is_deleted_comes_back_and_nothing_outlives_its_owner(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    ready(simulated, namespace)
    kinds = ("service", "poddisruptionbudget", "networkpolicy", "inferenceservice")
    ours = "pointsman.dev/modeldeployment=fraud,app.kubernetes.io/managed-by=pointsman"
    before = {kind: {each["metadata"]["uid"] for each in simulated.list(kind, namespace, ours)} for kind in kinds}

    for kind in kinds:
        simulated.kubectl("delete", kind, "-n", namespace, "-l", ours)
    names = lambda kind: {each["metadata"]["uid"] for each in simulated.list(kind, namespace, ours)}  # noqa: E731
    for kind in kinds:
        wait_for(f"the {kind} is there again", lambda kind=kind: names(kind) and not names(kind) & before[kind])
    ready(simulated, namespace)

    simulated.kubectl("delete", "modeldeployment", "fraud", "-n", namespace)
    left = lambda: [each for kind in (*kinds, "deployment", "pod") for each in simulated.list(kind, namespace, ours)]  # noqa: E731
    wait_for("nothing is left", lambda: left() == [], seconds=60)


def test_a_service_of_somebody_else_is_left_alone_and_named(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    theirs = workloads.service("fraud", namespace)
    simulated.apply(theirs)

    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))

    assert 'the Service "fraud" belongs to someone else' in says(simulated, namespace, "NameTaken")["message"]
    assert simulated.get("service", "fraud", namespace)["spec"]["selector"] == theirs["spec"]["selector"]
    simulated.kubectl("delete", "service", "fraud", "-n", namespace)
    ready(simulated, namespace)


def test_a_route_goes_to_the_gateway_and_its_refusal_is_said(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    route = {"parentRefs": [{"name": "public"}], "hostnames": ["fraud.example.com"]}
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, route=route))
    says(simulated, namespace, "Progressing", "RouteAccepted", "Unknown")
    http = simulated.get("httproute", "fraud", namespace)
    assert (
        http["spec"]["rules"][0]["backendRefs"][0] | {"name": "fraud", "port": 80}
        == (http["spec"]["rules"][0]["backendRefs"][0])
    )
    assert simulated.get("grpcroute", "fraud", namespace)["spec"]["hostnames"] == ["grpc.fraud.example.com"]

    def answer(status: str, reason: str, message: str) -> None:
        said = {"type": "Accepted", "status": status, "reason": reason, "message": message}
        moment = "2026-01-01T00:00:00Z"
        parents = [
            {
                "parentRef": {"name": "public"},
                "controllerName": "example.com/gateway",
                "conditions": [{**said, "lastTransitionTime": moment}],
            }
        ]
        patch = json.dumps({"status": {"parents": parents}})
        for kind in ("httproute", "grpcroute"):
            simulated.kubectl(
                "patch", kind, "fraud", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
            )

    answer("False", "NotAllowedByListeners", "no listener allows this namespace")
    assert "no listener allows this namespace" in says(simulated, namespace, "RouteNotAccepted")["message"]
    answer("True", "Accepted", "")
    ready(simulated, namespace)


def test_an_operator_that_is_started_anew_writes_nothing(
    simulated: Cluster,
    operator: Operator,
    namespace: str,
    registered: Callable[..., str],
    mlflow_server: Any,
    probes: str,
    tmp_path: Path,
) -> None:
    spec = {
        "resources": {
            "requests": {"cpu": "0.5", "memory": "1024Mi"}
        },  # kept as 500m and 1Gi, and what is empty not at all
        "podTemplate": {"spec": {"nodeSelector": {}, "tolerations": []}},
    }
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, **spec))
    ready(simulated, namespace)
    told = lambda: {each["reason"] for each in simulated.list("event", namespace)}  # noqa: E731
    wait_for("it is told that it serves", lambda: "ModelServing" in told())
    others = lambda: simulated.kubectl("get", "modeldeployments", "-A", "-o", "name").split()  # noqa: E731
    wait_for("those of other tests are gone", lambda: len(others()) == 1, seconds=60)
    audit = Audit(simulated)
    quiet = audit.now()

    with harness.operator(
        simulated,
        tmp_path,
        registry=mlflow_server.url,
        probes=probes,
        environment={"POINTSMAN_RESYNC_SECONDS": "1"},
    ) as second:
        wait_for("it has looked at everything again and again", lambda: second.reconciled() > 5)
        assert audit.since(quiet) == [], "neither of the two operators"
