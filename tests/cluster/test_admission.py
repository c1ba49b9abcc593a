"""What the API server refuses of a ModelDeployment or a DecisionGraph by itself: no replica of the operator is needed for it."""

from __future__ import annotations

from typing import Any

import pytest

from harness import fraud, operator, yours
from harness.cluster import Cluster, KubectlFailed
from harness.operator import model_deployment
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.model_deployment import ModelDeployment
from pointsman_operator.graphs.refusals import refusals as graph_refusals
from pointsman_operator.refusals import refusals

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

DIGEST = "sha256:" + "0" * 64
MODEL = {"uri": "models:/fraud@champion"}
KEDA = {"type": "KEDA", "maxReplicas": 2, "metrics": [{"type": "CPU", "averageUtilization": 70}]}

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a name that leaves no room for KServe's": ("a" * 45, {}, "metadata.name"),
    "a name that begins with a digit": ("1-fraud", {}, "metadata.name"),
    "a file of some machine": ("fraud", {"model": {"uri": "file:///tmp/model", "digest": DIGEST}}, "spec.model.uri"),
    "a canary": ("fraud", {"rollout": {"type": "Canary", "steps": [{"trafficPercent": 5}]}}, "spec.rollout.type"),
    "a shadow": ("fraud", {"rollout": {"type": "Shadow"}}, "spec.rollout.type"),
    "KEDA": ("fraud", {"autoscaling": KEDA}, "spec.autoscaling.type"),
    "containers in the pod template": (
        "fraud",
        {"podTemplate": {"spec": {"containers": [{"name": "kserve-container"}]}}},
        "spec.podTemplate.spec",
    ),
    "the node's network": ("fraud", {"podTemplate": {"spec": {"hostNetwork": True}}}, "spec.podTemplate.spec"),
    "a label that KServe reads": (
        "fraud",
        {"podTemplate": {"metadata": {"labels": {"serving.kserve.io/inferenceservice": "another"}}}},
        "spec.podTemplate.metadata.labels",
    ),
    "an annotation that KServe reads": (
        "fraud",
        {"podTemplate": {"metadata": {"annotations": {"serving.kserve.io/autoscalerClass": "hpa"}}}},
        "spec.podTemplate.metadata.annotations",
    ),
}


@pytest.fixture(scope="module")
def cluster(simulated: Cluster) -> Cluster:
    operator.installed(simulated)
    return simulated


@pytest.mark.parametrize("what", REFUSED)
def test_the_api_server_refuses_what_the_operator_refuses(cluster: Cluster, what: str) -> None:
    name, spec, path = REFUSED[what]
    document = model_deployment(name, "default", **{"model": MODEL, **spec})

    first, *_ = refusals(ModelDeployment.model_validate(document))
    assert first.path.startswith(path)
    with pytest.raises(KubectlFailed, match=path.replace(".", r"\.")):
        cluster.apply(document)


def test_what_is_refused_nowhere_is_taken(cluster: Cluster) -> None:
    spec = {
        "podTemplate": {"spec": {"nodeSelector": {"zone": "a"}}, "metadata": {"labels": {"team": "risk"}}},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "rollout": {"type": "Recreate"},
        "runtime": {"type": "BentoML"},
    }
    document = model_deployment("fraud-admitted", "default", model=MODEL, **spec)

    assert refusals(ModelDeployment.model_validate(document)) == ()
    cluster.apply(document)
    cluster.kubectl("delete", "modeldeployment", "fraud-admitted")


GRAPHS_REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a name that leaves no room for KubeRay's": ("a" * 39, {}, "metadata.name"),
    "the name of what a namespace shares": ("pointsman-dispatcher", {}, "metadata.name"),
    "containers in the pod template": (
        "fraud",
        {"podTemplate": {"spec": {"containers": [{"name": "host"}]}}},
        "spec.runtime.podTemplate.spec",
    ),
    "a label that KubeRay reads": (
        "fraud",
        {"podTemplate": {"metadata": {"labels": {"ray.io/cluster": "another"}}}},
        "spec.runtime.podTemplate.metadata.labels",
    ),
}


def graph(name: str, runtime: dict[str, Any]) -> dict[str, Any]:
    document = fraud.written()
    document["metadata"] = {"name": name, "namespace": "default"}
    document["spec"]["runtime"] = {"type": "Embedded", **runtime}
    return document


@pytest.mark.parametrize("what", GRAPHS_REFUSED)
def test_the_api_server_refuses_of_a_graph_what_the_operator_refuses(cluster: Cluster, what: str) -> None:
    name, runtime, path = GRAPHS_REFUSED[what]
    document = graph(name, runtime)

    first, *_ = graph_refusals(DecisionGraph.model_validate(document))
    assert first.path.startswith(path)
    with pytest.raises(KubectlFailed, match=path.replace(".", r"\.")):
        cluster.apply(document)


def test_a_graph_that_is_refused_nowhere_is_taken(cluster: Cluster) -> None:
    cluster.apply(graph("fraud-admitted", {"podTemplate": {"spec": {"nodeSelector": {"zone": "a"}}}}))
    cluster.kubectl("delete", "decisiongraph", "fraud-admitted")
