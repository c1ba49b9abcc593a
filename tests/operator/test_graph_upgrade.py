"""Another release of the operator restarts no host: shapes, and what the pods of 300 graphs are made of, are what was released."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness import fraud
from pointsman.api.event_stream import EventStream
from pointsman_operator.resources.graphs import hosts
from pointsman_operator.resources.graphs.platform import Platform, Redis
from pointsman_operator.resources.graphs.shape import shape
from pointsman_operator.seen import Child

RELEASED = Path(__file__).parent / "golden" / "graph-pods-0.1.0.txt"
"""A digest a line. A line that would change restarts somebody's host: find another way, or write down why."""
HOW_MANY = 300
PLATFORM = Platform(image="registry.example.com/graph:1", registry_url="http://mlflow.pointsman-system.svc:5000")
SPARSE: dict[str, Any] = {"type": "RayServe"}


def runtime(seed: int) -> dict[str, Any]:
    """A runtime of many, the same for the same seed."""
    chance = random.Random(seed)
    found: dict[str, Any] = {}
    if chance.random() < 0.7:
        found["type"] = chance.choice(["RayServe", "Embedded"])
    if chance.random() < 0.3:
        found["image"] = f"registry.example.com/ours@sha256:{chance.randrange(16):x}{'0' * 63}"
    if chance.random() < 0.5:
        found["resources"] = {
            "requests": {"cpu": f"{chance.randint(1, 4)}"},
            "limits": {"memory": f"{chance.randint(1, 8)}Gi"},
        }
    if found.get("type") == "RayServe" and chance.random() < 0.5:
        found["workers"] = {"minReplicas": chance.randint(1, 4)}
        if chance.random() < 0.5:
            found["workers"]["resources"] = {"limits": {"nvidia.com/gpu": str(chance.randint(1, 4))}}
    if chance.random() < 0.5:
        found["podTemplate"] = {
            "spec": {"nodeSelector": {"zone": str(seed % 3)}, "priorityClassName": "decisions"},
            "metadata": {"labels": {"team": str(seed % 7)}},
        }
    return found


def platform(seed: int) -> Platform:
    """An installation of many."""
    chance = random.Random(seed)
    return Platform(
        image=f"registry.example.com/graph:{chance.randrange(3)}",
        pull_policy=chance.choice([None, "Always"]),
        pull_secrets=chance.choice([(), ("theirs",)]),
        registry_url=chance.choice(["http://mlflow.pointsman-system.svc:5000", "https://mlflow.example.com"]),
        redis=chance.choice([None, Redis(address="redis.example.com:6379")]),
    )


def templates(children: tuple[Child, ...]) -> Any:
    """What pods are made from; of a RayService all but what is handed to the application that runs."""
    [workload] = [child.document["spec"] for child in children if child.kind.name in ("RayService", "Deployment")]
    return workload.get("rayClusterConfig") or workload["template"]


def made(of: dict[str, Any], by: Platform) -> tuple[str, Any]:
    """The shape and the pod templates."""
    graph = fraud.graph("risk", runtime=of)
    resolved = fraud.resolved(graph)
    return shape(graph, resolved.stream, by), templates(hosts.host(graph.document(), resolved, by, standby=False))


def test_no_host_is_restarted_by_an_upgrade() -> None:
    found = []
    for seed in range(HOW_MANY):
        digest = hashlib.sha256(orjson.dumps(made(runtime(seed), PLATFORM), option=orjson.OPT_SORT_KEYS)).hexdigest()
        found.append(f"{seed} {digest[:16]}")

    assert RELEASED.read_text().split("\n") == [*found, ""]


def test_two_of_one_shape_have_the_same_pods() -> None:
    by_shape = dict[str, Any]()
    for seed in range(HOW_MANY):
        name, pods = made(runtime(seed % 12), platform(seed))
        assert by_shape.setdefault(name, pods) == pods
    assert 12 < len(by_shape) < HOW_MANY, "some are alike, and some are not"


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        ({"type": "Embedded"}, PLATFORM),
        ({**SPARSE, "resources": {"limits": {"memory": "4Gi"}}}, PLATFORM),
        ({**SPARSE, "workers": {"minReplicas": 2}}, PLATFORM),
        ({**SPARSE, "image": "registry.example.com/ours@sha256:" + "a" * 64}, PLATFORM),
        ({**SPARSE, "podTemplate": {"spec": {"nodeSelector": {"zone": "a"}}}}, PLATFORM),
        (SPARSE, Platform(image="registry.example.com/graph:2")),
        (SPARSE, Platform(image=PLATFORM.image, registry_url="https://mlflow.example.com")),
    ],
)
def test_what_needs_other_pods_is_another_shape(changed: dict[str, Any], by: Platform) -> None:
    before, after = made(SPARSE, PLATFORM), made(changed, by)

    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_is_handed_over_or_set_aside_keeps_its_shape() -> None:
    graph = fraud.graph("risk", runtime=SPARSE)
    [stream] = fraud.of_kind(EventStream, "risk")
    now = shape(graph, stream, PLATFORM)

    spec = graph.spec.model_copy(update={"certificates": "Required"})
    assert shape(graph.model_copy(update={"spec": spec}), stream, PLATFORM) == now
    assert shape(fraud.graph("risk", runtime={**SPARSE, "workers": {"maxReplicas": 4}}), stream, PLATFORM) == now
    assert shape(graph, stream, replace(PLATFORM, release="another", store_ports=(6432,))) == now


def test_a_graph_or_a_stream_that_is_made_anew_is_hosted_anew() -> None:
    graph = fraud.graph("risk", runtime=SPARSE)
    [stream] = fraud.of_kind(EventStream, "risk")
    another = stream.model_copy(update={"metadata": stream.metadata.model_copy(update={"uid": "another"})})

    now = shape(graph, stream, PLATFORM)

    assert shape(fraud.graph("risk", uid="another", runtime=SPARSE), stream, PLATFORM) != now
    assert shape(graph, another, PLATFORM) != now
