"""Decides what a DecisionGraph needs: whether its host runs, starts again or switches, and what its status says.

A graph waits for its stream, views, models, targets and their secrets, says which one, and goes on by itself when it is
there. A host that runs goes on with its revision, whatever becomes of what the graph refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Literal

from pointsman.api.conditions import Condition, Status
from pointsman.api.decision_graph import REVIEW, DecisionGraph, Uncertified
from pointsman.api.reasons import Reason
from pointsman.certificates.awaiting import Awaiting
from pointsman.certificates.report import BandReport
from pointsman.graphs.compile import GraphProblem, not_honoured
from pointsman.planning import Told, judge, set_aside

PROBLEMS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something a graph refers to. `ready` is None where it does not exist; `why` says what it lacks."""

    kind: str
    name: str
    ready: Status | None
    why: str = ""
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the graph resolves to now. A revision that differs is switched to; a `shape` that differs needs a new host.

    `can_start`: whether every model that a host would call when it starts answers.
    """

    revision: str
    shape: str
    can_start: bool
    models: Mapping[str, str] = field(default_factory=dict)
    """By ModelDeployment, the reference that means what serves of it, for good"""


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What is seen of a graph's host. `revision` and the graph's `generation` in it are what it serves with, or was started
    with while it does not answer; the generation is None where nobody knows.

    `refused` is the revision that it would not take over, `cause` why it does not answer, or would not, `reason` what of
    the catalogue that is, where it is known. `bands` is what it says of its bands' certificates, `automatic_percent` of the
    share of its decisions of late that were automatic, `reviews` why people do not keep up, `awaits` of a revision that it
    takes over once that is certified.
    """

    running: bool
    answering: bool
    shape: str | None = None
    revision: str | None = None
    generation: int | None = None
    refused: str | None = None
    cause: str = ""
    reason: Reason | None = None
    failing: bool = False
    bands: tuple[BandReport, ...] = ()
    automatic_percent: int | None = None
    reviews: Reason | None = None
    awaits: Awaiting | None = None


NO_HOST = HostState(running=False, answering=False)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One graph as it is seen. `wanted` is None while something that it refers to is missing.

    `sets_aside` holds what this world does not honour of a graph (path → what that means here), `surroundings` what it
    states of what a host needs around it. `beside` is the host of the wanted shape where a world brings that up beside the
    one that decides; None in a world of one host at a time.
    """

    graph: DecisionGraph
    generation: int
    needs: Sequence[Need]
    problems: Sequence[GraphProblem]
    wanted: Wanted | None
    host: HostState
    address: str
    sets_aside: Mapping[str, str]
    surroundings: Sequence[Condition] = ()
    beside: HostState | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of the host where there is one at a time: None leaves it as it is, running or not."""

    host: Literal["Start", "Restart", "Switch"] | None
    told: Told


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
    """The plan for one observation. The same observation gives the same plan."""
    facts = (
        its_references_are_ready,
        it_is_valid,
        *map(_stated, observed.surroundings),
        its_host_decides,
        the_newest_revision_takes_over,
        its_bands_are_certified,
        no_band_is_demoted,
        people_keep_up,
        everything_is_honoured,
    )
    spec, host = observed.graph.spec, observed.host
    return Plan(
        host=what_becomes_of_the_host(observed),
        told=Told(
            conditions=judge(facts, observed, generation=observed.generation),
            fields={
                "revision": host.revision if host.answering else None,
                "automaticShare": _share(host.automatic_percent) if host.answering else None,
                "url": observed.address,
                "runtime": spec.runtime.type,
                "bands": [_reported(each) for each in host.bands] or None,
                "bandSummary": ", ".join(
                    _band(each.name, each.outcome, spec.certificates, host.bands) for each in spec.bands
                ),
            },
        ),
    )


def what_becomes_of_the_host(observed: Observed) -> Literal["Start", "Restart", "Switch"] | None:
    wanted, host = observed.wanted, observed.host
    if wanted is None or observed.problems:
        return None
    if not host.running:
        return "Start" if wanted.can_start else None
    if observed.beside is not None:
        return None
    if host.shape != wanted.shape:
        return "Restart" if wanted.can_start else None
    if host.revision == wanted.revision:
        return None if host.awaits is None else "Switch"  # it is told that another is wanted no more
    if host.answering:
        return None if _waiting(host, wanted) else "Switch"
    hopeless = host.failing or host.generation != observed.generation  # else it is let finish, and switches then
    return "Restart" if hopeless and wanted.can_start else None


def its_references_are_ready(observed: Observed) -> Condition:
    missing = [need for need in observed.needs if need.ready is None]
    if missing:
        names = ", ".join(f'{need.kind} "{need.name}"' for need in missing)
        ending = "does not exist: apply it" if len(missing) == 1 else "do not exist: apply them"
        return _condition("ReferencesResolved", "False", NOT_FOUND[missing[0].kind], f"{names} {ending}")
    for need in observed.needs:
        if need.ready != "True":
            reason = Reason.WaitingForSecrets if need.reason is Reason.SecretNotFound else WAITING[need.kind]
            why = f": {need.why}" if need.why else ""
            return _condition("ReferencesResolved", "Unknown", reason, f'{need.kind} "{need.name}" is not Ready{why}')
    return _condition("ReferencesResolved", "True", Reason.ReferencesResolved)


def it_is_valid(observed: Observed) -> Condition:
    if observed.problems:
        shown = "; ".join(map(str, observed.problems[:PROBLEMS_SHOWN]))
        more = len(observed.problems) - PROBLEMS_SHOWN
        return _condition(
            "Valid", "False", observed.problems[0].reason, shown + (f"; and {more} more" if more > 0 else "")
        )
    if observed.wanted is None:
        return _condition("Valid", "Unknown", Reason.Progressing, "it is checked once all that it refers to is there")
    return _condition("Valid", "True", Reason.Compiled)


def its_host_decides(observed: Observed) -> Condition:
    host, change = observed.host, what_becomes_of_the_host(observed)
    if change == "Restart":
        message = "the host starts again, with what the graph is now"
        return _condition("HostReady", "Unknown", Reason.HostStarting, message)
    if host.answering:
        return _condition("HostReady", "True", Reason.HostServing)
    if host.failing:
        how = "the host ends again and again" if host.reason is None else "the host does not decide"
        return _condition("HostReady", "False", host.reason or Reason.HostFailed, f"{how}: {host.cause}")
    if not host.running and change is None:
        return _condition("HostReady", "Unknown", Reason.Progressing, f"it starts once {_awaited(observed)}")
    cause = f": {host.cause}" if host.cause else ""
    return _condition("HostReady", "Unknown", Reason.HostStarting, f"the host is starting{cause}")


def the_newest_revision_takes_over(observed: Observed) -> Condition | None:
    """Said while the host serves with another revision. A graph whose own spec changed is not Ready until it switched."""
    host, wanted = observed.host, observed.wanted
    if not host.answering or host.revision is None:
        return None
    if wanted is None or observed.problems:
        if host.generation == observed.generation:
            return None
        message = f"revision {_short(host.revision)} goes on deciding until this one is valid"
        return _condition("Rollout", "Unknown", Reason.Progressing, message)
    if observed.beside is not None and host.shape != wanted.shape:
        return _the_host_beside_takes_over(observed, observed.beside)
    if host.revision == wanted.revision:
        return None
    old, new = _short(host.revision), _short(wanted.revision)
    waiting = _waiting(host, wanted)
    if waiting is not None:
        return _it_awaits_certificates(observed, waiting)
    if host.refused == wanted.revision:
        message = f"revision {old} goes on deciding, the host does not take over revision {new}: {host.cause}"
        return _condition("Rollout", "False", Reason.HostFailed, message)
    same_spec = host.generation == observed.generation
    message = f"revision {old} decides until the host has loaded revision {new}"
    return _condition("Rollout", "True" if same_spec else "Unknown", Reason.SwitchingRevision, message)


def _it_awaits_certificates(observed: Observed, awaits: Awaiting) -> Condition:
    old, new = _short(observed.host.revision or ""), _short(awaits.revision)
    bands = "; ".join(f"band {each.name}: {each.message}" for each in awaits.bands)
    models = {} if observed.wanted is None else observed.wanted.models
    what = _of_models(awaits, models) or f"--revision {new}" + " --events FILE --labels FILE" * awaits.other_features
    command = f"pointsman certify {observed.graph.name} {what}"
    message = (
        f"revision {old} goes on deciding with its certificates until revision {new} has them: {bands}: {command}; to take "
        "it over without, and have people decide these items: onMissingCertificates: Review"
    )
    return _condition("Rollout", "Unknown", Reason.AwaitingCertificate, message)


def _of_models(awaits: Awaiting, references: Mapping[str, str]) -> str:
    """The option of `certify` that means the models of a revision that is otherwise as the one that serves."""
    named = [f"--model {each}={references[each]}" for each in awaits.models if each in references]
    return named[0] if len(named) == len(awaits.models) == 1 else ""


def _waiting(host: HostState, wanted: Wanted) -> Awaiting | None:
    return host.awaits if host.awaits is not None and host.awaits.revision == wanted.revision else None


def _the_host_beside_takes_over(observed: Observed, beside: HostState) -> Condition:
    old = _short(observed.host.revision or "")
    if beside.awaits is not None and beside.answering:
        return _it_awaits_certificates(observed, beside.awaits)
    if beside.failing:
        message = f"revision {old} goes on deciding, the host that is to follow does not: {beside.cause}"
        return _condition("Rollout", "False", beside.reason or Reason.HostFailed, message)
    same_spec = observed.host.generation == observed.generation
    why = f": {beside.cause}" if beside.cause else ""
    message = f"revision {old} decides until the host beside it has answered its probe decision{why}"
    return _condition("Rollout", "True" if same_spec else "Unknown", Reason.SwitchingRevision, message)


def its_bands_are_certified(observed: Observed) -> Condition:
    bands, aside = observed.host.bands, observed.graph.spec.uncertified
    said = "; ".join(f"band {each.name}: {each.message}{_instead(each, aside)}" for each in bands)
    if observed.graph.spec.certificates == "NotRequired":
        message = "certificates: NotRequired: the bands act on their thresholds alone, and no promise was measured"
        if bands:
            return _condition("Certified", "False", bands[0].reason, f"{said}; {message}")
        return _condition("Certified", "False", Reason.CertificatesNotRequired, message)
    missing = next((each.reason for each in bands if not each.live), None)
    if bands and missing is None:
        soon = [each.name for each in bands if each.ends_soon]
        if not soon:
            return _condition("Certified", "True", Reason.CertificatesLive, said)
        message = f"certify again, on newer labels: band {', '.join(soon)} within seven days; {said}"
        return _condition("Certified", "True", Reason.CertificateEndsSoon, message)
    if not any(each.live for each in bands):
        shadow = aside is not None and any(each.never_certified for each in bands)
        nothing = f"no band has a live certificate, so {'nothing acts' if shadow else 'every item goes to review'}"
        ending = f": {said}" if said else ", unless the graph says certificates: NotRequired"
        return _condition("Certified", "False", missing or Reason.NoLiveCertificate, f"{nothing}{ending}")
    return _condition("Certified", "False", missing or Reason.NoLiveCertificate, said)


def no_band_is_demoted(observed: Observed) -> Condition | None:
    """Said once the host has told of its bands."""
    bands = observed.host.bands
    demoted = [each for each in bands if each.reason is Reason.BandDemoted]
    if not bands:
        return None
    if not demoted:
        return _condition("Monitored", "True", Reason.NothingDemoted)
    said = "; ".join(f"band {each.name}: {each.message}" for each in demoted)
    ending = "its items go to people until it is certified anew, and another person re-arms it"
    return _condition("Monitored", "False", Reason.BandDemoted, f"{said}: {ending}")


def _instead(band: BandReport, aside: Uncertified | None) -> str:
    if aside is None or not band.never_certified:
        return ""
    return f'; until then its items get the outcome "{aside.outcome}" without action, and people see {aside.sample}'


def people_keep_up(observed: Observed) -> Condition | None:
    """Said where they do not."""
    review, reason = observed.graph.spec.review, observed.host.reviews
    if reason is None or not observed.host.answering:
        return None
    full = f"review.maxOpen: {review.max_open} items wait for people"
    decide = "`pointsman reviews claim`"
    messages = {
        Reason.ReviewQueueFull: f"{full}, so callers get 503 and sources are read no further: {decide}, or raise it",
        Reason.ReviewOverflow: (
            f'{full}, so what would go to people gets review.overflowOutcome "{review.overflow_outcome}" and no action: '
            f"{decide}, or raise it"
        ),
    }
    late = f"review.deadline: items have waited for longer than {review.deadline} and come first: {decide}"
    return _condition("Reviews", "False", reason, messages.get(reason, late))


def everything_is_honoured(observed: Observed) -> Condition:
    spec, aside = observed.graph.spec, observed.sets_aside
    workers = spec.runtime.workers
    asked: dict[str, Any] = {
        "spec.runtime.image": spec.runtime.image,
        "spec.runtime.resources": spec.runtime.resources,
        "spec.runtime.podTemplate": spec.runtime.pod_template,
        "spec.runtime.workers": workers if workers.model_fields_set else None,
        "spec.runtime.workers.maxReplicas": workers.max_replicas
        if (workers.max_replicas or 0) > workers.min_replicas
        else None,
    }
    here = {path: aside[path] for path, value in asked.items() if value is not None and path in aside}
    return set_aside({**dict(not_honoured(observed.graph)), **here})


def _awaited(observed: Observed) -> str:
    """What keeps a host from being started."""
    if observed.wanted is None or observed.problems:
        return "the graph is valid"
    if any(each.status != "True" for each in observed.surroundings):
        return "what it needs around it is there"
    return "every remote model answers"


def _stated(condition: Condition) -> Callable[[Observed], Condition]:
    return lambda _: condition


def _band(name: str, outcome: str, certificates: str, reports: Sequence[BandReport]) -> str:
    if outcome == REVIEW:
        return f"{name}: people decide"
    if certificates == "NotRequired":
        demoted = any(each.band == name for each in reports)
        return f"{name}: {'demoted to review' if demoted else 'no certificate required'}"
    bounds = [each.bound for each in reports if each.band == name and each.live and each.bound is not None]
    segments = sum(each.segment is not None for each in reports if each.band == name and each.live)
    if not bounds:
        return f"{name}: no live certificate"
    where = f" in {segments} {'segment' if segments == 1 else 'segments'}" if segments else ""
    ends = [each.expires.date() for each in reports if each.band == name and each.live and each.expires is not None]
    until = f" until {min(ends).isoformat()}" if ends else ""
    return f"{name}: error at most {max(bounds):.3%}{where}{until}"


def _reported(report: BandReport) -> dict[str, Any]:
    """One band, or one segment of one, as the status lists it."""
    found: dict[str, Any] = {"band": report.band, "reason": report.reason.value, "message": report.message}
    if report.segment is not None:
        found["segment"] = report.segment
    if report.certificate is not None and report.bound is not None and report.expires is not None:
        expires = report.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found |= {"certificate": report.certificate, "bound": f"{report.bound:.4%}", "expires": expires}
    return found


def _share(percent: int | None) -> str | None:
    return None if percent is None else f"{percent}%"


def _short(revision: str) -> str:
    return revision.removeprefix("sha256:")[:8]


def _condition(type_: str, status: Status, reason: Reason, message: str = "") -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message)
