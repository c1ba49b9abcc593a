"""What a graph refers to: whether it is there and Ready, what it all resolves to, and whether that compiles. Pure.

Every world asks this in the same way, with what it has read and what serves in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from pointsman.api.conditions import READY, find
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.reasons import Reason
from pointsman.graphs.compile import GraphProblem, InvalidGraph, Signature, compile_graph
from pointsman.graphs.contract import InvalidContract
from pointsman.graphs.documents import GraphDocuments, Key
from pointsman.graphs.plan import Need
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel, resolve
from pointsman.models.tensors import ArtifactRefused
from pointsman.planning import Told

Placement = Literal["Inline", "Remote"]


def references(graph: DecisionGraph) -> tuple[Key, ...]:
    """Everything that a graph names, each once, in the order of the document."""
    spec = graph.spec
    named: list[Key] = [("EventStream", spec.event_stream_ref.name)]
    for node in spec.nodes:
        if node.features is not None:
            named.append(("FeatureView", node.features.view_ref.name))
        if node.model is not None:
            named.append(("ModelDeployment", node.model.deployment_ref.name))
    named += [("ActionTarget", action.target_ref.name) for action in spec.actions]
    return tuple(dict.fromkeys(named))


def needs(graph: DecisionGraph, told: Mapping[Key, Told], *, serving: Collection[str]) -> tuple[Need, ...]:
    """What a graph refers to, as the statuses tell of it; `serving` names the ModelDeployments that answer.

    One that answers is enough, whatever else is still to come of it.
    """
    return tuple(_need(key, told.get(key), serving) for key in references(graph))


def resolved(
    graph: DecisionGraph, documents: GraphDocuments, model: Callable[[str, Placement], ResolvedModel | None]
) -> ResolvedGraph | None:
    """The graph with what serves now; None while something that it refers to is not there or serves nothing.

    `model` knows what serves of a ModelDeployment.
    """
    spec = graph.spec
    stream = documents.streams.get(spec.event_stream_ref.name)
    named = {node.name: node.model for node in spec.nodes if node.model is not None}
    models = {node: model(each.deployment_ref.name, each.placement) for node, each in named.items()}
    views = dict.fromkeys(node.features.view_ref.name for node in spec.nodes if node.features is not None)
    targets = dict.fromkeys(action.target_ref.name for action in spec.actions)
    serving = {node: each for node, each in models.items() if each is not None}
    if (
        stream is None
        or len(serving) < len(models)
        or not views.keys() <= documents.views.keys()
        or not targets.keys() <= documents.targets.keys()
    ):
        return None
    return resolve(
        graph=graph,
        stream=stream,
        views=[documents.views[name] for name in views],
        targets=[documents.targets[name] for name in targets],
        models=serving,
    )


def problems(found: ResolvedGraph, signatures: Mapping[str, Signature | ArtifactRefused]) -> tuple[GraphProblem, ...]:
    """Everything that keeps a resolved graph from running. `signatures` holds what each model node takes and gives."""
    refused = next((each for each in signatures.values() if isinstance(each, ArtifactRefused)), None)
    if refused is not None:
        return (GraphProblem(path="spec.nodes", message=str(refused), hint="", reason=Reason.ArtifactRefused),)
    known = {node: each for node, each in signatures.items() if not isinstance(each, ArtifactRefused)}
    try:
        compile_graph(found, known)
    except InvalidGraph as error:
        return error.problems
    except InvalidContract as error:
        message = f'EventStream "{found.stream.name}": {error}'
        return (GraphProblem(path="spec.eventStreamRef", message=message, hint="", reason=Reason.InvalidSpec),)
    return ()


def _need(key: Key, told: Told | None, serving: Collection[str]) -> Need:
    kind, name = key
    if told is None:
        return Need(kind=kind, name=name, ready=None)
    if kind == "ModelDeployment" and name in serving:
        return Need(kind=kind, name=name, ready="True")
    ready = find(told.conditions, READY)
    assert ready is not None
    return Need(kind=kind, name=name, ready=ready.status, why=ready.message, reason=ready.reason)
