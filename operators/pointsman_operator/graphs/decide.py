"""Decides what is to be in a namespace: what its graphs and targets need there, and what every status says. Pure.

It is decided for the whole namespace at once, in the order in which things depend on each other, by the plans that every world
shares.
"""

from __future__ import annotations

from pydantic import ValidationError

from pointsman.actions import plan as target_plan
from pointsman.actions.report import Report
from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.graphs.documents import Key
from pointsman.planning import Told, judge
from pointsman_operator import names
from pointsman_operator.differences import Writes, differing, unwanted
from pointsman_operator.graphs import observe, of_graph
from pointsman_operator.graphs.documents import Documents
from pointsman_operator.graphs.seen import MADE, SeenNamespace, controller_of
from pointsman_operator.graphs.situation import Decision, OfGraph, Situation
from pointsman_operator.reading import Unreadable
from pointsman_operator.resources.graphs import namespace as parts
from pointsman_operator.resources.graphs.namespace import Namespace
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.seen import JOB, Child, Raw


def decide(given: Situation) -> Decision:
    """Everything, for one look at a namespace. The same look gives the same."""
    documents, seen = given.documents, given.seen
    told = {**given.definitions, **_broken(documents)}
    if not seen.owners:
        return Decision(shared=Writes(), graphs={}, told=told)
    of = Namespace(name=seen.namespace, owners=seen.owners, targets=tuple(documents.targets.values()))
    migration = parts.migration(of, given.platform)
    store = observe.store(seen, next(child.name for child in migration if child.kind is JOB))
    told |= _targets(given, store)
    known = told | {("ModelDeployment", name): each for name, each in observe.models(seen).items()} | _unheard(given)
    graphs = dict[str, OfGraph]()
    for name, graph in documents.graphs.items():
        if not observe.is_unheard(graph, seen, given.status("DecisionGraph", name)):
            graphs[name] = of_graph.decide(given, graph, known, store)
            told["DecisionGraph", name] = graphs[name].told
    return Decision(shared=_shared(of, migration, given.platform, seen, store), graphs=graphs, told=told)


def _shared(
    of: Namespace, migration: tuple[Child, ...], platform: Platform, seen: SeenNamespace, store: Condition
) -> Writes:
    """What a namespace has once. Until the store is prepared for this release, what runs already goes on as it is."""
    is_prepared = store.status == "True"
    children = list(migration)
    if is_prepared:
        children += parts.api(of, platform)
        children += parts.dispatcher(of, platform) if of.targets else ()

    def stays(found: Raw) -> bool:
        part = found["metadata"].get("labels", {}).get(names.PART)
        return controller_of(found) is not None or (not is_prepared and part != "migrate")

    return Writes(apply=differing(children, seen), delete=tuple(unwanted(MADE, children, seen, stays=stays)))


def _targets(given: Situation, store: Condition) -> dict[Key, Told]:
    """What the targets' statuses say: as the dispatcher tells of them, else why it does not."""
    seen = given.seen
    if observe.dispatcher_is_unheard(seen):
        return {}
    report = _report(seen)
    dispatched = observe.dispatcher(seen) if store.status == "True" else store
    return {
        ("ActionTarget", name): target_plan.decide(
            target_plan.Observed(
                target=target,
                generation=target.metadata.generation or 0,
                url=parts.target_url(target, seen.namespace),
                report=report.targets.get(name),
                starting=False,
                dispatched=dispatched,
            )
        )
        for name, target in given.documents.targets.items()
    }


def _unheard(given: Situation) -> dict[Key, Told]:
    """What targets said before, of which nothing is heard yet."""
    if not observe.dispatcher_is_unheard(given.seen):
        return {}
    return {
        ("ActionTarget", name): observe.told_before(given.raw("ActionTarget", name)) for name in given.documents.targets
    }


def _report(seen: SeenNamespace) -> Report:
    try:
        return Report.model_validate(seen.dispatcher.body if seen.dispatcher is not None else {})
    except ValidationError:  # of a release that tells something else
        return Report()


def _broken(documents: Documents) -> dict[Key, Told]:
    """What documents say that cannot be read by this release."""
    return {
        key: Told(
            conditions=judge((_invalid,), why, generation=int(documents.raw[key]["metadata"].get("generation", 0))),
            fields={},
        )
        for key, why in documents.broken.items()
    }


def _invalid(why: Unreadable) -> Condition:
    return Condition(type="Valid", status="False", reason=Reason.InvalidSpec, message=why.message)
