"""The fraud example as an operator sees it: its documents with what an API server adds, and its graph resolved."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import load
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import Resource
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel, resolve

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "fraud"
R = TypeVar("R", bound=Resource)


def of_kind(kind: type[R], namespace: str) -> tuple[R, ...]:
    """The example's documents of a kind, as they would be in a namespace."""
    return tuple(_in(namespace, each) for each in _documents() if isinstance(each, kind))


def written() -> dict[str, Any]:
    """The DecisionGraph as the file has it."""
    return deepcopy(_graph())


@cache
def _graph() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLE / "graph.yaml").read_text())
    return found


@cache
def _documents() -> tuple[object, ...]:
    return tuple(load(EXAMPLE))


def graph(namespace: str, *, uid: str = "u-card-fraud", runtime: Mapping[str, Any] | None = None) -> DecisionGraph:
    """The example's DecisionGraph as an API server has it, with another `spec.runtime` where one is given."""
    document = written()
    document["metadata"] |= {"namespace": namespace, "uid": uid, "generation": 1}
    if runtime is not None:
        document["spec"]["runtime"] = dict(runtime)
    return DecisionGraph.model_validate(document)


def resolved(of: DecisionGraph, *, stream: EventStream | None = None, version: int = 1) -> ResolvedGraph:
    """The graph with what it refers to; another version of its models makes another revision."""
    namespace = str(of.metadata.namespace)
    return resolve(
        graph=of,
        stream=stream or of_kind(EventStream, namespace)[0],
        views=of_kind(FeatureView, namespace),
        targets=of_kind(ActionTarget, namespace),
        models={
            node.name: _model(node.model.deployment_ref.name, node.model.placement, namespace, version)
            for node in of.spec.nodes
            if node.model is not None
        },
    )


def _model(name: str, placement: Any, namespace: str, version: int) -> ResolvedModel:
    digits = str(version) * 64
    return ResolvedModel(
        deployment=name,
        name=name,
        version=str(version),
        digest=f"sha256:{digits}",
        folder=f"/models/{digits}",
        placement=placement,
        url=f"http://{name}-{digits[:8]}-predictor.{namespace}.svc",
        source=f"mlflow-artifacts:/1/models/{name}-{version}/artifacts",
    )


def _in(namespace: str, document: R) -> R:
    metadata = document.metadata.model_copy(
        update={"namespace": namespace, "uid": f"u-{document.name}", "generation": 1}
    )
    return document.model_copy(update={"metadata": metadata})
