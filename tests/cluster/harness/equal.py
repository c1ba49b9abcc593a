"""Whether a namespace holds what the ModelDeployments in it ask for: what the pure functions want, that, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.api import Api
from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments import plan
from pointsman.planning import written
from pointsman_operator import names
from pointsman_operator.desired import desired, writes
from pointsman_operator.observe import observe
from pointsman_operator.reading import Unreadable, read
from pointsman_operator.seen import (
    DEPLOYMENT,
    INFERENCE_SERVICE,
    MADE,
    MODEL_DEPLOYMENT,
    POD,
    Installed,
    Probe,
    Raw,
    Reference,
    Seen,
)

KINDS = (MODEL_DEPLOYMENT, *MADE[:-1], DEPLOYMENT, POD)
WHOLE = ("selector", "podSelector")
"""Fields of a spec that mean something else where anything is added"""
RUNTIMES = frozenset({"/pointsman-native", "/pointsman-triton", "/pointsman-kserve-python"})

Objects = Mapping[str, list[Raw]]
"""By the name of the kind"""


async def everything(api: Api) -> Mapping[str, Objects]:
    """All objects of interest, by namespace."""
    found = dict[str, dict[str, list[Raw]]]()
    for kind in KINDS:
        for raw in await api.list(kind):
            found.setdefault(raw["metadata"]["namespace"], {}).setdefault(kind.name, []).append(raw)
    return found


def differences(objects: Objects, references: Mapping[str, Reference], drain: timedelta) -> list[str]:
    """What is not as it should be, in words. `references` says by name what each model means; all models answer."""
    found, wanted = list[str](), set[tuple[str, str]]()
    for raw in objects.get(MODEL_DEPLOYMENT.name, ()):
        name = raw["metadata"]["name"]
        children, differ = _of_one(raw, objects, references[name], drain)
        wanted |= children
        found += [f"{name}: {each}" for each in differ]
    there = {(kind.name, raw["metadata"]["name"]) for kind in MADE for raw in objects.get(kind.name, ())}
    found += [f"nobody asks for the {kind} {name}" for kind, name in sorted(there - wanted)]
    return [*found, *_left_over(objects)]


def _of_one(
    raw: Raw, objects: Objects, reference: Reference, drain: timedelta
) -> tuple[set[tuple[str, str]], Iterator[str]]:
    name, now = raw["metadata"]["name"], datetime.now(UTC)
    labelled = {kind: [each for each in some if _label(each) == name] for kind, some in objects.items()}
    deployment = read(raw, ModelDeployment)
    assert not isinstance(deployment, Unreadable), deployment
    seen = Seen(
        deployment=raw,
        objects=labelled,
        runtimes=RUNTIMES,
        probes={each["metadata"]["name"]: Probe(answered=True) for each in labelled.get(INFERENCE_SERVICE.name, ())},
        installed=Installed(kserve=("v1beta1",), gateway=True),
        now=now,
    )
    observed = observe(deployment, seen, reference)
    decided = plan.decide(observed, now)
    asked = desired(deployment, decided, seen, drain=drain)

    def differ() -> Iterator[str]:
        pending = writes(asked, seen)
        yield from (f"{child.kind.name} {child.name} is to be written" for child in pending.apply)
        yield from (f"{each.deployment} is to have {each.replicas} replicas" for each in pending.scale)
        yield from (f"{kind.name} {each['metadata']['name']} is to be deleted" for kind, each in pending.delete)
        if decided.serve != observed.wanted:
            yield f"{decided.serve} serves, not {observed.wanted}: {raw.get('status')}"
        for child in asked.children:
            made = seen.one(child.kind, child.name) or {}
            yield from (
                f"{child.kind.name} {child.name} has another {field}: {made.get('spec', {}).get(field)}"
                for field in WHOLE
                if field in child.document["spec"] and made.get("spec", {}).get(field) != child.document["spec"][field]
            )
            if made and not seen.is_ours(made):
                yield f"{child.kind.name} {child.name} is not its own"
        status = written(decided.told, seen.status, generation=observed.generation, now=now)
        said = {field: value for field, value in seen.status.items() if field != "url"}
        if said != status:
            yield f"its status is {said}, not {status}"

    return {(child.kind.name, child.name) for child in asked.children}, differ()


def _left_over(objects: Objects) -> Iterator[str]:
    """Deployments of no InferenceService, and more or fewer pods than a Deployment asks for."""
    services = {raw["metadata"]["uid"] for raw in objects.get(INFERENCE_SERVICE.name, ())}
    owners = [_owner(raw) for raw in objects.get(POD.name, ())]
    for raw in objects.get(DEPLOYMENT.name, ()):
        if _owner(raw) not in services:
            yield f"the Deployment {raw['metadata']['name']} belongs to nothing"
        there = owners.count(raw["metadata"]["uid"])
        if there != raw["spec"]["replicas"]:
            yield f"the Deployment {raw['metadata']['name']} has {there} pods"
    known = {raw["metadata"]["uid"] for raw in objects.get(DEPLOYMENT.name, ())}
    yield from ("a pod belongs to nothing" for owner in owners if owner not in known)


def _label(raw: Raw) -> Any:
    return raw["metadata"].get("labels", {}).get(names.DEPLOYMENT)


def _owner(raw: Raw) -> Any:
    return next((owner["uid"] for owner in raw["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)
