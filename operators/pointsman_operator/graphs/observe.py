"""What is seen of a namespace's graphs in the cluster, as the plans of all worlds take it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pointsman.api.conditions import READY, Condition, from_dicts
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.reasons import Reason
from pointsman.certificates.awaiting import Awaiting
from pointsman.certificates.report import BandReport
from pointsman.deployments.plan import Unresolved
from pointsman.graphs import pod
from pointsman.graphs.activity import QUIET, Activity
from pointsman.graphs.plan import HostState
from pointsman.graphs.references import Placement
from pointsman.graphs.resolve import ResolvedModel
from pointsman.ingest.report import SourceReport
from pointsman.planning import Told
from pointsman_operator import names
from pointsman_operator.causes.cause import Cause, condition, last_line
from pointsman_operator.causes.containers import PodSeen
from pointsman_operator.causes.revision import cause_of_revision
from pointsman_operator.graphs.seen import Answer, SeenNamespace
from pointsman_operator.observe import served
from pointsman_operator.resources.source import REGISTERED
from pointsman_operator.seen import DEPLOYMENT, JOB, POD, RAY_SERVICE, Raw
from pointsman_operator.supported import KUBERAY, judge

Form = TypeVar("Form", bound=BaseModel)

SERVE_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})
"""What Serve calls an application that does not answer"""


def models(seen: SeenNamespace) -> dict[str, Told]:
    """What all ModelDeployments say of themselves."""
    return {str(raw["metadata"]["name"]): told_before(raw) for raw in seen.deployments}


def answering(seen: SeenNamespace) -> frozenset[str]:
    """The ModelDeployments of which a revision answers, whatever else is still to come of them."""
    return frozenset(
        str(raw["metadata"]["name"])
        for raw in seen.deployments
        if served(raw.get("status") or {}) is not None and (raw["status"].get("replicas") or 0) > 0
    )


def model(seen: SeenNamespace, deployment: str, placement: Placement) -> ResolvedModel | None:
    """What serves of a ModelDeployment: pinned to its version's files, or where it is remote to its revision's pods."""
    raw = next((each for each in seen.deployments if each["metadata"]["name"] == deployment), None)
    pinned = served(raw.get("status") or {}) if raw is not None else None
    if pinned is None:
        return None
    remote = placement == "Remote"
    service = names.predictor(names.inference_service(deployment, pinned))
    return ResolvedModel(
        deployment=deployment,
        name=deployment,
        version=pinned.version,
        digest=pinned.digest,
        folder=f"{pod.MODELS_FOLDER}/{pinned.digest.removeprefix('sha256:')}",
        placement=placement,
        url=f"http://{service}.{seen.namespace}.svc" if remote else None,
        revision=pinned.revision if remote else None,
        source=pinned.source if pinned.source.startswith(REGISTERED) else None,
    )


def accepted(graph: DecisionGraph, seen: SeenNamespace) -> Unresolved | None:
    """The first thing for which nothing of a graph may be touched; None where there is none."""
    if graph.spec.runtime.type != "RayServe":
        return None
    if not seen.installed.kuberay:
        message = "KubeRay is not installed: install it, or choose spec.runtime.type: Embedded"
        return Unresolved(reason=Reason.KubeRayNotFound, message=message)
    release = seen.installed.kuberay_release
    unsupported = judge(KUBERAY, release) if release is not None else None
    if unsupported is not None and unsupported.is_too_old:
        return Unresolved(reason=Reason.KubeRayUnsupported, message=unsupported.message)
    return None


def store(seen: SeenNamespace, job: str) -> Condition:
    """Whether the decision store was migrated to this release, by the Job of this name."""
    raw = seen.one(JOB, job)
    if raw is not None and (raw.get("status") or {}).get("succeeded"):
        return Condition(type="StoreReady", status="True", reason=Reason.StoreReady)
    cause = cause_of_revision(None, pods_with(seen, {names.PART: "migrate"}))
    if cause is not None and not cause.passes:
        reason = Reason.StoreNotPrepared if cause.reason in (Reason.Crashing, Reason.FetchFailed) else cause.reason
        message = f"the decision store is not prepared: {cause.message}"
        return Condition(type="StoreReady", status="False", reason=reason, message=message)
    message = "the decision store is being prepared for this release"
    return Condition(type="StoreReady", status="Unknown", reason=Reason.Progressing, message=message)


def dispatcher(seen: SeenNamespace) -> Condition:
    """Whether what takes actions to targets is there."""
    if seen.dispatcher is not None and not seen.dispatcher.cause:
        return Condition(type="Dispatched", status="True", reason=Reason.DispatcherReady)
    pods, deployment = pods_with(seen, {names.PART: "dispatcher"}), seen.one(DEPLOYMENT, names.DISPATCHER)
    cause = cause_of_revision(deployment, pods)
    if cause is not None and not cause.passes:
        message = f"nothing takes actions to it: the dispatcher does not run: {cause.message}"
        return Condition(type="Dispatched", status="False", reason=cause.reason, message=message)
    return Condition(
        type="Dispatched", status="Unknown", reason=Reason.Progressing, message="the dispatcher is being started"
    )


def dispatcher_is_unheard(seen: SeenNamespace) -> bool:
    """Whether there is a dispatcher that has said nothing since this operator began: nothing is said of its targets either."""
    return seen.one(DEPLOYMENT, names.DISPATCHER) is not None and seen.dispatcher is None


def hosts(graph: DecisionGraph, seen: SeenNamespace, status: Raw) -> dict[str, HostState]:
    """The hosts of a graph that there are, by shape."""
    found = dict[str, HostState]()
    for kind in (RAY_SERVICE, DEPLOYMENT):
        for raw in seen.of(kind):
            labels = raw["metadata"].get("labels", {})
            if labels.get(names.GRAPH) == graph.name and names.SHAPE in labels and seen.is_ours(raw):
                shape = str(labels[names.SHAPE])
                found[shape] = _host(graph, shape, seen, status)
    return found


def is_unheard(graph: DecisionGraph, seen: SeenNamespace, status: Raw) -> bool:
    """Whether a host that decides by the status has said nothing since this operator began: nothing is said of it either."""
    shape = status.get("shape")
    return bool(status.get("revision")) and any(
        raw["metadata"]["name"] == names.host(graph.name, str(shape)) and raw["metadata"]["name"] not in seen.hosts
        for kind in (RAY_SERVICE, DEPLOYMENT)
        for raw in seen.of(kind)
    )


def draining(status: Raw) -> dict[str, datetime]:
    """The shapes that decisions have left, and when."""
    return {str(each["shape"]): datetime.fromisoformat(str(each["since"])) for each in status.get("draining", ())}


def sources(seen: SeenNamespace) -> dict[str, SourceReport | None]:
    """By graph, what the host that reads its stream's source says of it. Hosts that stand by say nothing."""
    return {graph: report for graph, body in _deciding(seen) if (report := _told(SourceReport, body.get("source")))}


def activities(seen: SeenNamespace) -> dict[str, Activity]:
    """By graph, what the host that decides says of its decisions. Hosts that stand by say nothing."""
    return {graph: _activity(body) for graph, body in _deciding(seen) if not body.get("standby")}


def _activity(body: Mapping[str, Any]) -> Activity:
    return _told(Activity, body.get("activity")) or QUIET


def _told(form: type[Form], said: object) -> Form | None:
    """What a host says in this form; None where one of another release says it in another, until it is replaced."""
    try:
        return form.model_validate(said)
    except ValidationError:
        return None


def _deciding(seen: SeenNamespace) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The graph and the answer of every host that is ready."""
    for kind in (RAY_SERVICE, DEPLOYMENT):
        for raw in seen.of(kind):
            answer, graph = seen.hosts.get(raw["metadata"]["name"]), raw["metadata"].get("labels", {}).get(names.GRAPH)
            if answer is not None and answer.status == 200 and graph is not None:
                yield graph, answer.body


def _host(graph: DecisionGraph, shape: str, seen: SeenNamespace, status: Raw) -> HostState:
    name = names.host(graph.name, shape)
    answer = seen.hosts.get(name)
    is_known = shape == status.get("shape") and bool(status.get("revision"))
    generation = int(status.get("revisionGeneration", 0)) if is_known else None
    state = HostState(running=True, answering=False, shape=shape, generation=generation)
    if answer is not None and not answer.cause:
        return _heard(state, answer, known=status.get("revision") if is_known else None)
    why = _cause(graph, shape, seen)
    if why is None:
        return state
    return HostState(
        running=True,
        answering=False,
        shape=shape,
        generation=generation,
        cause=why.message,
        reason=why.reason,
        failing=not why.passes,
    )


def _heard(state: HostState, answer: Answer, *, known: Any) -> HostState:
    """What a host says of itself. A standby that has answered its probe decision says that it is ready."""
    body: Mapping[str, Any] = answer.body
    revision, refused = str(body.get("revision") or ""), body.get("refused") or {}
    reason = _reason(str(body.get("reason")))
    is_ready = answer.status == 200 and bool(body.get("ready"))
    message = " ".join(str(body.get("message") or "").split())
    return HostState(
        running=True,
        answering=is_ready,
        shape=state.shape,
        revision=revision or None,
        generation=state.generation if known == revision else None,
        refused=str(refused["revision"]) if refused else None,
        cause=" ".join(str(refused.get("message", "")).split())
        if refused and is_ready
        else ""
        if is_ready
        else message,
        reason=None if is_ready else reason,
        failing=not is_ready and reason in FAILING,
        bands=tuple(band for each in body.get("bands") or () if (band := _told(BandReport, each)) is not None),
        automatic_percent=_activity(body).automatic_percent,
        reviews=_activity(body).reviews,
        awaits=_told(Awaiting, body.get("awaits")),
    )


def _reason(name: str) -> Reason | None:
    """None where a host of another release says something else."""
    try:
        return Reason(name)
    except ValueError:
        return None


FAILING = frozenset({Reason.DatabaseUnreachable, Reason.HostFailed, Reason.ArtifactRefused, Reason.DigestMismatch})
"""What a host says of itself that somebody must act on"""


def _cause(graph: DecisionGraph, shape: str, seen: SeenNamespace) -> Cause | None:
    """Why a host says nothing: its pods' causes, or what Ray says of it."""
    name = names.host(graph.name, shape)
    of_pods = cause_of_revision(seen.one(DEPLOYMENT, name), pods_with(seen, names.graph_labels(graph.name, shape)))
    return of_pods or _of_ray(graph, seen.one(RAY_SERVICE, name))


def _of_ray(graph: DecisionGraph, raw: Raw | None) -> Cause | None:
    status = (raw or {}).get("status") or {}
    ready = condition(raw or {}, READY)
    if ready.get("reason") == "ValidationFailed":
        message = f"KubeRay refuses the RayService: {last_line(str(ready.get('message', '')))}"
        return Cause(reason=Reason.PodRefused, message=message)
    for part in ("activeServiceStatus", "pendingServiceStatus"):
        found = status.get(part) or {}
        cluster = condition({"status": found.get("rayClusterStatus") or {}}, "ReplicaFailure")
        if cluster.get("status") == "True":
            message = f"KubeRay cannot make the pods: {last_line(str(cluster.get('message', '')))}"
            return Cause(reason=Reason.PodRefused, message=message)
        application = (found.get("applicationStatuses") or {}).get(graph.name) or {}
        if application.get("status") in SERVE_FAILED:
            said = last_line(str(application.get("message", ""))) or str(application["status"])
            return Cause(reason=Reason.HostFailed, message=f"Ray Serve does not run the graph: {said}")
    return None


def pods_with(seen: SeenNamespace, labels: Mapping[str, str]) -> list[PodSeen]:
    """Those with these labels that are not on their way out, and are not done."""
    return [
        PodSeen(
            pod=each,
            warnings=tuple(
                (str(event.get("reason", "")), str(event.get("message", "")))
                for event in seen.events.get(str(each["metadata"].get("uid")), ())
            ),
            largest=seen.largest,
        )
        for each in seen.of(POD)
        if labels.items() <= each["metadata"].get("labels", {}).items()
        and not each["metadata"].get("deletionTimestamp")
        and (each.get("status") or {}).get("phase") != "Succeeded"
    ]


def told_before(raw: Raw) -> Told:
    """What an object's status says. What it says of an older spec counts as not said yet."""
    status = raw.get("status") or {}
    try:
        said = from_dicts(status.get("conditions", ()))
    except (KeyError, ValueError):  # written by a release with other reasons
        said = []
    is_current = status.get("observedGeneration") == raw["metadata"].get("generation")
    if not is_current or not any(each.type == READY for each in said):
        said = [Condition(type=READY, status="Unknown", reason=Reason.Progressing)]
    return Told(conditions=tuple(said), fields={})
