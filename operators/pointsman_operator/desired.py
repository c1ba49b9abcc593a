"""What is to be in the cluster for one plan, and what has to be written to get there. Pure: the same input, the same writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.values import Quantity
from pointsman.deployments.plan import Plan
from pointsman_operator.resources import scaling, surroundings, traffic
from pointsman_operator.resources.inference_service import inference_service, shape
from pointsman_operator.seen import DEPLOYMENT, MADE, Child, Kind, Raw, Scale, Seen

WHOLE = frozenset({"selector", "podSelector", "namespaceSelector", "labelSelector", "nodeSelector"})
"""Maps that mean something else with anything beside what is wanted"""
AMOUNTS = frozenset({"limits", "requests", "averageValue", "sizeLimit"})
"""Quantities: 1024Mi is kept as 1Gi"""


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What is wanted: objects, numbers of replicas, and the revisions whose objects stay as they are.

    `look_again` is the moment at which less will be wanted, None where only an event can change it.
    """

    children: tuple[Child, ...]
    scales: tuple[Scale, ...]
    kept: frozenset[str]
    look_again: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What differs: objects to apply in this order, then numbers to set, then objects to delete."""

    apply: tuple[Child, ...]
    scale: tuple[Scale, ...]
    delete: tuple[tuple[Kind, Raw], ...]

    def __bool__(self) -> bool:
        return bool(self.apply or self.scale or self.delete)


def desired(deployment: ModelDeployment, plan: Plan, seen: Seen, *, drain: timedelta) -> Desired:
    """Everything that the plan needs. A revision of another shape than the spec's stays as it was made."""
    owner, spec, now_shape = seen.deployment, deployment.spec, shape(deployment.spec)
    rendered = [pinned for pinned in plan.run if pinned.shape == now_shape]
    kept = {pinned.revision for pinned in plan.run if pinned.shape != now_shape}
    draining = _draining(plan, drain, seen.now)
    found = [
        *(inference_service(owner, deployment, pinned) for pinned in rendered),
        traffic.service(owner, spec, plan.serve),
        *(scaling.autoscaler(owner, deployment, pinned) for pinned in rendered),
        scaling.disruption_budget(owner),
        surroundings.network_policy(owner, spec),
        *(traffic.routes(owner, spec) if seen.installed.gateway else ()),
        surroundings.pod_monitor(owner, spec) if seen.installed.monitors else None,
    ]
    scales = (scaling.scale(deployment, pinned) for pinned in rendered)
    return Desired(
        children=tuple(each for each in found if each is not None),
        scales=tuple(each for each in scales if each is not None),
        kept=frozenset({*kept, *draining}),
        look_again=min(draining.values(), default=None),
    )


def writes(wanted: Desired, seen: Seen) -> Writes:
    """What differs between what is wanted and what is seen. What belongs to somebody else is never deleted."""
    scale = []
    for each in wanted.scales:
        found = seen.one(DEPLOYMENT, each.deployment)
        if found is not None and found.get("spec", {}).get("replicas") != each.replicas:
            scale.append(each)
    return Writes(
        apply=tuple(each for each in wanted.children if _differs(each, seen)),
        scale=tuple(scale),
        delete=tuple(_no_longer_wanted(wanted, seen)),
    )


def is_part(wanted: object, found: object) -> bool:
    """Whether everything that is wanted is found: maps hold at least as much, lists as many and each at its place.

    A map of WHOLE holds nothing else. What is empty may be missing, and AMOUNTS may be written in another way: so the API server
    keeps them.
    """
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found, key, value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(wanted) == len(found)
            and all(is_part(mine, theirs) for mine, theirs in zip(wanted, found, strict=True))
        )
    return wanted == found


def _holds(found: Mapping[str, object], key: str, value: object) -> bool:
    if key not in found:
        return value in ({}, [])
    if key in WHOLE:
        return value == found[key]
    if key in AMOUNTS:
        return is_part(_amounts(value), _amounts(found[key]))
    return is_part(value, found[key])


def _amounts(value: object) -> object:
    """As numbers, where they are amounts."""
    if isinstance(value, Mapping):
        return {key: _amounts(each) for key, each in value.items()}
    try:
        return Quantity.of(value).value
    except ValueError:
        return value


def _differs(child: Child, seen: Seen) -> bool:
    found = seen.one(child.kind, child.name)
    if found is not None and found["metadata"].get("deletionTimestamp"):
        return False  # its end is an event, and then it is made anew
    return found is None or not is_part(child.document, found)


def _no_longer_wanted(wanted: Desired, seen: Seen) -> Iterator[tuple[Kind, Raw]]:
    known = {(child.kind.name, child.name) for child in wanted.children}
    kept = {f"{seen.name}-{revision}" for revision in wanted.kept}
    for kind in MADE:
        for raw in seen.of(kind):
            metadata = raw["metadata"]
            if (
                seen.is_ours(raw)
                and (kind.name, metadata["name"]) not in known
                and metadata["name"] not in kept
                and not metadata.get("deletionTimestamp")
            ):
                yield kind, raw


def _draining(plan: Plan, drain: timedelta, now: datetime) -> dict[str, datetime]:
    """The revisions that served before this one, and until when each stays for what is under way there."""
    if plan.serve is None:
        return {}
    ends = {
        str(entry.get("revision")): datetime.fromisoformat(str(entry["servedUntil"])) + drain
        for entry in plan.told.fields["history"]
        if "servedUntil" in entry and entry.get("revision") != plan.serve.revision
    }
    return {revision: until for revision, until in ends.items() if until > now}
