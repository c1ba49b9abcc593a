"""Decides what a ModelDeployment needs: which revisions run, which one serves, and what its status says.

Called by every world with what it has observed. The old revision serves until the new one has answered its probe; then
what uses the model moves, and the old one goes when nobody uses it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pointsman.api.conditions import Condition, Status
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.asked import asked
from pointsman.planning import Told, judge, set_aside

HISTORY = 20
"""So many of the versions that served are remembered in the status."""
WAITING = frozenset({Reason.RegistryUnreachable, Reason.Resolving})
"""Troubles of a reference that pass by themselves."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A reference, resolved: what was asked for, which version it meant, and the bytes."""

    uri: str
    version: str
    digest: str

    @property
    def revision(self) -> str:
        """The short name of these bytes."""
        return self.digest.removeprefix("sha256:")[:8]


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
class RuntimeState:
    """What is seen of a runtime that is not here yet: it is being installed, or cannot be."""

    state: Literal["Installing", "Failing"]
    cause: str = ""


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
    with, `running` the state by digest of what runs, `history` what the status says of the versions before, `runtime` that
    what runs the model is not here yet.
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be: the revisions that run, in order of importance, the one that serves, and what the status says.

    `answers`: whether the one that serves answers, whatever else is still to come.
    """

    run: tuple[Pinned, ...]
    serve: Pinned | None
    answers: bool
    told: Told


def decide(observed: Observed, now: datetime) -> Plan:
    """The plan for one observation. The same observation gives the same plan; `now` dates a change of version."""
    serve = what_serves(observed)
    facts = (
        the_reference_is_resolved,
        the_runtime_is_installed,
        the_model_is_ready,
        the_newest_takes_over,
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
                "trafficPercent": None if serve is None else 100 if _is_newest(observed, serve) else 0,
                "replicas": int(answers),
                "history": _history(observed.history, serve, now),
            },
        ),
    )


def what_serves(observed: Observed) -> Pinned | None:
    """The revision that serves: the wanted one once it answers, until then the one before."""
    wanted, serving = observed.wanted, observed.serving
    if not _can_run(observed):
        return None
    if wanted is None or (serving is not None and serving.digest == wanted.digest and serving.uri == wanted.uri):
        return serving  # other versions of the same bytes change nothing
    if serving is not None and serving.digest == wanted.digest:
        return Pinned(uri=wanted.uri, version=serving.version, digest=serving.digest)
    return wanted if _state(observed, wanted) == "Answering" else serving


def what_runs(observed: Observed) -> tuple[Pinned, ...]:
    """The serving revision, the wanted one, and those before them that graphs have not left yet."""
    if not _can_run(observed):
        return ()
    run = dict[str, Pinned]()
    for each in (what_serves(observed), observed.wanted, *observed.in_use):
        if each is not None:
            run.setdefault(each.digest, each)
    return tuple(run.values())


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
    state = observed.running.get(shown.digest)
    if state is not None and state.state == "Answering":
        return _condition("ModelReady", "True", Reason.ModelServing, f"version {shown.version} answers")
    if state is not None and state.state == "Failing":
        message = f"the server of version {shown.version} ends again and again: {state.cause}"
        return _condition("ModelReady", "False", Reason.Crashing, message)
    cause = f": {state.cause}" if state is not None and state.cause else ""
    message = f"version {shown.version} has not answered yet{cause}"
    return _condition("ModelReady", "Unknown", Reason.ModelStarting, message)


def the_newest_takes_over(observed: Observed) -> Condition | None:
    """Said while another revision than the wanted one serves. A reference that was changed is not Ready until then."""
    wanted, serve = observed.wanted, what_serves(observed)
    if serve is None or (wanted is not None and _is_newest(observed, serve)):
        return None
    asked_for_another = serve.uri != observed.deployment.spec.model.uri
    if wanted is None:
        if not asked_for_another:
            return None
        message = f'version {serve.version} of "{serve.uri}" serves until the new reference is resolved'
        return _condition("Rollout", "Unknown", Reason.Progressing, message)
    state = observed.running.get(wanted.digest)
    if state is not None and state.state == "Failing":
        message = f"version {serve.version} goes on serving, version {wanted.version} fails: {state.cause}"
        return _condition("Rollout", "False", Reason.Crashing, message)
    message = f"version {serve.version} serves until version {wanted.version} answers"
    return _condition("Rollout", "Unknown" if asked_for_another else "True", Reason.NewRevisionProposed, message)


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
    state = observed.running.get(pinned.digest)
    return None if state is None else state.state


def _is_newest(observed: Observed, serve: Pinned) -> bool:
    return observed.wanted is None or observed.wanted.digest == serve.digest


def _same_bytes_of_another_version(serving: Pinned, wanted: Pinned) -> bool:
    return serving.digest == wanted.digest and serving.version != wanted.version


def _history(before: tuple[Mapping[str, Any], ...], serve: Pinned | None, now: datetime) -> list[Mapping[str, Any]]:
    """Which version served from when, the newest last."""
    if serve is None or (before and before[-1]["digest"] == serve.digest):
        return list(before)
    since = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [*before, {"version": serve.version, "digest": serve.digest, "servedFrom": since}][-HISTORY:]


def _condition(type_: str, status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message)
