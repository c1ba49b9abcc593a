"""Decides what a ModelDeployment needs: which revisions run, which one serves, and what its status says.

Called by every world with what it has observed. The old revision serves until the new one has answered its probe; then
traffic moves, and the old one goes when nobody uses it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pointsman.api.conditions import Condition, Status, ready
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A reference, resolved: the version and the bytes."""

    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    """Why a reference has no pin, or why it could not be asked for again."""

    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class RevisionState:
    """What is seen of a revision that runs."""

    state: Literal["Starting", "Answering", "Failing"]
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One ModelDeployment as it is seen. `in_use` are the digests that graphs serve with."""

    deployment: ModelDeployment
    generation: int
    wanted: Pinned | None
    trouble: Unresolved | None
    serving: Pinned | None
    running: Mapping[str, RevisionState]
    in_use: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be: the revisions that run, in order of importance, the one that serves, and the conditions."""

    run: tuple[Pinned, ...]
    serve: Pinned | None
    conditions: tuple[Condition, ...]


RUNTIMES_HERE = frozenset({"Native"})


def decide(observed: Observed) -> Plan:
    """The plan for one world-independent observation. The same observation gives the same plan."""
    refused = runtime_is_not_here(observed)
    if refused is not None:
        return _with_ready((), None, [refused, *_honoured(observed)], observed)
    wanted = observed.wanted or observed.serving
    serve = observed.serving
    if observed.wanted is not None and _answers(observed, observed.wanted):
        serve = observed.wanted
    run = [each for each in (serve, wanted) if each is not None]
    run += [
        Pinned(version="", digest=digest)
        for digest in observed.running
        if digest in observed.in_use and digest not in {each.digest for each in run}
    ]
    unique = tuple({each.digest: each for each in run}.values())
    return _with_ready(unique, serve, [_resolved(observed), _serving(observed, serve), *_honoured(observed)], observed)


def runtime_is_not_here(observed: Observed) -> Condition | None:
    """A runtime that this world cannot run, said with the way out."""
    runtime = observed.deployment.spec.runtime.type
    if runtime in RUNTIMES_HERE:
        return None
    return _condition(
        observed,
        "ModelReady",
        "False",
        Reason.NotHonouredHere,
        f'spec.runtime.type: "{runtime}" does not run on this machine: choose {" or ".join(sorted(RUNTIMES_HERE))}',
    )


def not_honoured(deployment: ModelDeployment) -> tuple[tuple[str, str], ...]:
    """What the local world sets aside, as (path, what it means)."""
    spec, found = deployment.spec, list[tuple[str, str]]()
    given = spec.model_fields_set
    if spec.autoscaling.type != "None":
        found.append(("spec.autoscaling", "one process serves"))
    limits = {**(spec.resources.limits or {}), **(spec.resources.requests or {})}
    if any("/" in name for name in limits):
        found.append(("spec.resources", "no GPU is used"))
    elif "resources" in given:
        found.append(("spec.resources", "neither CPU nor memory is limited"))
    if spec.pod_template is not None:
        found.append(("spec.podTemplate", "there are no pods"))
    if spec.route is not None:
        found.append(("spec.route", "it is reached on loopback alone"))
    if spec.slo is not None:
        found.append(("spec.slo", "no budget is kept"))
    if spec.rollout.type not in ("RollingUpdate",):
        found.append(("spec.rollout", "the new revision takes over once it answers"))
    return tuple(found)


def _answers(observed: Observed, pinned: Pinned) -> bool:
    state = observed.running.get(pinned.digest)
    return state is not None and state.state == "Answering"


def _resolved(observed: Observed) -> Condition:
    trouble, wanted = observed.trouble, observed.wanted
    uri = observed.deployment.spec.model.uri
    if trouble is not None and wanted is None:
        waiting: Status = "Unknown" if trouble.reason is Reason.RegistryUnreachable else "False"
        return _condition(observed, "Resolved", waiting, trouble.reason, trouble.message)
    if wanted is None:
        return _condition(observed, "Resolved", "Unknown", Reason.Resolving, f'"{uri}" is being resolved')
    if trouble is not None:
        kept = f"version {wanted.version} stays pinned: {trouble.message}"
        return _condition(observed, "Resolved", "True", trouble.reason, kept)
    return _condition(observed, "Resolved", "True", Reason.Resolved, f'"{uri}" is version {wanted.version}')


def _serving(observed: Observed, serve: Pinned | None) -> Condition:
    wanted = observed.wanted
    state = observed.running.get(wanted.digest) if wanted is not None else None
    if serve is not None and _answers(observed, serve):
        if wanted is None or serve.digest == wanted.digest:
            return _condition(observed, "ModelReady", "True", Reason.ModelServing, f"version {serve.version} answers")
        cause = f": {state.cause}" if state is not None and state.cause else ""
        return _condition(
            observed,
            "ModelReady",
            "True",
            Reason.NewRevisionProposed,
            f"version {serve.version} serves until version {wanted.version} answers{cause}",
        )
    if state is not None and state.state == "Failing":
        return _condition(observed, "ModelReady", "False", Reason.Crashing, f"the model server ends: {state.cause}")
    if wanted is None:
        return _condition(observed, "ModelReady", "Unknown", Reason.Resolving, "no version is known yet")
    return _condition(
        observed, "ModelReady", "Unknown", Reason.ModelStarting, f"version {wanted.version} has not answered yet"
    )


def _honoured(observed: Observed) -> list[Condition]:
    aside = not_honoured(observed.deployment)
    if not aside:
        return []
    told = "; ".join(f"{path}: {meaning}" for path, meaning in aside)
    message = f"not on this machine: {told}"
    return [_condition(observed, "Honoured", "False", Reason.NotHonouredHere, message)]


def _condition(observed: Observed, type_: str, status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message, observed_generation=observed.generation)


def _with_ready(run: tuple[Pinned, ...], serve: Pinned | None, conditions: list[Condition], observed: Observed) -> Plan:
    return Plan(run=run, serve=serve, conditions=(*conditions, ready(conditions, generation=observed.generation)))
