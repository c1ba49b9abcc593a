"""The documents that graphs are made of, read: one frozen picture, which every world reconciles graphs by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import Resource

Key = tuple[str, str]
"""(kind, name)"""

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, kw_only=True)
class GraphDocuments:
    """What belongs together, by name: the graphs of a namespace or a home, and what they refer to beside models."""

    streams: Mapping[str, EventStream]
    views: Mapping[str, FeatureView]
    targets: Mapping[str, ActionTarget]
    graphs: Mapping[str, DecisionGraph]


def by_name(kind: type[R], resources: Iterable[object]) -> dict[str, R]:
    """Those of a kind."""
    return {each.name: each for each in resources if isinstance(each, kind)}
