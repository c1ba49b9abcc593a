"""What is decided by, for the graphs of a namespace: what users wrote, all that is seen, and what this installation is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman.graphs.compile import GraphProblem
from pointsman.graphs.documents import Key
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.planning import Told
from pointsman_operator.differences import Writes
from pointsman_operator.graphs.documents import Documents
from pointsman_operator.graphs.seen import SeenNamespace
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.seen import Raw


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One look at a namespace. `checked` tells what is wrong with a graph, `drain` is how long a host lives on that decisions
    have left, `definitions` what the statuses of streams and views say.
    """

    documents: Documents
    seen: SeenNamespace
    platform: Platform
    drain: timedelta
    checked: Callable[[ResolvedGraph], tuple[GraphProblem, ...]]
    definitions: Mapping[Key, Told]

    def raw(self, kind: str, name: str) -> Raw:
        """A document as the API server has it."""
        return self.documents.raw[kind, name]

    def status(self, kind: str, name: str) -> Raw:
        """What a document said of itself before."""
        return self.documents.status(kind, name)


@dataclass(frozen=True, kw_only=True)
class OfGraph:
    """What is to be for one graph: what has to be written, what its status says, and when less will be wanted."""

    writes: Writes
    told: Told
    look_again: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What has to be written for what all of a namespace share, and for each graph; and what the statuses say."""

    shared: Writes
    graphs: Mapping[str, OfGraph]
    told: Mapping[Key, Told]
