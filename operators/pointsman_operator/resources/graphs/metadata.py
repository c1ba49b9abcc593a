"""Metadata of what a graph and its namespace become."""

from __future__ import annotations

from typing import Any

from pointsman_operator import names
from pointsman_operator.resources.metadata import made, owned_by
from pointsman_operator.seen import DECISION_GRAPH, Child, Kind, Raw


def of_graph(owner: Raw, kind: Kind, name: str, *, shape: str | None = None, **content: Any) -> Child:
    """An object of a DecisionGraph, as the API server has it, or of one shape of it."""
    return made(
        kind,
        name,
        namespace=owner["metadata"]["namespace"],
        labels=names.graph_labels(owner["metadata"]["name"], shape),
        owners=[owned_by(DECISION_GRAPH, owner, controller=True)],
        **content,
    )
