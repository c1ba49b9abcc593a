"""What is seen of a ModelDeployment in the cluster, as the plan of all worlds takes it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Abilities, Observed, Pinned, RevisionState, RouteState, Unresolved
from pointsman_operator import names
from pointsman_operator.causes.cause import Cause, condition, items, shortened
from pointsman_operator.causes.containers import PodSeen
from pointsman_operator.causes.revision import cause_of_revision
from pointsman_operator.refusals import refusals
from pointsman_operator.resources.inference_service import ports, runtime_name, shape
from pointsman_operator.seen import (
    DEPLOYMENT,
    GRPC_ROUTE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    POD,
    Installed,
    Raw,
    Reference,
    Seen,
)
from pointsman_operator.supported import KSERVE, judge

SERVED = "v1beta1"
"""The version of InferenceService that is written"""
RUNTIMES = frozenset({"Native", "Triton", "KServePython", "BentoML", "ServingRuntime", "Container"})
SETS_ASIDE: Mapping[str, str] = {
    "spec.slo": "no budget is kept yet",
    "spec.runtime.native.threads": "one thread infers",
}
SETS_ASIDE_BY: Mapping[str, Mapping[str, str]] = {
    "Native": {"spec.batching.maxQueueDelayMicroseconds": "requests are not joined"},
    "KServePython": {"spec.batching": "requests are neither joined nor split"},
    "BentoML": {"spec.batching.maxQueueDelayMicroseconds": "BentoML works out by itself how long a request waits"},
    "ServingRuntime": {"spec.batching": "what runs the model decides by itself"},
    "Container": {"spec.batching": "what runs the model decides by itself"},
}
"""What a runtime sets aside beside that"""
NO_GATEWAY = "the Gateway API is not installed: the model is reached inside the cluster, through its Service"


def observe(deployment: ModelDeployment, seen: Seen, reference: Reference) -> Observed:
    """One observation. What the reference means comes from the registry, what served from the status."""
    wanted, serving = _wanted(deployment, reference), served(seen.status)
    running = {
        pinned.key: state
        for pinned in (wanted, serving)
        if pinned is not None and (state := _state(deployment, seen, pinned, has_served=pinned == serving)) is not None
    }
    return Observed(
        deployment=deployment,
        generation=int(seen.deployment["metadata"].get("generation", 0)),
        wanted=wanted,
        trouble=reference.trouble,
        serving=serving,
        running=running,
        in_use=seen.in_use,
        abilities=_abilities(deployment, seen.installed),
        history=tuple(seen.status.get("history", ())),
        route=_route(deployment, seen),
        held=_held(deployment, seen),
        refused=seen.refused,
    )


def served(status: Raw) -> Pinned | None:
    """What the status says was decided to serve."""
    if not all(status.get(field) for field in ("uri", "version", "digest", "source", "shape")):
        return None
    return Pinned(**{name: str(status[name]) for name in ("uri", "version", "digest", "source", "shape")})


def _wanted(deployment: ModelDeployment, reference: Reference) -> Pinned | None:
    if reference.version is None or reference.digest is None:
        return None
    return Pinned(
        uri=reference.uri,
        version=reference.version,
        digest=reference.digest,
        source=reference.source,
        shape=shape(deployment.spec),
    )


def _abilities(deployment: ModelDeployment, installed: Installed) -> Abilities:
    aside = {**SETS_ASIDE, **SETS_ASIDE_BY.get(deployment.spec.runtime.type, {})}
    if not installed.gateway:
        aside["spec.route"] = NO_GATEWAY
    return Abilities(runtimes=RUNTIMES, sets_aside=aside)


def _held(deployment: ModelDeployment, seen: Seen) -> Unresolved | None:
    """The first thing for which nothing may be touched."""
    refused = refusals(deployment)
    if refused:
        return Unresolved(reason=Reason.NotHonouredHere, message="; ".join(map(str, refused)))
    if not seen.installed.kserve:
        message = "KServe is not installed: install it, and everything goes on by itself"
        return Unresolved(reason=Reason.KServeNotFound, message=message)
    if SERVED not in seen.installed.kserve:
        message = f"KServe serves InferenceService as {', '.join(seen.installed.kserve)}, not as {SERVED}"
        return Unresolved(reason=Reason.KServeUnsupported, message=message)
    release = seen.installed.kserve_release
    unsupported = judge(KSERVE, release) if release is not None else None
    if unsupported is not None and unsupported.is_too_old:
        return Unresolved(reason=Reason.KServeUnsupported, message=unsupported.message)
    name = runtime_name(deployment.spec)
    if name is not None and name not in seen.runtimes and f"/{name}" not in seen.runtimes:
        message = f'the serving runtime "{name}" does not exist: apply it, in this namespace or for the cluster'
        return Unresolved(reason=Reason.RuntimeNotFound, message=message)
    return None


def _state(deployment: ModelDeployment, seen: Seen, pinned: Pinned, *, has_served: bool) -> RevisionState | None:
    """What is seen of a revision; None where it has no InferenceService.

    One that has served is taken to answer until it is heard otherwise: an operator that starts anew has heard nothing yet.
    """
    service = names.inference_service(deployment.name, pinned)
    raw = seen.one(INFERENCE_SERVICE, service)
    if raw is None or not seen.is_ours(raw):
        return None
    pods = pods_of(seen, pinned.revision)
    ready = sum(condition(each.pod, "Ready").get("status") == "True" for each in pods)
    cause = cause_of_service(seen, raw)
    why, reason = (cause.message, cause.reason) if cause is not None else ("", Reason.ModelStarting)
    probe = seen.probes.get(service)
    if deployment.spec.autoscaling.type == "None" and deployment.spec.autoscaling.replicas == 0:
        return RevisionState(state="Starting", cause="spec.autoscaling.replicas is 0", reason=Reason.Suspended)
    if not ready:
        failing = cause is not None and (has_served or not cause.passes)
        return RevisionState(state="Failing" if failing else "Starting", cause=why, reason=reason, replicas=0)
    if probe is None and not has_served:
        return RevisionState(state="Starting", cause="its probe inference is under way", reason=Reason.ModelStarting)
    if probe is not None and not probe.answered:
        said = f"its pods are ready and its probe inference is not answered: {probe.cause}"
        return RevisionState(state="Failing", cause=said, reason=Reason.ProbeFailed)
    return RevisionState(state="Answering", cause=why, reason=reason, replicas=ready)


def cause_of_service(seen: Seen, service: Raw) -> Cause | None:
    """Why the InferenceService of a revision does not serve; None where nothing is known to be wrong."""
    revision = str(service["metadata"].get("labels", {}).get(names.REVISION))
    deployment = seen.one(DEPLOYMENT, names.predictor(service["metadata"]["name"]))
    return cause_of_revision(deployment, pods_of(seen, revision)) or _kserve_says(service)


def pods_of(seen: Seen, revision: str) -> list[PodSeen]:
    """The pods of a revision that are not on their way out."""
    return [
        PodSeen(pod=pod, warnings=tuple(_warnings(seen, pod)), largest=seen.largest)
        for pod in seen.of(POD)
        if pod["metadata"].get("labels", {}).get(names.REVISION) == revision
        and not pod["metadata"].get("deletionTimestamp")
    ]


def _warnings(seen: Seen, pod: Raw) -> Iterator[tuple[str, str]]:
    for event in seen.events.get(str(pod["metadata"].get("uid")), ()):
        yield str(event.get("reason", "")), str(event.get("message", ""))


def _kserve_says(service: Raw) -> Cause | None:
    """KServe's own words, where it could not even make a Deployment."""
    model = service.get("status", {}).get("modelStatus", {})
    failure = model.get("lastFailureInfo", {})
    if model.get("transitionStatus") == "InvalidSpec":
        said = shortened(str(failure.get("message", "")))
        return Cause(reason=Reason.PodRefused, message=f"KServe refuses the InferenceService: {said}")
    predictor = condition(service, "PredictorReady")
    if predictor.get("status") == "False" and "rror" in str(predictor.get("reason", "")):
        said = shortened(str(predictor.get("message", "")))
        return Cause(reason=Reason.PodRefused, message=f"KServe cannot make the pods: {said}")
    return None


def _route(deployment: ModelDeployment, seen: Seen) -> RouteState | None:
    """What the Gateways say of the routes: of the first that is not taken, else of all."""
    if deployment.spec.route is None or not seen.installed.gateway:
        return None
    gateways = " and ".join(f'"{parent.name}"' for parent in deployment.spec.route.parent_refs)
    routes = [raw for kind in (HTTP_ROUTE, GRPC_ROUTE) for raw in seen.of(kind) if seen.is_ours(raw)]
    said = [answer for raw in routes for answer in items(raw, "status", "parents")]
    for answer in said:
        for type_ in ("Accepted", "ResolvedRefs"):
            found: Raw = next((each for each in answer.get("conditions", ()) if each.get("type") == type_), {})
            if found.get("status") == "False":
                return RouteState(accepted=False, reason=Reason.RouteNotAccepted, message=_refusal(answer, found))
    if not said:
        message = f"no controller has answered for the Gateway {gateways}: is it there?"
        return RouteState(accepted=None, reason=Reason.Progressing, message=message)
    alone = "" if ports(deployment.spec)[1] is not None else ", for HTTP alone: the runtime offers no gRPC"
    return RouteState(accepted=True, message=f"the Gateway {gateways} takes the route{alone}")


def _refusal(answer: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    gateway = answer.get("parentRef", {}).get("name", "?")
    return (
        f'the Gateway "{gateway}" does not take the route: {found.get("reason")}: {shortened(found.get("message", ""))}'
    )
