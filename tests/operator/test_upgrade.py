"""Another release of the operator restarts no pod: what the pods of 1,000 deployments are made of is what was released."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

RELEASED = Path(__file__).parent / "golden" / "pods-0.1.0.txt"
"""A digest a line. A line that would change restarts somebody's pods: find another way, or write down why."""
HOW_MANY = 1000


def spec(seed: int) -> dict[str, Any]:
    """A spec of many, the same for the same seed."""
    chance = random.Random(seed)
    found: dict[str, Any] = {}
    if chance.random() < 0.7:
        type_ = chance.choice(["Native", "Triton", "KServePython", "Container", "ServingRuntime"])
        found["runtime"] = {"type": type_}
        if type_ == "Container":
            container = {"image": f"registry.example.com/scorer:{seed}", "httpPort": 8000 + seed % 10}
            found["runtime"]["container"] = container | ({"grpcPort": 9001} if chance.random() < 0.5 else {})
        if type_ == "ServingRuntime":
            found["runtime"]["servingRuntimeRef"] = {"name": "pointsman-native"}
        if type_ == "Triton":
            found["runtime"]["triton"] = {"instances": chance.randint(1, 4)}
    if chance.random() < 0.6:
        limits = {"memory": f"{chance.randint(1, 16)}Gi"}
        if chance.random() < 0.4:
            limits[chance.choice(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"])] = str(chance.randint(1, 8))
        found["resources"] = {"limits": limits, "requests": {"cpu": f"{chance.randint(1, 40) * 100}m"}}
    if chance.random() < 0.5:
        found["batching"] = {"maxBatchSize": chance.choice([1, 16, 256]), "maxQueueDelayMicroseconds": seed}
    if chance.random() < 0.5:
        toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
        found["podTemplate"] = {
            "spec": {"nodeSelector": {"zone": str(seed % 3)}, "tolerations": [toleration]},
            "metadata": {"labels": {"team": str(seed % 7)}},
        }
    return found


def test_no_pod_is_restarted_by_an_upgrade(world: Callable[..., Any]) -> None:
    made = []
    for seed in range(HOW_MANY):
        service = world(**spec(seed)).child("InferenceService").document
        template = {"name": service["metadata"]["name"], "spec": service["spec"]}
        template |= {part: service["metadata"][part] for part in ("labels", "annotations")}
        digest = hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        made.append(f"{seed} {digest}")

    assert RELEASED.read_text().split("\n") == [*made, ""]
