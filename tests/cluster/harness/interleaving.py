"""What may happen to two models at once, from a seed: edits, moved aliases, deletions, and somebody else's writes.

A seed always gives the same steps at the same seconds; what they meet in the cluster is up to it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.api import Answered, Api
from harness.operator import model_deployment
from pointsman_operator import names
from pointsman_operator.seen import (
    AUTOSCALER,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MADE,
    MODEL_DEPLOYMENT,
    NETWORK_POLICY,
    POD,
    SERVICE,
    Kind,
)

REGISTERED, ADDRESSED = "registered", "addressed"
"""The two models of a seed: an alias of the registry, and an address with a digest"""
VERSIONS = 3
STEPS, SECONDS = 14, 20.0
"""How many, and within which time"""

THEIRS: Mapping[Kind, Mapping[str, Any]] = {
    INFERENCE_SERVICE: {"predictor": {"terminationGracePeriodSeconds": 1}},
    SERVICE: {"selector": {"app": "theirs"}},
    AUTOSCALER: {"maxReplicas": 9},
    DISRUPTION_BUDGET: {"maxUnavailable": 3},
    NETWORK_POLICY: {"policyTypes": ["Egress"]},
    HTTP_ROUTE: {"hostnames": ["theirs.example.com"]},
}
"""What somebody writes over fields of ours"""
ADDED: Mapping[Kind, Mapping[str, Any]] = {
    SERVICE: {"selector": {"theirs": "too"}},
    DISRUPTION_BUDGET: {"selector": {"matchLabels": {"theirs": "too"}}},
    NETWORK_POLICY: {"podSelector": {"matchLabels": {"theirs": "too"}}},
}
"""What somebody adds beside fields of ours, where the whole then means something else"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that happens to a model, so many seconds after the beginning. `which` picks among objects of a kind."""

    at: float
    model: str
    what: str
    kind: Kind | None = None
    which: int = 0
    value: Any = None

    def __str__(self) -> str:
        about = self.kind.name if self.kind is not None else ""
        return (
            f"{self.at:5.1f} s  {self.model}: {self.what} {about} {'' if self.value is None else self.value}".rstrip()
        )


def steps(seed: int) -> list[Step]:
    """All steps of a seed, in their order. Both models exist from the first moment."""
    chance = random.Random(seed)
    found = [
        Step(at=0, model=model, what="edit", value=_spec(chance, model, seed)) for model in (REGISTERED, ADDRESSED)
    ]
    for _ in range(STEPS):
        found += _some(chance, seed, at=round(chance.uniform(1, SECONDS), 1))
    return sorted(found, key=lambda step: step.at)


def _some(chance: random.Random, seed: int, *, at: float) -> Iterator[Step]:
    model, which = chance.choice((REGISTERED, ADDRESSED)), chance.randrange(10)
    what = chance.choice(("edit", "edit", "move", "move", "delete", "overwrite", "add", "relabel", "scale", "anew"))
    made = chance.choice(MADE[:-1])  # there are no PodMonitors here
    if what == "edit" or (what == "move" and model == ADDRESSED):
        yield Step(at=at, model=model, what="edit", value=_spec(chance, model, seed))
    elif what == "move":
        yield Step(at=at, model=model, what=what, value=chance.randint(1, VERSIONS))
    elif what == "delete":
        yield Step(at=at, model=model, what=what, kind=chance.choice((made, DEPLOYMENT, POD)), which=which)
    elif what == "overwrite":
        kind = chance.choice(list(THEIRS))
        yield Step(at=at, model=model, what=what, kind=kind, which=which, value=THEIRS[kind])
    elif what == "add":
        kind = chance.choice(list(ADDED))
        yield Step(at=at, model=model, what=what, kind=kind, which=which, value=ADDED[kind])
    elif what == "relabel":
        label = chance.choice((names.DEPLOYMENT, names.MANAGED_BY, names.REVISION))
        value = {label: chance.choice((None, "theirs", REGISTERED, ADDRESSED))}
        yield Step(at=at, model=model, what=what, kind=made, which=which, value=value)
    elif what == "scale":  # not to none: an autoscaler leaves a Deployment of none alone, and so do we
        yield Step(at=at, model=model, what=what, kind=DEPLOYMENT, which=which, value=chance.randint(1, 3))
    else:
        yield Step(at=at, model=model, what="end")
        yield Step(at=at + chance.choice((0, 0.3, 1)), model=model, what="edit", value=_spec(chance, model, seed))


def _spec(chance: random.Random, model: str, seed: int) -> dict[str, Any]:
    version = chance.randint(1, VERSIONS)
    addressed = {"uri": f"s3://models/{version}", "digest": f"sha256:{version:064x}"}
    metric = chance.choice(({"type": "CPU", "averageUtilization": 70}, {"type": "Memory", "averageValue": "1024Mi"}))
    spec: dict[str, Any] = {
        "model": {"uri": alias(seed)} if model == REGISTERED else addressed,
        "resources": {"requests": {"memory": chance.choice(("512Mi", "1024Mi"))}},
        "autoscaling": chance.choice(
            (
                {"type": "None", "replicas": 1},
                {"type": "None", "replicas": 2},
                {"type": "HPA", "minReplicas": 1, "maxReplicas": 3, "metrics": [metric]},
                {"type": "External"},
            )
        ),
        "rollout": {"type": chance.choice(("RollingUpdate", "RollingUpdate", "Recreate"))},
    }
    if chance.random() < 0.5:
        spec["route"] = {"parentRefs": [{"name": "public"}], "hostnames": [f"{model}.example.com"]}
    return spec


def alias(seed: int) -> str:
    """The reference that a seed's registered model follows."""
    return f"models:/shared@seed-{seed}"


async def act(step: Step, api: Api, namespace: str, move: Callable[[int], Awaitable[None]]) -> None:
    """Let it happen. What it would have happened to may have gone meanwhile: then nothing does."""
    try:
        if step.what == "edit":
            await _edit(step, api, namespace)
        elif step.what == "end":
            await api.delete(MODEL_DEPLOYMENT, namespace, step.model)
        elif step.what == "move":
            await move(step.value)
        else:
            assert step.kind is not None
            found = [
                raw for raw in await api.list(step.kind, namespace) if raw["metadata"]["name"].startswith(step.model)
            ]
            if found:
                await _meddle(step, api, found[step.which % len(found)])
    except Answered as answered:
        if answered.code not in (404, 409):
            raise


async def _edit(step: Step, api: Api, namespace: str) -> None:
    await api.apply(MODEL_DEPLOYMENT, model_deployment(step.model, namespace, **step.value), manager="user")


async def _meddle(step: Step, api: Api, raw: Mapping[str, Any]) -> None:
    assert step.kind is not None
    place = (raw["metadata"]["namespace"], raw["metadata"]["name"])
    if step.what == "delete":
        await api.delete(step.kind, *place)
    elif step.what == "overwrite":
        metadata = {name: raw["metadata"][name] for name in ("name", "namespace", "uid")}  # never one that is new
        named = {"apiVersion": step.kind.api_version, "kind": step.kind.name, "metadata": metadata}
        await api.apply(step.kind, {**named, "spec": step.value}, manager="somebody")
    elif step.what == "add":
        await api.merge(step.kind, *place, {"spec": step.value})
    elif step.what == "relabel":
        await api.merge(step.kind, *place, {"metadata": {"labels": step.value}})
    else:
        await api.merge(step.kind, *place, {"spec": {"replicas": step.value}}, "/scale")
