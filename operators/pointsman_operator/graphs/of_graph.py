"""Decides what is to be for one graph: its hosts, where decisions go, and what its status says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pointsman.api.conditions import Condition, from_dicts
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Unresolved
from pointsman.graphs import hosting, plan, references
from pointsman.graphs.documents import Key
from pointsman.graphs.hosting import Hosting
from pointsman.graphs.plan import HostState, Wanted
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel
from pointsman.planning import Told
from pointsman_operator import names
from pointsman_operator.differences import Writes, differing, unwanted
from pointsman_operator.graphs import observe
from pointsman_operator.graphs.refusals import refusals
from pointsman_operator.graphs.seen import MADE, SeenNamespace, controller_of
from pointsman_operator.graphs.situation import OfGraph, Situation
from pointsman_operator.observe import served
from pointsman_operator.resources.graphs import traffic
from pointsman_operator.resources.graphs.hosts import host
from pointsman_operator.resources.graphs.platform import GRAPHS_SET_ASIDE
from pointsman_operator.resources.graphs.shape import shape
from pointsman_operator.seen import Child, Raw

OF_BANDS = ("Certified", "Monitored")
"""The conditions that say how bands stand to their certificates"""
KEPT = ("revision", "revisionGeneration", "models", "automaticShare")
"""What a status goes on saying of a host that does not answer now"""


def decide(given: Situation, graph: DecisionGraph, told: Mapping[Key, Told], store: Condition) -> OfGraph:
    """`told` is what the statuses of all that graphs refer to say, `store` whether their store is prepared."""
    seen, status = given.seen, given.status("DecisionGraph", graph.name)
    resolved = references.resolved(graph, given.documents, lambda name, placement: observe.model(seen, name, placement))
    problems = given.checked(resolved) if resolved is not None else ()
    held = _held(graph, seen)
    wanted = None if resolved is None else _wanted(given, resolved, store)
    hosts = observe.hosts(graph, seen, status)
    hosted = hosting.decide(
        hosting.Observed(
            wanted=None if problems or held is not None else wanted,
            hosts=hosts,
            serving=status.get("shape"),
            has_decided=bool(status.get("revision")),
            draining=observe.draining(status),
        ),
        seen.now,
        drain=given.drain,
    )
    serving = hosts.get(hosted.serves or "", plan.NO_HOST)
    if serving.answering and wanted is not None and serving.revision == wanted.revision:
        serving = replace(serving, generation=graph.metadata.generation)
    refused = held or seen.refused.get(graph.name) or seen.refused.get("")
    decided = plan.decide(
        plan.Observed(
            graph=graph,
            generation=graph.metadata.generation or 0,
            needs=references.needs(graph, told, serving=observe.answering(seen)),
            problems=problems,
            wanted=wanted,
            host=serving,
            address=traffic.url(given.platform, graph.name, seen.namespace),
            sets_aside=GRAPHS_SET_ASIDE,
            surroundings=store_and(refused, store),
            beside=plan.NO_HOST if wanted is None else hosts.get(wanted.shape, plan.NO_HOST),
        )
    )
    turn = _turn(hosted, status)
    told_of = decided.told
    if graph.spec.certificates == "Required" and not serving.bands and hosted.serves == status.get("shape"):
        told_of = _with_bands_as_before(told_of, status)
    fields = {**told_of.fields, **_fields(given, hosted, serving, status, resolved), "turn": turn}
    return OfGraph(
        writes=Writes() if held is not None else _writes(given, graph, hosted, resolved, turn),
        told=Told(conditions=told_of.conditions, fields=fields),
        look_again=hosted.look_again,
    )


def _with_bands_as_before(told: Told, status: Raw) -> Told:
    """What was said of the bands stands while their host says nothing of them: a host that starts anew demotes none."""
    if "bands" not in status:
        return told
    try:
        before = {each.type: each for each in from_dicts(status["conditions"])}
    except (KeyError, ValueError):  # written by a release with other reasons
        return told
    kept = [
        replace(before[type_], observed_generation=told.conditions[0].observed_generation)
        for type_ in OF_BANDS
        if type_ in before
    ]
    others = [each for each in told.conditions if each.type not in OF_BANDS]
    fields = {name: status[name] for name in ("bands", "bandSummary") if name in status}
    return Told(conditions=(*others, *kept), fields={**told.fields, **fields})


def store_and(refused: Unresolved | None, store: Condition) -> tuple[Condition, ...]:
    """What surrounds a graph: that nothing keeps it from being made, and its store."""
    if refused is None:
        return (store,)
    return (Condition(type="Accepted", status="False", reason=refused.reason, message=refused.message), store)


def _held(graph: DecisionGraph, seen: SeenNamespace) -> Unresolved | None:
    """The first thing for which nothing may be touched."""
    refused = refusals(graph)
    if refused:
        return Unresolved(reason=Reason.NotHonouredHere, message="; ".join(map(str, refused)))
    if any(raw["metadata"]["name"] == graph.name for raw in seen.deployments):
        message = f'a ModelDeployment is called "{graph.name}" too, and both need the Service of that name: rename one'
        return Unresolved(reason=Reason.NameTaken, message=message)
    return observe.accepted(graph, seen)


def _wanted(given: Situation, resolved: ResolvedGraph, store: Condition) -> Wanted:
    remote = {each.deployment for each in resolved.models.values() if each.placement == "Remote"}
    return Wanted(
        revision=resolved.revision,
        shape=shape(resolved.graph, resolved.stream, given.platform),
        can_start=remote <= observe.answering(given.seen) and store.status == "True",
    )


def _turn(hosted: Hosting, status: Raw) -> int:
    """How often decisions have gone to another shape: a host that was taken over from decides again in a later turn alone."""
    before = int(status.get("turn", 0))
    return before + 1 if hosted.serves is not None and hosted.serves != status.get("shape") else before


def _writes(
    given: Situation, graph: DecisionGraph, hosted: Hosting, resolved: ResolvedGraph | None, turn: int
) -> Writes:
    seen, raw = given.seen, given.raw("DecisionGraph", graph.name)
    children: list[Child] = [traffic.service(raw, hosted.serves), *traffic.routes(raw, given.platform)]
    if resolved is not None:
        for standby in hosted.run.values():
            children += host(raw, resolved, given.platform, standby=standby, order=turn)
    kept = {names.host(graph.name, each) for each in hosted.kept}

    def stays(found: Raw) -> bool:
        return controller_of(found) != raw["metadata"]["uid"] or found["metadata"]["name"] in kept

    return Writes(apply=differing(children, seen), delete=tuple(unwanted(MADE, children, seen, stays=stays)))


def _fields(
    given: Situation, hosted: Hosting, serving: HostState, status: Raw, resolved: ResolvedGraph | None
) -> dict[str, Any]:
    """What the status says of the hosts. What decided last is told while its host is there, though it may not answer now."""
    draining = [{"shape": each, "since": since.isoformat()} for each, since in sorted(hosted.draining.items())]
    found: dict[str, Any] = {"shape": hosted.serves, "draining": draining or None}
    if serving.answering:
        revision, models = serving.revision, status.get("models")
        if resolved is not None and resolved.revision == revision:
            models = _models(given.seen.deployments, resolved)
        return found | {"revision": revision, "revisionGeneration": serving.generation, "models": models or None}
    if hosted.serves is not None and hosted.serves == status.get("shape"):
        return found | {name: status.get(name) for name in KEPT}
    return found | {"revision": None}


def _models(deployments: Sequence[Raw], resolved: ResolvedGraph) -> dict[str, Any]:
    """What the nodes decide with: where it is remote, all by which its ModelDeployment knows which pods must stay."""
    pins = {str(raw["metadata"]["name"]): served(raw.get("status") or {}) for raw in deployments}
    return {node: _model(model, pins.get(model.deployment)) for node, model in sorted(resolved.models.items())}


def _model(model: ResolvedModel, pinned: Any) -> dict[str, Any]:
    found = {"deployment": model.deployment, "version": model.version, "digest": model.digest}
    if model.placement == "Remote" and pinned is not None:
        found |= {"revision": pinned.revision, "shape": pinned.shape, "source": pinned.source}
    return found
