"""A decision graph as a library: `pointsman.load(folder).decide(frame)`. For notebooks, tests and quick trials.

The same compiled graph as the hosts run, with every model inline and nothing recorded. Models come from `models/pins.yaml`
beside the documents, which names a folder and a digest for each model reference; band certificates from `certificates/*.json`,
and the keys that may sign them from `certificates/*.pem`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt
import yaml

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import load as load_documents
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.model_deployment import ModelDeployment
from pointsman.certificate_files import read_known
from pointsman.certificates.promise import promises
from pointsman.certificates.standing import Known, Standing, stand
from pointsman.columns import Column
from pointsman.decisions.accept import accept
from pointsman.graphs.audit import draws
from pointsman.graphs.compile import CompiledGraph, compile_graph
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.graphs.documents import by_name
from pointsman.graphs.lists import NO_LISTS, ListBook
from pointsman.graphs.rescore import rescore
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel, resolve
from pointsman.models.artifact import open_artifact
from pointsman.models.inline import InlineModel

Decision = dict[str, Any]
"""id, outcome, band, score and reasons of one event."""

Kind = TypeVar("Kind", EventStream, FeatureView, ModelDeployment, ActionTarget, DecisionGraph)


class CannotLoad(Exception):
    """The folder does not hold a graph with all that it refers to."""


class GraphLibrary:
    """A graph that decides in this process. Its features remember the events that it has seen, in order."""

    def __init__(self, compiled: CompiledGraph, ports: Mapping[str, InlineModel], known: Known | None = None) -> None:
        self.graph, self._ports, self._known = compiled, ports, known or Known()
        self._state = GraphState(compiled.views)
        self._promises = promises(compiled.resolved)

    @property
    def ports(self) -> Mapping[str, InlineModel]:
        """Its models, by node."""
        return self._ports

    def rescore(self, events: Sequence[object], values: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        """The scores of decided events by what was recorded of them, aligned; NaN where there is none."""
        return rescore(self.graph, self._ports, events, values)

    def fresh(self) -> GraphLibrary:
        """The same graph, with features that have seen nothing."""
        return GraphLibrary(self.graph, self._ports, self._known)

    def certified(self, now: datetime | None = None) -> Standing:
        """Which bands have a live certificate, and why the others have none; `now` is by default this moment."""
        moment = datetime.now(UTC) if now is None else now
        return stand(self._promises, self._known, moment, required=self.graph.certificates_required)

    def decide(self, frame: Any, *, lists: ListBook = NO_LISTS, now: datetime | None = None) -> Any:
        """Decide the rows of a pandas or polars frame, or of a list of dicts, in their order.

        `lists` are what the graph's lists hold, by list and value; `now` is when it is decided, by default this moment.

        Returns what it was given (a frame, or a list of dicts) with one row for each event: id, outcome, band, score and
        reasons. A row that breaks its contract has the outcome "deadLetter". A call does not know the ids of earlier
        calls: what is sent twice is decided twice.
        """
        decisions = self._decide(_rows(frame), lists, datetime.now(UTC) if now is None else now)
        if isinstance(frame, Sequence):
            return decisions
        return type(frame)(decisions)

    def warm_up(self, events: Mapping[str, Column]) -> None:
        """Let the features see events that hold the contract, in their order, without deciding them.

        Columns are named as the graph names them: `event.field`.
        """
        self._state.advance_all(events)

    def _decide(self, rows: Sequence[object], lists: ListBook, now: datetime) -> list[Decision]:
        answers: list[Decision] = [{}] * len(rows)
        accepted = accept(self.graph, rows, lambda ids: {}, source="library", arrived=int(now.timestamp() * 1e6))
        if accepted.positions:
            evaluation = evaluate(self.graph, accepted.columns, self._state, self._ports, now=now, lists=lists)
            overdue = np.zeros(len(accepted.positions), dtype=np.bool_)
            sample = draws(self.graph.resolved.graph_uid, accepted.decision_ids)
            concluded = triage(self.graph, evaluation, overdue, sample, self.certified(now).live)
            self._state.commit()
            bands = [*self.graph.band_names, None]
            for at, event_id, score, band, outcome, reasons in zip(
                accepted.positions,
                accepted.events.ids,
                evaluation.score.tolist(),
                concluded.band.tolist(),
                concluded.outcomes,
                concluded.reasons,
                strict=True,
            ):
                answers[at] = {
                    "id": event_id,
                    "outcome": outcome,
                    "band": bands[band],
                    "score": None if np.isnan(score) else score,
                    "reasons": list(reasons),
                }
        for at, earlier in accepted.repeated.items():
            answers[at] = answers[earlier]
        for at, letter in accepted.dead_letters.items():
            answers[at] = {
                "id": letter.event_id,
                "outcome": "deadLetter",
                "band": None,
                "score": None,
                "reasons": [f"{letter.reason.value}: {letter.place}: {letter.message}"],
            }
        return answers


def load(folder: str | Path, graph: str | None = None) -> GraphLibrary:
    """Load the graph of a folder. Raises CannotLoad, or documents.InvalidDocuments, InvalidGraph, ArtifactRefused."""
    folder = Path(folder)
    documents = load_documents(folder)
    chosen = _choose([each for each in documents if isinstance(each, DecisionGraph)], graph, folder)
    spec = chosen.spec
    deployments = by_name(ModelDeployment, documents)
    views, targets = by_name(FeatureView, documents), by_name(ActionTarget, documents)
    pins = _pins(folder)
    models = dict[str, ResolvedModel]()
    for node in spec.nodes:
        if node.model is not None:
            deployment = _find(deployments, node.model.deployment_ref.name)
            models[node.name] = _pinned(deployment, pins, folder)
    resolved = resolve(
        graph=_with_uid(chosen),
        stream=_with_uid(_find(by_name(EventStream, documents), spec.event_stream_ref.name)),
        views=[_find(views, node.features.view_ref.name) for node in spec.nodes if node.features is not None],
        targets=[_find(targets, action.target_ref.name) for action in spec.actions],
        models=models,
    )
    return open_resolved(resolved, read_known(folder / "certificates", chosen.metadata.name))


def open_resolved(resolved: ResolvedGraph, known: Known | None = None) -> GraphLibrary:
    """Open a revision as a host recorded it, every model inline whatever its placement there.

    `known` holds its certificates.

    Raises InvalidGraph or ArtifactRefused.
    """
    ports = {
        node: InlineModel(open_artifact(Path(model.folder), expected_digest=model.digest))
        for node, model in resolved.models.items()
    }
    return GraphLibrary(compile_graph(resolved, ports), ports, known)


def _rows(frame: Any) -> list[object]:
    if hasattr(frame, "to_dicts"):
        rows = frame.to_dicts()
    elif hasattr(frame, "to_dict"):
        rows = frame.to_dict("records")
    elif isinstance(frame, Sequence):
        return list(frame)
    else:
        raise TypeError(f"decide takes a pandas or polars frame or a list of dicts, not {type(frame).__name__}")
    return [
        {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()} for row in rows
    ]


def _find(found: Mapping[str, Kind], name: str) -> Kind:
    if name not in found:
        raise CannotLoad(
            f'the folder has nothing called "{name}" of the kind that refers to it; it has {sorted(found)}'
        )
    return found[name]


def _choose(graphs: Sequence[DecisionGraph], name: str | None, folder: Path) -> DecisionGraph:
    wanted = [graph for graph in graphs if name is None or graph.metadata.name == name]
    if len(wanted) == 1:
        return wanted[0]
    names = sorted(graph.metadata.name for graph in graphs)
    raise CannotLoad(f'{folder}: which DecisionGraph? It holds {names or "none"}; give the argument "graph"')


def _with_uid(resource: Kind) -> Kind:
    """A resource that was never applied has no uid; one made from its name keeps decision ids the same over loads."""
    if resource.metadata.uid is not None:
        return resource
    uid = str(uuid5(NAMESPACE_URL, f"pointsman.dev/{resource.kind}/{resource.metadata.name}"))
    return resource.model_copy(update={"metadata": resource.metadata.model_copy(update={"uid": uid})})


def _pins(folder: Path) -> Mapping[str, Mapping[str, str]]:
    file = folder / "models" / "pins.yaml"
    if not file.is_file():
        raise CannotLoad(f"{file} is missing: it says which files stand for the models' references")
    pins: Mapping[str, Mapping[str, str]] = yaml.safe_load(file.read_text())["pins"]
    return pins


def _pinned(deployment: ModelDeployment, pins: Mapping[str, Mapping[str, str]], folder: Path) -> ResolvedModel:
    uri = deployment.spec.model.uri
    if uri not in pins:
        raise CannotLoad(
            f'models/pins.yaml names no file for "{uri}", which ModelDeployment "{deployment.metadata.name}" asks for'
        )
    pin = pins[uri]
    return ResolvedModel(
        deployment=deployment.metadata.name,
        name=deployment.metadata.name,
        version=str(pin["version"]),
        digest=pin["digest"],
        folder=str(folder / "models" / pin["folder"]),
        placement="Inline",
    )
