"""What is wanted in the cluster for a ModelDeployment, and what is written to get there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.api.conditions import find
from pointsman_operator.desired import writes
from pointsman_operator.differences import is_part

GOLDEN = Path(__file__).parent / "golden"
GPU = {
    "runtime": {"type": "Triton", "triton": {"instances": 2}},
    "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "4Gi"}},
    "batching": {"maxBatchSize": 64, "maxQueueDelayMicroseconds": 500},
    "autoscaling": {
        "type": "HPA",
        "minReplicas": 2,
        "maxReplicas": 8,
        "metrics": [{"type": "CPU", "averageUtilization": 70}],
        "behavior": {
            "scaleDown": {"stabilizationWindow": "5m", "policies": [{"type": "Pods", "value": 1, "period": "60s"}]}
        },
    },
    "route": {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["fraud.example.com"]},
    "podTemplate": {"spec": {"nodeSelector": {"gpu": "a100"}}, "metadata": {"labels": {"team": "risk"}}},
}
CONTAINER = {
    "runtime": {
        "type": "Container",
        "container": {
            "image": "registry.example.com/scorer:1",
            "httpPort": 8000,
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "scorer", "key": "key"}}}],
        },
    }
}
BENTO = {
    "runtime": {"type": "BentoML"},
    "batching": {"maxBatchSize": 64, "maxQueueDelayMicroseconds": 500},
    "route": {"parentRefs": [{"name": "public"}], "hostnames": ["fraud.example.com"]},
}
SPECS: dict[str, dict[str, Any]] = {"native": {}, "triton-gpu": GPU, "container": CONTAINER, "bento": BENTO}


@pytest.mark.parametrize("name", SPECS)
def test_what_is_made_is_what_a_person_has_read(world: Callable[..., Any], name: str) -> None:
    served = world(**SPECS[name])
    served.installed = type(served.installed)(kserve=("v1beta1",), gateway=True, monitors=True)
    served.serve()

    made = yaml.safe_dump_all([child.document for child in served.desired().children], sort_keys=False)

    path = GOLDEN / f"{name}.yaml"
    assert path.read_text() == made, f"read the difference, then write it: {path}"


def test_once_everything_is_there_nothing_is_written(world: Callable[..., Any]) -> None:
    served = world().serve()

    assert not writes(served.desired(), served.seen())


def test_what_somebody_changed_of_ours_is_written_again_and_what_they_added_is_left(world: Callable[..., Any]) -> None:
    served = world().serve()
    service = served.objects["Service"]["fraud"]
    service["metadata"]["labels"] = {**service["metadata"]["labels"], "theirs": "1"}
    assert not writes(served.desired(), served.seen())

    service["spec"] = {**service["spec"], "selector": {"theirs": "1"}}

    assert [child.name for child in writes(served.desired(), served.seen()).apply] == ["fraud"]


@pytest.mark.parametrize(
    ("kind", "field"),
    [("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")],
)
def test_what_somebody_adds_to_what_selects_pods_is_written_again(
    world: Callable[..., Any], kind: str, field: str
) -> None:
    served = world().serve()
    made = served.objects[kind]["fraud"]
    selector = made["spec"][field]
    added = {**selector, "theirs": "1"} if kind == "Service" else {"matchLabels": {**selector["matchLabels"], "a": "1"}}

    made["spec"] = {**made["spec"], field: added}

    assert [child.kind.name for child in writes(served.desired(), served.seen()).apply] == [kind]


def test_what_is_not_controlled_by_it_is_never_deleted(world: Callable[..., Any]) -> None:
    served = world().serve()
    theirs = {"metadata": {"name": "theirs", "labels": {"pointsman.dev/modeldeployment": "fraud"}, "uid": "u-9"}}
    served.objects["Service"]["theirs"] = theirs

    assert writes(served.desired(), served.seen()).delete == ()


def test_the_service_selects_nothing_until_a_revision_answers(world: Callable[..., Any]) -> None:
    starting = world()
    starting.step()
    assert starting.child("Service").document["spec"]["selector"]["pointsman.dev/revision"] == "none"

    starting.answer()

    selector = starting.child("Service").document["spec"]["selector"]
    assert selector["pointsman.dev/revision"] == starting.pinned.revision


def test_traffic_moves_when_the_new_revision_answers_and_the_old_one_is_drained(world: Callable[..., Any]) -> None:
    served = world().serve()
    old = served.pinned.revision
    served.version(2)
    served.step()
    assert served.child("Service").document["spec"]["selector"]["pointsman.dev/revision"] == old

    served.answer()
    served.step()
    assert served.child("Service").document["spec"]["selector"]["pointsman.dev/revision"] == served.pinned.revision
    assert set(served.objects["InferenceService"]) == {f"fraud-{old}", f"fraud-{served.pinned.revision}"}
    assert served.desired().look_again == served.now + timedelta(seconds=30)

    served.now += timedelta(seconds=31)
    served.step()
    assert set(served.objects["InferenceService"]) == {f"fraud-{served.pinned.revision}"}
    assert served.desired().look_again is None


def test_every_revision_is_drained_for_its_time_however_soon_the_next_one_serves(world: Callable[..., Any]) -> None:
    served = world().serve()
    first = served.pinned.revision
    for version in (2, 3):
        served.now += timedelta(seconds=20)
        served.version(version)
        served.step()
        served.answer()
        served.step()

    assert f"fraud-{first}" in served.objects["InferenceService"], "traffic left it 20 seconds ago"
    assert served.desired().look_again == served.now + timedelta(seconds=10)
    served.now += timedelta(seconds=11)
    served.step()
    assert f"fraud-{first}" not in served.objects["InferenceService"]
    assert len(served.objects["InferenceService"]) == 2


def test_a_revision_that_serves_on_stays_whatever_somebody_makes_of_its_labels(world: Callable[..., Any]) -> None:
    served = world().serve()
    first = served.pinned.revision
    served.change(resources={"limits": {"memory": "2Gi"}})
    served.step()
    raw = served.objects["InferenceService"][f"fraud-{first}"]

    raw["metadata"] = {**raw["metadata"], "labels": {**raw["metadata"]["labels"], "pointsman.dev/revision": "theirs"}}

    assert writes(served.desired(), served.seen()).delete == ()


def test_other_resources_make_another_revision_and_another_number_of_replicas_does_not(
    world: Callable[..., Any],
) -> None:
    served = world().serve()
    first = served.pinned.revision

    served.change(autoscaling={"type": "None", "replicas": 3})
    assert served.pinned.revision == first
    assert [scale.replicas for scale in served.desired().scales] == [3]

    served.change(resources={"limits": {"memory": "2Gi"}})
    assert served.pinned.revision != first
    served.step()
    assert len(served.objects["InferenceService"]) == 2, "the old one serves on, as it was made"


def test_an_old_revision_that_ends_first_is_gone_before_the_new_one_answers(world: Callable[..., Any]) -> None:
    served = world(rollout={"type": "Recreate"}).serve()
    served.version(2)

    served.step()

    assert set(served.objects["InferenceService"]) == {f"fraud-{served.pinned.revision}"}
    said = find(served.plan().told.conditions, "Ready")
    assert said is not None
    assert said.status == "Unknown"
    served.answer()
    served.step()
    assert served.raw["status"]["version"] == "2"


def test_without_kserve_nothing_is_touched_and_it_is_said(world: Callable[..., Any]) -> None:
    served = world().serve()
    served.installed = type(served.installed)()

    decided = served.plan()

    assert decided.held
    said = find(decided.told.conditions, "Ready")
    assert said is not None
    assert (said.status, said.reason) == ("False", "KServeNotFound")
    assert decided.told.fields["version"] == "1", "what serves is still said"


def test_a_serving_runtime_that_does_not_exist_is_named(world: Callable[..., Any]) -> None:
    asks = world(runtime={"type": "ServingRuntime", "servingRuntimeRef": {"name": "theirs"}})

    said = find(asks.plan().told.conditions, "Ready")

    assert said is not None
    assert said.reason == "RuntimeNotFound"
    assert '"theirs"' in said.message


def test_a_runtime_without_grpc_has_a_route_for_http_alone_and_its_condition_says_so(world: Callable[..., Any]) -> None:
    served = world(**BENTO)
    served.installed = type(served.installed)(kserve=("v1beta1",), gateway=True)
    served.serve()
    accepted = [{"type": each, "status": "True"} for each in ("Accepted", "ResolvedRefs")]
    served.objects["HTTPRoute"]["fraud"]["status"] = {"parents": [{"conditions": accepted}]}

    said = find(served.plan().told.conditions, "RouteAccepted")

    assert said is not None
    assert said.message == 'the Gateway "public" takes the route, for HTTP alone: the runtime offers no gRPC'
    assert "GRPCRoute" not in served.objects


@pytest.mark.parametrize(
    ("runtime", "aside"),
    [
        ("Triton", ""),
        ("BentoML", "spec.batching.maxQueueDelayMicroseconds: BentoML works out by itself how long a request waits"),
        ("Native", "spec.batching.maxQueueDelayMicroseconds: requests are not joined"),
        ("KServePython", "spec.batching.maxBatchSize: requests are neither joined nor split; spec.batching.maxQueue"),
    ],
)
def test_what_a_runtime_does_not_do_of_batching_is_said(world: Callable[..., Any], runtime: str, aside: str) -> None:
    batching = {"maxBatchSize": 64, "maxQueueDelayMicroseconds": 500}
    served = world(runtime={"type": runtime}, batching=batching).serve()

    said = find(served.plan().told.conditions, "Honoured")

    assert said is not None
    assert (said.status == "True", said.message.removeprefix("set aside here: ").startswith(aside)) == (not aside, True)


@pytest.mark.parametrize(
    ("wanted", "found", "holds"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 1}}, True),
        ({"a": 1}, {}, False),
        ([1, 2], [1, 2], True),
        ([1], [1, 2], False),
        ([{"a": 1}], [{"a": 1, "b": 2}], True),
        ("1", 1, False),
        ({"a": {}, "b": []}, {}, True),
        ({"averageValue": "1024Mi"}, {"averageValue": "1Gi"}, True),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m", "memory": "1Gi"}}, True),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "501m"}}, False),
        ({"version": "1.0"}, {"version": "1"}, False),
        ({"nodeSelector": {"gpu": "a100"}}, {"nodeSelector": {"gpu": "a100", "theirs": "1"}}, False),
    ],
)
def test_a_part_is_all_of_a_map_and_every_place_of_a_list(wanted: object, found: object, holds: bool) -> None:
    assert is_part(wanted, found) is holds
