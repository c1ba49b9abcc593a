"""Decides what a DecisionGraph needs: whether its host runs, whether it must switch, and what its status says.

A graph waits for its stream, views, models, targets and secrets, says which one, and goes on by itself when it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pointsman.api.conditions import Condition
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.reasons import Reason
from pointsman.graphs.compile import GraphProblem, not_honoured
from pointsman.ingest.plan import finish


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something a graph refers to. `ready` is None where it does not exist."""

    kind: str
    name: str
    ready: Literal["True", "False", "Unknown"] | None


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What is seen of a graph's host. `revision` is what it serves with."""

    running: bool
    answering: bool
    revision: str | None = None
    cause: str = ""
    failing: bool = False


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One graph as it is seen. `revision` is the resolved one that should serve; None while something is missing."""

    graph: DecisionGraph
    generation: int
    needs: Sequence[Need]
    problems: Sequence[GraphProblem]
    revision: str | None
    host: HostState


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Whether the host is to run, whether it is to switch to the wanted revision, and the conditions."""

    run: bool
    switch: bool
    conditions: tuple[Condition, ...]


NOT_FOUND = {
    "EventStream": Reason.StreamNotFound,
    "FeatureView": Reason.ViewNotFound,
    "ModelDeployment": Reason.DeploymentNotFound,
    "ActionTarget": Reason.TargetNotFound,
}
WAITING = {
    "EventStream": Reason.WaitingForStream,
    "FeatureView": Reason.WaitingForViews,
    "ModelDeployment": Reason.WaitingForModels,
    "ActionTarget": Reason.WaitingForTargets,
}


def decide(observed: Observed) -> Plan:
    """A host that runs goes on with its revision, whatever has become of what it refers to."""
    host = observed.host
    resolvable = observed.revision is not None and not observed.problems
    run = host.running or resolvable
    switch = resolvable and host.answering and host.revision != observed.revision
    found = [_references(observed), _valid(observed), _serving(observed, switch)]
    if observed.graph.spec.certificates == "NotRequired":
        message = "certificates: NotRequired: no band promises an error that was measured"
        found.append(
            Condition(type="Certified", status="False", reason=Reason.CertificatesNotRequired, message=message)
        )
    aside = not_honoured(observed.graph)
    if aside:
        message = "not in this version: " + "; ".join(f"{path}: {meaning}" for path, meaning in aside)
        found.append(Condition(type="Honoured", status="False", reason=Reason.NotHonouredHere, message=message))
    return Plan(run=run, switch=switch, conditions=finish(found, observed.generation))


def _references(observed: Observed) -> Condition:
    for need in observed.needs:
        if need.ready is None:
            message = f'{need.kind} "{need.name}" does not exist: apply it'
            return Condition(type="ReferencesResolved", status="False", reason=NOT_FOUND[need.kind], message=message)
    for need in observed.needs:
        if need.ready != "True":
            message = f'{need.kind} "{need.name}" is not Ready'
            return Condition(type="ReferencesResolved", status="Unknown", reason=WAITING[need.kind], message=message)
    return Condition(type="ReferencesResolved", status="True", reason=Reason.ReferencesResolved)


def _valid(observed: Observed) -> Condition:
    if observed.problems:
        first, more = observed.problems[0], len(observed.problems) - 1
        message = f"{first}" + (f" (and {more} more)" if more else "")
        return Condition(type="Valid", status="False", reason=first.reason, message=message)
    if observed.revision is None:
        message = "it is checked when all it refers to is there"
        return Condition(type="Valid", status="Unknown", reason=Reason.Progressing, message=message)
    return Condition(type="Valid", status="True", reason=Reason.Compiled)


def _serving(observed: Observed, switch: bool) -> Condition:
    host = observed.host
    if switch:
        message = "the host loads the new revision; the old one decides until then"
        return Condition(type="HostReady", status="True", reason=Reason.SwitchingRevision, message=message)
    if host.answering:
        return Condition(type="HostReady", status="True", reason=Reason.HostServing)
    if host.failing:
        return Condition(
            type="HostReady", status="False", reason=Reason.HostFailed, message=f"the host ends: {host.cause}"
        )
    return Condition(type="HostReady", status="Unknown", reason=Reason.HostStarting, message="the host is not up yet")
