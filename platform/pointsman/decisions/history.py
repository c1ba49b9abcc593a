"""Scores events that a graph never decided, as it would have scored them when they came. Nothing of it is recorded.

A graph that is to be certified before it has decided anything has labelled history alone: its events, in their order, on
features of their own. What serves stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from pointsman.decisions.accept import accept
from pointsman.decisions.record import KnownDecision
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import GraphState, evaluate
from pointsman.graphs.ports import ModelPort
from pointsman.graphs.rescore import rescore

BEFORE = KnownDecision(event_digest=b"", day=date.min)


class History:
    """One history, scored batch by batch by one revision. `seen` is how many events of it were given so far."""

    def __init__(self, graph: CompiledGraph, ports: Mapping[str, ModelPort]) -> None:
        self._graph, self._ports = graph, ports
        self._state = GraphState(graph.views)
        self._known = dict[bytes, KnownDecision]()
        self.seen = 0

    @property
    def revision(self) -> str:
        """Whose scores these are."""
        return self._graph.resolved.revision

    def score(self, events: Sequence[object], now: datetime) -> dict[str, float]:
        """The scores of the next events, by id. There is none of an event that breaks its contract, that came before, or
        whose model fails.
        """
        arrived = int(now.timestamp() * 1e6)
        accepted = accept(self._graph, events, self._seen_before, source="history", arrived=arrived)
        found = dict[str, float]()
        if accepted.positions:
            try:
                scores = evaluate(self._graph, accepted.columns, self._state, self._ports, now=now).score
            except BaseException:
                self._state.rollback()
                raise
            self._state.commit()
            scored = zip(accepted.events.ids, scores.tolist(), strict=True)
            found = {id_: score for id_, score in scored if not np.isnan(score)}
        self._known.update(dict.fromkeys(accepted.decision_ids, BEFORE))
        self.seen += len(events)
        return found

    def _seen_before(self, ids: Sequence[bytes]) -> Mapping[bytes, KnownDecision]:
        return {id_: BEFORE for id_ in ids if id_ in self._known}


def rescored(
    graph: CompiledGraph, ports: Mapping[str, ModelPort], events: Sequence[object], values: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """The scores that a graph gives to decided events, by id, from what was recorded of them: see graphs.rescore."""
    scores = rescore(graph, ports, events, values)
    batch = graph.contract.read(events)
    ids = batch.columns[graph.contract.id].values.tolist()
    named = zip(ids, scores[batch.good].tolist(), strict=True)
    return {id_: score for id_, score in named if not np.isnan(score)}
