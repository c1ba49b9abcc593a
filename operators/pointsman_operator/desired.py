"""What is to be in the cluster for one plan, and what has to be written to get there. Pure: the same input, the same writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Plan
from pointsman_operator.differences import Writes, differing, unwanted
from pointsman_operator.resources import scaling, surroundings, traffic
from pointsman_operator.resources.inference_service import inference_service, shape
from pointsman_operator.seen import DEPLOYMENT, MADE, Child, Scale, Seen


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What is wanted: objects, numbers of replicas, and the revisions whose objects stay as they are.

    `look_again` is the moment at which less will be wanted, None where only an event can change it.
    """

    children: tuple[Child, ...]
    scales: tuple[Scale, ...]
    kept: frozenset[str]
    look_again: datetime | None = None


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
    kept = {f"{seen.name}-{revision}" for revision in wanted.kept}
    return Writes(
        apply=differing(wanted.children, seen),
        scale=tuple(scale),
        delete=tuple(unwanted(MADE, wanted.children, seen, stays=lambda raw: raw["metadata"]["name"] in kept)),
    )


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
