"""Reads what users wrote in a namespace: objects of the API become the documents that every world reconciles graphs by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import KINDS
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import ObjectMeta, Resource
from pointsman.graphs.documents import GraphDocuments, Key, by_name
from pointsman_operator import reading
from pointsman_operator.graphs.seen import DOCUMENTS, SeenNamespace
from pointsman_operator.reading import Unreadable
from pointsman_operator.seen import Raw

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, kw_only=True)
class Documents(GraphDocuments):
    """What can be read, by name, the objects that it was read from, and what cannot be read, each with why."""

    raw: Mapping[Key, Raw]
    broken: Mapping[Key, Unreadable]

    def status(self, kind: str, name: str) -> Raw:
        """What a document said of itself before."""
        found: Raw = self.raw[kind, name].get("status") or {}
        return found


def read(seen: SeenNamespace) -> Documents:
    """All documents of a namespace. What is on its way out is there no more."""
    found, raws, broken = list[Resource](), dict[Key, Raw](), dict[Key, Unreadable]()
    for kind in DOCUMENTS:
        for raw in seen.of(kind):
            if raw["metadata"].get("deletionTimestamp"):
                continue
            key = (kind.name, str(raw["metadata"]["name"]))
            raws[key] = raw
            document = reading.read(raw, KINDS[kind.name])
            if isinstance(document, Unreadable):
                broken[key] = document
            else:
                found.append(bare(document))
    return Documents(
        streams=by_name(EventStream, found),
        views=by_name(FeatureView, found),
        targets=by_name(ActionTarget, found),
        graphs=by_name(DecisionGraph, found),
        raw=raws,
        broken=broken,
    )


def bare(document: R) -> R:
    """What its author wrote, and which object it is: no status, and nothing that a server changes by itself.

    It is handed to hosts, and whatever differs there is a change to them.
    """
    its = document.metadata
    metadata = ObjectMeta(name=its.name, namespace=its.namespace, uid=its.uid, generation=its.generation)
    return document.model_copy(update={"metadata": metadata, "status": None})
