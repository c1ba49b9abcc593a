"""A resolved graph: the graph with everything it refers to, pinned. What a host is given, and what a revision records.

Two resolved graphs with the same revision decide alike: the revision is the digest of the graph's specification, the
stream's contract, the views' versions, the models' digests and the targets as far as they change an outcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView


class ResolvedModel(BaseModel):
    """One model node's model: which version, which bytes, and where it runs."""

    model_config = ConfigDict(frozen=True)

    deployment: str
    name: str
    version: str
    digest: str
    folder: str
    placement: Literal["Inline", "Remote"]
    url: str | None = None
    source: str | None = Field(
        default=None, description="where the registry keeps the files, for a host that does not have the folder"
    )
    revision: str | None = Field(
        default=None, description="which pods answer, where more than the model's files makes that another revision"
    )


class ResolvedGraph(BaseModel):
    """A graph with its stream, views, targets and pinned models. JSON both ways."""

    model_config = ConfigDict(frozen=True)

    graph: DecisionGraph
    stream: EventStream
    views: tuple[FeatureView, ...]
    targets: tuple[ActionTarget, ...]
    models: dict[str, ResolvedModel] = Field(description="by the name of the node")
    revision: str

    @property
    def graph_uid(self) -> UUID:
        return UUID(self.graph.metadata.uid)

    @property
    def stream_uid(self) -> UUID:
        return UUID(self.stream.metadata.uid)

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def resolve(
    *,
    graph: DecisionGraph,
    stream: EventStream,
    views: Sequence[FeatureView],
    targets: Sequence[ActionTarget],
    models: Mapping[str, ResolvedModel],
) -> ResolvedGraph:
    """Put the parts together and name the revision. Where a model listens does not enter the revision."""
    identity = {
        "graph": graph.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "stream": stream.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "views": {view.metadata.name: _specification(view) for view in views},
        "targets": {target.metadata.name: _approval(target) for target in targets},
        "models": {node: _identity(model) for node, model in models.items()},
    }
    revision = hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return ResolvedGraph(
        graph=graph,
        stream=stream,
        views=tuple(views),
        targets=tuple(targets),
        models=dict(models),
        revision=f"sha256:{revision}",
    )


def _approval(target: ActionTarget) -> str:
    """How many people a target's actions need; as FourEyes was always named."""
    approval = target.spec.approval
    needs_one = approval.type != "Never" and approval.effective_policy == "OnePerson"
    return f"{approval.type}, OnePerson" if needs_one else approval.type


def _identity(model: ResolvedModel) -> list[str]:
    return [model.digest, model.placement, *([model.revision] if model.revision is not None else [])]


def _specification(view: FeatureView) -> object:
    return view.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
