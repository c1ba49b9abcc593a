"""Decides what a ModelDeployment needs: which revisions run, which one serves, and what its status says.

Called by every world with what it has observed. The old revision serves until the new one has answered its probe; then
what uses the model moves, and the old one goes when nobody uses it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from pointsman.api.conditions import Condition, Status
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.asked import asked
from pointsman.deployments.history import grown
from pointsman.planning import Told, judge, set_aside

WAITING = frozenset({Reason.RegistryUnreachable, Reason.Resolving})
"""Troubles of a reference that pass by themselves."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A reference, resolved: what was asked for, which version it meant, and the bytes.

    Where what surrounds the bytes makes another revision too (pods, on a cluster), `shape` is a digest of it. `source` is
    the address that the files are fetched from where they do not lie here.
    """

    uri: str
    version: str
    digest: str
    source: str = ""
    shape: str = ""

    @property
    def key(self) -> str:
        """Which revision this is: of the same key is what runs the same bytes in the same way."""
        return f"{self.digest}/{self.shape}" if self.shape else self.digest

    @property
    def revision(self) -> str:
        """The short name of the revision."""
        if self.shape:
            return sha256(self.key.encode()).hexdigest()[:8]
        return self.digest.removeprefix("sha256:")[:8]


@dataclass(frozen=True, kw_only=True)
class Unresolved:
    """Why a reference has no pin, or why it could not be asked for again; or why nothing may be touched now."""

    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class RevisionState:
    """What is seen of a revision that runs: `cause` says what keeps it from answering, or some of its replicas."""

    state: Literal["Starting", "Answering", "Failing"]
    cause: str = ""
    reason: Reason = Reason.Crashing
    replicas: int = 1
    """Those that are ready"""


@dataclass(frozen=True, kw_only=True)
class RuntimeState:
    """What is seen of a runtime that is not here yet: it is being installed, or cannot be."""

    state: Literal["Installing", "Failing"]
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class RouteState:
    """What is seen of the way from outside: `accepted` is None while nobody has said anything."""

    accepted: bool | None
    reason: Reason = Reason.RouteAccepted
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a world honours: the runtimes it can run, why not another (by runtime), and what it sets aside (path → what that
    means here).

    A path stands for all that lies below it; the longest one that fits is told.
    """

    runtimes: frozenset[str]
    sets_aside: Mapping[str, str]
    cannot: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One ModelDeployment as it is seen.

    `wanted` is what its reference means now, `serving` what was decided to serve before, `in_use` what graphs still serve
    with, `running` the state by key of what runs, `history` what the status says of the versions before, `runtime` that
    what runs the model is not here yet, `route` the way from outside where one was asked for and can be had, `held` why
    nothing may be touched, `refused` why something that is needed could not be made.
    """

    deployment: ModelDeployment
    generation: int
    wanted: Pinned | None
    trouble: Unresolved | None
    serving: Pinned | None
    running: Mapping[str, RevisionState]
    in_use: tuple[Pinned, ...]
    abilities: Abilities
    history: tuple[Mapping[str, Any], ...] = ()
    runtime: RuntimeState | None = None
    route: RouteState | None = None
    held: Unresolved | None = None
    refused: Unresolved | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be: the revisions that run, in order of importance, the one that serves, and what the status says.

    `answers`: whether the one that serves answers, whatever else is still to come. `held`: nothing that runs is touched.
    """

    run: tuple[Pinned, ...]
    serve: Pinned | None
    answers: bool
    told: Told
    held: bool = False


def decide(observed: Observed, now: datetime) -> Plan:
    """The plan for one observation. The same observation gives the same plan; `now` dates a change of version."""
    serve = what_serves(observed)
    facts = (
        the_spec_is_accepted,
        the_reference_is_resolved,
        the_runtime_is_installed,
        the_model_is_ready,
        the_newest_takes_over,
        the_route_is_accepted,
        everything_is_honoured,
    )
    answers = serve is not None and _state(observed, serve) == "Answering"
    return Plan(
        run=what_runs(observed),
        serve=serve,
        answers=answers,
        told=Told(
            conditions=judge(facts, observed, generation=observed.generation),
            fields={
                "uri": serve.uri if serve else None,
                "version": serve.version if serve else None,
                "digest": serve.digest if serve else None,
                "revision": serve.revision if serve else None,
                "source": (serve.source or None) if serve else None,
                "shape": (serve.shape or None) if serve else None,
                "trafficPercent": None if serve is None else 100,
                "replicas": _replicas(observed, serve),
                "history": grown(
                    observed.history, wanted=observed.wanted, serve=serve, failed=_failed(observed, serve), now=now
                ),
            },
        ),
        held=observed.held is not None,
    )


def what_serves(observed: Observed) -> Pinned | None:
    """The revision that serves: the wanted one once it answers, until then the one before, unless that is to end first."""
    wanted, serving = observed.wanted, observed.serving
    if observed.held is not None:
        return serving
    if not _can_run(observed):
        return None
    if wanted is None or (serving is not None and serving.key == wanted.key and serving.uri == wanted.uri):
        return serving  # other versions of the same bytes change nothing
    if serving is not None and serving.key == wanted.key:
        return replace(serving, uri=wanted.uri)
    if _state(observed, wanted) == "Answering":
        return wanted
    return None if _recreates(observed) else serving


def what_runs(observed: Observed) -> tuple[Pinned, ...]:
    """The serving revision, the wanted one, and those before them that are still in use."""
    if not _can_run(observed):
        return ()
    if _recreates(observed) and observed.wanted is not None:
        return (observed.wanted,)
    run = dict[str, Pinned]()
    for each in (what_serves(observed), observed.wanted, *observed.in_use):
        if each is not None:
            run.setdefault(each.key, each)
    return tuple(run.values())


def the_spec_is_accepted(observed: Observed) -> Condition | None:
    """Said while nothing may be touched, or what is needed cannot be made."""
    why = observed.held or observed.refused
    if why is None:
        return None
    goes_on = "" if observed.serving is None else f"; version {observed.serving.version} goes on as it is"
    return _condition("Accepted", "False", why.reason, f"{why.message}{goes_on}")


def the_reference_is_resolved(observed: Observed) -> Condition:
    trouble, wanted = observed.trouble, observed.wanted
    uri = observed.deployment.spec.model.uri
    if wanted is None and trouble is None:
        return _condition("Resolved", "Unknown", Reason.Resolving, f'"{uri}" is being resolved')
    if wanted is None:
        assert trouble is not None
        waiting: Status = "Unknown" if trouble.reason in WAITING else "False"
        return _condition("Resolved", waiting, trouble.reason, trouble.message)
    if trouble is not None:
        kept = f"version {wanted.version} stays pinned: {trouble.message}"
        return _condition("Resolved", "True" if trouble.reason in WAITING else "False", trouble.reason, kept)
    same = ""
    if observed.serving is not None and _same_bytes_of_another_version(observed.serving, wanted):
        same = f", with the same files as version {observed.serving.version}, which serves"
    return _condition("Resolved", "True", Reason.Resolved, f'"{uri}" is version {wanted.version}{same}')


def the_runtime_is_installed(observed: Observed) -> Condition | None:
    """Said while what runs the model is not here yet."""
    type_, runtime = observed.deployment.spec.runtime.type, observed.runtime
    if runtime is None or not _can_run(observed):
        return None
    if runtime.state == "Failing":
        message = f'"{type_}" cannot be installed here: {runtime.cause}'
        return _condition("RuntimeInstalled", "False", Reason.RuntimeNotFound, message)
    message = f'"{type_}" is being installed in an environment of its own, once; it takes minutes'
    return _condition("RuntimeInstalled", "Unknown", Reason.Progressing, message)


def the_model_is_ready(observed: Observed) -> Condition:
    wanted = observed.wanted
    if not _can_run(observed):
        message = f"spec.runtime.type: {_cannot(observed)}"
        return _condition("ModelReady", "False", Reason.NotHonouredHere, message)
    shown = what_serves(observed) or wanted
    if shown is None:
        return _condition("ModelReady", "Unknown", Reason.Resolving, "no version is known yet")
    state = observed.running.get(shown.key)
    if state is not None and state.state == "Answering":
        but = f", not by all replicas: {state.cause}" if state.cause else ""
        return _condition("ModelReady", "True", Reason.ModelServing, f"version {shown.version} answers{but}")
    if state is not None and state.state == "Failing":
        return _condition("ModelReady", "False", state.reason, _fails(shown, state))
    cause = f": {state.cause}" if state is not None and state.cause else ""
    message = f"version {shown.version} has not answered yet{cause}"
    return _condition("ModelReady", "Unknown", Reason.ModelStarting, message)


def the_newest_takes_over(observed: Observed) -> Condition | None:
    """Said while another revision than the wanted one serves. A spec that was changed is not Ready until then."""
    wanted, serve = observed.wanted, what_serves(observed)
    if serve is None and _recreates(observed) and any("servedFrom" in each for each in observed.history):
        message = "nothing serves until the new revision answers: the old one ends first, as spec.rollout asks"
        return _condition("Rollout", "Unknown", Reason.Progressing, message)
    if serve is None or (wanted is not None and _is_newest(observed, serve)):
        return None
    asked_for_another = serve.uri != observed.deployment.spec.model.uri or (
        wanted is not None and serve.shape != wanted.shape
    )
    if wanted is None:
        if not asked_for_another:
            return None
        message = f'version {serve.version} of "{serve.uri}" serves until the new reference is resolved'
        return _condition("Rollout", "Unknown", Reason.Progressing, message)
    state = observed.running.get(wanted.key)
    old, new = _names(serve, wanted)
    if state is not None and state.reason == Reason.Unschedulable:
        message = (
            f"{old} goes on serving, {new} finds no place beside it: {state.cause}; "
            "or let the old one end first: spec.rollout.type: Recreate"
        )
        return _condition("Rollout", "False", Reason.RolloutNeedsCapacity, message)
    if state is not None and state.state == "Failing":
        message = f"{old} goes on serving, {new} fails: {state.cause}"
        return _condition("Rollout", "False", state.reason, message)
    message = f"{old} serves until {new} answers"
    return _condition("Rollout", "Unknown" if asked_for_another else "True", Reason.NewRevisionProposed, message)


def the_route_is_accepted(observed: Observed) -> Condition | None:
    """Said where a route from outside was asked for and can be had."""
    route = observed.route
    if route is None:
        return None
    status: Status = "Unknown" if route.accepted is None else "True" if route.accepted else "False"
    return _condition("RouteAccepted", status, route.reason, route.message)


def everything_is_honoured(observed: Observed) -> Condition:
    found = dict[str, str]()
    for path in asked(observed.deployment):
        places = [place for place in observed.abilities.sets_aside if _lies_in(path, place)]
        if places:
            found[path] = observed.abilities.sets_aside[max(places, key=len)]
    if not _can_run(observed):
        found["spec.runtime.type"] = _cannot(observed)
    return set_aside(found)


def _lies_in(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


def _can_run(observed: Observed) -> bool:
    return observed.deployment.spec.runtime.type in observed.abilities.runtimes


def _cannot(observed: Observed) -> str:
    runtime, able = observed.deployment.spec.runtime.type, observed.abilities
    why = f"{able.cannot[runtime]}: " if runtime in able.cannot else ""
    return f'"{runtime}" cannot run here: {why}choose {" or ".join(sorted(able.runtimes))}'


def _state(observed: Observed, pinned: Pinned) -> str | None:
    state = observed.running.get(pinned.key)
    return None if state is None else state.state


def _replicas(observed: Observed, serve: Pinned | None) -> int:
    state = None if serve is None else observed.running.get(serve.key)
    return 0 if state is None or state.state != "Answering" else state.replicas


def _recreates(observed: Observed) -> bool:
    """Whether the old revision is to end before the new one begins, here and now."""
    wanted, serving = observed.wanted, observed.serving
    return (
        observed.deployment.spec.rollout.type == "Recreate"
        and "spec.rollout" not in observed.abilities.sets_aside
        and wanted is not None
        and (serving is None or serving.key != wanted.key)
    )


def _failed(observed: Observed, serve: Pinned | None) -> Reason | None:
    """Why the wanted revision cannot take over; None while it only needs time."""
    wanted = observed.wanted
    if wanted is None or (serve is not None and serve.key == wanted.key):
        return None
    state = observed.running.get(wanted.key)
    return state.reason if state is not None and state.state == "Failing" else None


def _is_newest(observed: Observed, serve: Pinned) -> bool:
    return observed.wanted is None or observed.wanted.key == serve.key


def _fails(pinned: Pinned, state: RevisionState) -> str:
    if state.reason == Reason.Crashing:
        return f"the server of version {pinned.version} ends again and again: {state.cause}"
    return f"version {pinned.version} does not serve: {state.cause}"


def _names(old: Pinned, new: Pinned) -> tuple[str, str]:
    """How a message names two revisions: by version, where that tells them apart."""
    if old.version != new.version:
        return f"version {old.version}", f"version {new.version}"
    return f"revision {old.revision}", f"revision {new.revision}"


def _same_bytes_of_another_version(serving: Pinned, wanted: Pinned) -> bool:
    return serving.digest == wanted.digest and serving.version != wanted.version


def _condition(type_: str, status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message)
