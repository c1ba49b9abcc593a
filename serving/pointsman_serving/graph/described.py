"""What a graph's host tells of itself: whether it is ready, what it has counted, and what its metrics are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pointsman.certificates.awaiting import Awaiting
from pointsman.certificates.report import BandReport
from pointsman.decisions.engine import Engine
from pointsman.graphs.activity import Activity
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel
from pointsman.ingest.report import SourceReport
from pointsman_serving.graph.metrics import Observed
from pointsman_serving.graph.queue import Overloaded
from pointsman_serving.graph.revision import Prepared, RevisionRefused


class Standing(StrEnum):
    """What a host is to its graph."""

    STARTING = "Starting"
    STANDBY = "Standby"
    SERVING = "Serving"
    TAKEN_OVER = "TakenOver"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether a decision would be made now, by which revision, and if not, why; and what becomes of another revision."""

    ready: bool
    revision: str
    reason: str
    message: str
    standby: bool
    probed: bool
    refused: RevisionRefused | None
    awaits: Awaiting | None
    models: Mapping[str, ResolvedModel]
    source: SourceReport | None
    bands: tuple[BandReport, ...]
    activity: Activity

    def document(self) -> dict[str, Any]:
        """As it goes over the wire."""
        refused, awaits = self.refused, self.awaits
        return {
            "ready": self.ready,
            "revision": self.revision,
            "reason": self.reason,
            "message": self.message,
            "standby": self.standby,
            "probed": self.probed,
            "refused": None if refused is None else {"revision": refused.revision, "message": str(refused)},
            "awaits": None if awaits is None else awaits.model_dump(mode="json", by_alias=True),
            "models": {
                node: {"deployment": each.deployment, "version": each.version, "digest": each.digest}
                for node, each in self.models.items()
            },
            "bands": [each.model_dump(mode="json", by_alias=True) for each in self.bands],
            "source": None if self.source is None else self.source.model_dump(mode="json", by_alias=True),
            "activity": self.activity.model_dump(mode="json", by_alias=True),
        }


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A host at one moment. `trouble` is (reason, message) while it does not decide, `serves` the revision that decides, or
    that is to decide; engine and what was prepared are None before there is one.
    """

    graph: str
    standing: Standing
    trouble: tuple[str, str] | None
    refused: RevisionRefused | None
    awaits: Awaiting | None
    serves: ResolvedGraph
    prepared: Prepared | None
    engine: Engine | None
    pending: int
    waiting: int
    open_reviews: int
    store_answers: bool
    source: SourceReport | None
    bands: tuple[BandReport, ...]
    activity: Activity

    def readiness(self) -> Readiness:
        """What the ready check answers."""
        reason, message = self.trouble or ("Ready", "")
        return Readiness(
            ready=self.trouble is None,
            revision=self.serves.revision,
            reason=reason,
            message=message,
            standby=self.standing is Standing.STANDBY,
            probed=self.prepared is not None,
            refused=self.refused,
            awaits=self.awaits,
            models=self.serves.models,
            source=self.source,
            bands=self.bands,
            activity=self.activity,
        )

    def stats(self) -> dict[str, Any]:
        """Counters and the seconds each step has taken since the start. Raises Overloaded before there is an engine."""
        if self.engine is None:
            raise Overloaded("the graph is being loaded")
        stats = self.engine.stats
        return {
            "revision": self.serves.revision,
            "decided": stats.decided,
            "batches": stats.batches,
            "overdue": stats.overdue,
            "pending": self.pending,
            "steps": {
                step: {"seconds": seconds, "rows": stats.rows[step]} for step, seconds in stats.seconds.copy().items()
            },
        }

    def observed(self, requests: Mapping[tuple[int, str], int]) -> Observed:
        """What metrics are made of; `requests` are those that the ingress has answered, by status and reason."""
        prepared = self.prepared
        return Observed(
            graph=self.graph,
            ready=self.trouble is None,
            reason=self.readiness().reason,
            revision=self.serves.revision,
            pending=self.pending,
            waiting=self.waiting,
            open_reviews=self.open_reviews,
            store_answers=self.store_answers,
            requests=requests,
            stats=None if self.engine is None else self.engine.stats,
            compiled=None if prepared is None else prepared.loaded.compiled,
            ports={} if prepared is None else prepared.loaded.ports,
            source=self.source,
            bands=self.bands,
        )
