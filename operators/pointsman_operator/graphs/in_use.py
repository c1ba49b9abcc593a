"""Which revisions of a ModelDeployment the graphs of its namespace call, by what their statuses say: those stay. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pointsman.deployments.plan import Pinned
from pointsman_operator.seen import Raw


def in_use(graphs: Iterable[Raw], deployment: str) -> tuple[Pinned, ...]:
    """Each revision once, by name."""
    found = {pinned.revision: pinned for raw in graphs for pinned in _called(raw, deployment)}
    return tuple(pinned for _, pinned in sorted(found.items()))


def _called(graph: Raw, deployment: str) -> Iterator[Pinned]:
    for model in ((graph.get("status") or {}).get("models") or {}).values():
        if model.get("deployment") == deployment and model.get("shape"):
            yield Pinned(
                uri="",
                version=str(model["version"]),
                digest=str(model["digest"]),
                source=str(model.get("source", "")),
                shape=str(model["shape"]),
            )
