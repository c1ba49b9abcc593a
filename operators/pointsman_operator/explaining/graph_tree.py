"""The tree of what a DecisionGraph refers to and consists of on the cluster, each thing with its state, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pointsman.api.conditions import READY
from pointsman.explained import Line, Standing, Verdict, conditions_of, explained, headed, standing
from pointsman_operator import names
from pointsman_operator.causes.cause import condition, last_line
from pointsman_operator.causes.containers import cause_of_pod
from pointsman_operator.explaining import words
from pointsman_operator.explaining.blame import Blame, in_pod
from pointsman_operator.explaining.drawing import Drawing, Logs
from pointsman_operator.graphs.observe import pods_with
from pointsman_operator.graphs.seen import SeenNamespace
from pointsman_operator.seen import (
    ACTION_TARGET,
    DECISION_GRAPH,
    DEPLOYMENT,
    EVENT_STREAM,
    FEATURE_VIEW,
    JOB,
    POD,
    RAY_SERVICE,
    Kind,
    Raw,
)

SHARED: Mapping[str, tuple[Kind, str]] = {
    "migrate": (JOB, "prepares the decision store"),
    "api": (DEPLOYMENT, "the API"),
    "dispatcher": (DEPLOYMENT, "takes actions to targets"),
}
"""What all graphs of a namespace share, by part"""
DECIDED_BY: Mapping[str, Mapping[str, str]] = {
    "StoreReady": {names.PART: "migrate"},
    "Dispatched": {names.PART: "dispatcher"},
}
"""The pods that a condition is about, where it is not about the graph's own"""


def explain(seen: SeenNamespace, raw: Raw, references: Sequence[tuple[str, str]], logs: Logs) -> dict[str, Any]:
    """What `pointsman explain` prints of the graph. `references` are the kinds and names that it names."""
    status, name = raw.get("status") or {}, str(raw["metadata"]["name"])
    stands = standing(status, generation=int(raw["metadata"].get("generation", 0)))
    blamed = _blame(seen, name, status, stands)
    drawing = Drawing(seen=seen, blamed=blamed, logs=logs)
    below = [
        *conditions_of(status),
        *(_reference(seen, kind, each) for kind, each in references),
        *_hosts(drawing, seen, name, status),
        *_shared(drawing, seen),
    ]
    tree = headed(f"{DECISION_GRAPH.name}/{name}", stands, below)
    more = f"kubectl {blamed.more} -n {seen.namespace}" if blamed is not None else ""
    return explained(tree, Verdict(reason=stands.reason, more=more))


def _reference(seen: SeenNamespace, kind: str, name: str) -> Line:
    """Something that the graph names, and how that stands."""
    of_kind = {each.name: seen.of(each) for each in (EVENT_STREAM, FEATURE_VIEW, ACTION_TARGET)}
    known = [*of_kind.get(kind, ()), *(seen.deployments if kind not in of_kind else ())]
    raw = next((each for each in known if each["metadata"]["name"] == name), None)
    if raw is None:
        return Line(what=f"{kind}/{name}", state="does not exist")
    stands = standing(raw.get("status") or {}, generation=int(raw["metadata"].get("generation", 0)))
    message = f": {stands.message}" if stands.message else ""
    return Line(what=f"{kind}/{name}", state=f"Ready {stands.status}: {stands.reason}{message}")


def _hosts(drawing: Drawing, seen: SeenNamespace, graph: str, status: Raw) -> Iterator[Line]:
    """Each host with its pods, the one that decides first."""
    draining = {str(each["shape"]) for each in status.get("draining", ())}
    found = [
        (str(raw["metadata"]["labels"][names.SHAPE]), kind, raw)
        for kind in (RAY_SERVICE, DEPLOYMENT)
        for raw in seen.of(kind)
        if raw["metadata"].get("labels", {}).get(names.GRAPH) == graph and names.SHAPE in raw["metadata"]["labels"]
    ]
    for shape, kind, raw in sorted(found, key=lambda each: (each[0] != status.get("shape"), words.age(each[2]))):
        role = "decides" if shape == status.get("shape") else "drains" if shape in draining else "stands by"
        pods = [line for _, line in drawing.pods(_pods(seen, names.graph_labels(graph, shape)))]
        state = _of_ray(raw, graph) if kind is RAY_SERVICE else words.of_replicas(raw)
        yield Line(what=f"host {shape}", state=role, below=(drawing.line(kind, raw, state, pods),))


def _shared(drawing: Drawing, seen: SeenNamespace) -> Iterator[Line]:
    for part, (kind, what) in SHARED.items():
        for raw in seen.of(kind):
            if (
                raw["metadata"].get("labels", {}).get(names.PART) == part
                and names.SHAPE not in raw["metadata"]["labels"]
            ):
                pods = [line for _, line in drawing.pods(_pods(seen, {names.PART: part}))]
                state = _of_job(raw) if kind is JOB else words.of_replicas(raw)
                yield Line(what=what, state="", below=(drawing.line(kind, raw, state, pods),))


def _blame(seen: SeenNamespace, graph: str, status: Raw, stands: Standing) -> Blame | None:
    """The pod that is to blame, where what decides is about pods."""
    if stands.status == "True":
        return None
    shape = status.get("shape")
    labels = DECIDED_BY.get(stands.decided_by) or names.graph_labels(graph)
    found = pods_with(seen, labels)
    if stands.decided_by == "Rollout":
        found = [each for each in found if each.pod["metadata"]["labels"].get(names.SHAPE) != shape]
    elif stands.decided_by not in (*DECIDED_BY, "HostReady"):
        return None
    return next((in_pod(each, cause) for each in found if (cause := cause_of_pod(each)) is not None), None)


def _pods(seen: SeenNamespace, labels: Mapping[str, str]) -> Iterable[Raw]:
    return [raw for raw in seen.of(POD) if labels.items() <= raw["metadata"].get("labels", {}).items()]


def _of_ray(raw: Raw, graph: str) -> str:
    """A RayService: KubeRay's verdict, and what Serve says of the graph where it does not run."""
    ready = condition(raw, READY)
    told = f"Ready {ready['status']}: {ready.get('reason', '')}" if ready else "KubeRay has not said anything yet"
    for part in ("activeServiceStatus", "pendingServiceStatus"):
        found = ((raw.get("status") or {}).get(part) or {}).get("applicationStatuses") or {}
        application = found.get(graph) or {}
        if application.get("status") not in (None, "RUNNING"):
            message = last_line(str(application.get("message", "")))
            return f"{told}; Serve: {application['status']}{f': {message}' if message else ''}"
    return told


def _of_job(raw: Raw) -> str:
    status = raw.get("status") or {}
    if status.get("succeeded"):
        return "done"
    return f"under way, {status.get('active', 0)} running, {status.get('failed', 0)} failed"
