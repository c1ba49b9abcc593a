"""What the webhook answers: everything that is wrong with a document, each at its path and with the way out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from harness import fraud, graphs
from pointsman_operator.resources.admission import PATH
from pointsman_operator.webhook.review import NotAReview, answer
from pointsman_operator.webhook.server import LONGEST, app

MODEL = {"uri": "models:/fraud@champion"}


def review(name: str = "fraud", **spec: Any) -> dict[str, Any]:
    """As the API server sends it: with what it has set itself."""
    metadata = {
        "name": name,
        "namespace": "risk",
        "uid": "0d9b1a32",
        "generation": 1,
        "creationTimestamp": "2026-11-03T12:00:00Z",
        "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
    }
    document = {
        "apiVersion": "pointsman.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": metadata,
        "spec": {"model": MODEL, **spec},
    }
    request = {"uid": "705ab4f5", "operation": "CREATE", "object": document, "oldObject": None, "dryRun": False}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def told(**spec: Any) -> list[str]:
    response = answer(review(**spec))["response"]
    return response["status"]["message"].split("; ") if not response["allowed"] else []


def test_what_is_right_is_allowed() -> None:
    answered = answer(review(resources={"limits": {"nvidia.com/gpu": "1"}}))

    assert answered == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "705ab4f5", "allowed": True},
    }


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a resource that there is not": (
        {"resources": {"limits": {"gpu": "1"}}},
        'spec.resources.limits.gpu: "gpu" is not a resource; known: cpu, memory, ephemeral-storage, or a device',
    ),
    "a slice that no GPU has": (
        {"resources": {"limits": {"nvidia.com/mig-9g.1gb": "1"}}},
        'spec.resources.limits["nvidia.com/mig-9g.1gb"]: "nvidia.com/mig-9g.1gb" is not a MIG slice; a slice is named',
    ),
    "half a GPU": (
        {"resources": {"limits": {"nvidia.com/gpu": "500m"}}},
        'spec.resources.limits["nvidia.com/gpu"]: "nvidia.com/gpu" comes in whole numbers, not "500m"',
    ),
    "a request above its limit": (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        'spec.resources.requests.memory: "memory": the request "2Gi" is above the limit "1Gi"',
    ),
    "an unknown field": ({"batching": {"maxBatchSiez": 8}}, 'spec.batching.maxBatchSiez: unknown field "maxBatchSiez"'),
    "a field that no toleration has": (
        {"podTemplate": {"spec": {"tolerations": [{"key": "gpu", "efect": "NoSchedule"}]}}},
        'spec.podTemplate.spec.tolerations[0].efect: unknown field "efect"; did you mean "effect"?',
    ),
    "a field deep in an affinity": (
        {"podTemplate": {"spec": {"affinity": {"nodeAffinity": {"requiredDuringScheduling": {}}}}}},
        "spec.podTemplate.spec.affinity.nodeAffinity.requiredDuringScheduling: unknown field",
    ),
    "one volume where a list of them belongs": (
        {"podTemplate": {"spec": {"volumes": {"name": "cache", "emptyDir": {}}}}},
        "spec.podTemplate.spec.volumes: must be a list",
    ),
    "a field of pods that is written in another way": (
        {"podTemplate": {"spec": {"nodeSelectors": {"zone": "a"}}}},
        'spec.podTemplate.spec.nodeSelectors: a pod template cannot set this; did you mean "nodeSelector"?',
    ),
    "a share of no CPU": (
        {
            "resources": {"requests": {"cpu": "0"}},
            "autoscaling": {
                "type": "HPA",
                "maxReplicas": 2,
                "metrics": [{"type": "CPU", "averageUtilization": 70}],
            },
        },
        "spec.autoscaling.metrics[0].averageUtilization: a share of nothing: spec.resources.requests[cpu] is 0",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_refused_at_its_path(what: str) -> None:
    spec, words = REFUSED[what]

    response = answer(review(**spec))["response"]

    assert (response["allowed"], response["status"]["code"]) == (False, 422)
    assert response["status"]["message"].startswith(words)


def test_whatever_kubernetes_knows_of_a_pod_is_allowed() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    spec = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}},
        "nodeSelector": {"example.com/zone": "a"},
        "overhead": {"cpu": 1},
        "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}],
        "topologySpreadConstraints": [constraint],
        "volumes": [
            {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "c", "ephemeral": {"volumeClaimTemplate": claim}},
        ],
    }

    assert told(podTemplate={"spec": spec}) == []


def test_an_unknown_field_comes_with_the_nearest_name() -> None:
    assert told(batching={"maxBatchSiez": 8})[1] == 'did you mean "maxBatchSize"?'


def test_all_that_is_wrong_is_told_at_once_and_kubectl_gets_it_line_by_line() -> None:
    status = answer(review(resources={"limits": {"gpu": "1", "tpu": "1"}}))["response"]["status"]

    details = status["details"]
    assert (details["kind"], details["name"]) == ("ModelDeployment", "fraud")
    assert [cause["field"] for cause in details["causes"]] == ["spec.resources.limits.gpu", "spec.resources.limits.tpu"]


@pytest.mark.parametrize("body", [{}, [], {"request": None}, {"request": {"uid": "1", "object": None}}, "text"])
def test_what_is_no_review_is_said_to_be_none(body: Any) -> None:
    with pytest.raises(NotAReview):
        answer(body)


@pytest.fixture
def client() -> TestClient:
    return TestClient(app())


def test_over_http_a_review_is_answered(client: TestClient) -> None:
    answered = client.post(PATH, content=orjson.dumps(review(rollout={"type": "Shadow"})))

    assert answered.json()["response"]["status"]["message"].startswith("spec.rollout.type: Shadow is not honoured yet")


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", 400), (b"{", 400), (b"{}", 400), (b" " * (LONGEST + 1), 413)],
    ids=["nothing", "half", "no review", "long"],
)
def test_over_http_what_is_no_review_is_refused(client: TestClient, body: bytes, code: int) -> None:
    assert client.post(PATH, content=body).status_code == code


def graph_review(name: str = "card-fraud", **runtime: Any) -> dict[str, Any]:
    found = review()
    document = fraud.written()
    document["metadata"] = {**found["request"]["object"]["metadata"], "name": name}
    document["spec"]["runtime"] = {"type": "Embedded", **runtime}
    found["request"]["object"] = document
    return found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (graph_review("a" * 39), "metadata.name: 39 characters: KubeRay's names leave room for 38"),
        (graph_review("pointsman-api"), 'metadata.name: "pointsman-api" is the name of what all graphs of a namespace'),
        (
            graph_review(podTemplate={"spec": {"hostNetwork": True}}),
            "spec.runtime.podTemplate.spec.hostNetwork: a pod template cannot set this",
        ),
        (
            graph_review(podTemplate={"metadata": {"labels": {"ray.io/cluster": "x"}}}),
            'spec.runtime.podTemplate.metadata.labels["ray.io/cluster"]: reserved',
        ),
        (graph_review(workers={"minReplicas": 2}), 'spec.runtime.workers: "workers" belongs to type RayServe'),
    ],
)
def test_what_is_wrong_with_a_graph_is_refused_at_its_path(asked: dict[str, Any], words: str) -> None:
    response = answer(asked)["response"]

    assert not response["allowed"]
    assert words in response["status"]["message"]
    assert response["status"]["details"]["kind"] == "DecisionGraph"


def test_what_is_not_read_of_a_source_yet_is_refused_at_its_path() -> None:
    [stream] = graphs.documents("risk", "EventStream")
    kafka = {"bootstrapServers": ["b:9092"], "topic": "t", "format": "Avro", "schemaRegistry": "https://registry"}
    found = review()
    found["request"]["object"] = {**stream, "spec": {**stream["spec"], "source": {"type": "Kafka", "kafka": kafka}}}
    assert 'spec.source.kafka.format: "Avro" is not read yet' in answer(found)["response"]["status"]["message"]


def test_a_graph_as_the_example_has_it_is_allowed() -> None:
    assert answer(graph_review())["response"]["allowed"]
