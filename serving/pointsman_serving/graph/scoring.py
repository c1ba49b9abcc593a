"""Scores events for whoever certifies the graph: batch by batch between the decisions, one history at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointsman.decisions.history import History, rescored
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.ports import ModelPort

AT_ONCE = 256
"""Events that are scored before decisions have their turn again"""
IDLE_SECONDS = 600.0
"""After so long without a batch a history's features are forgotten"""


class Batch(BaseModel):
    """The next events of a history. `after` is how many of them were sent before; with none, the history begins.

    With `values`, aligned with the events, they are decisions with what was recorded of them, and no history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: str = Field(min_length=1, max_length=100)
    after: int = Field(ge=0)
    events: list[Any] = Field(min_length=1, max_length=5000)
    values: list[dict[str, Any]] | None = None
    revision: str | None = None
    """whose scores; that of the one that decides, or that waits for certificates. Left out, it is the one that decides"""

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if self.values is not None and len(self.values) != len(self.events):
            raise ValueError("values: as many as events")
        return self


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A revision that gives scores: its graph, and its models by node."""

    graph: CompiledGraph
    ports: Mapping[str, ModelPort]

    @property
    def revision(self) -> str:
        return self.graph.resolved.revision


class HistoryLost(Exception):
    """The history cannot go on, and why: it is to be sent from its beginning."""


class Scoring:
    """The history that is being scored. Its methods are called in the thread that decides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name, self._used = "", 0.0
        self._history: History | None = None

    def score(self, scorer: Scorer, batch: Batch, start: int) -> dict[str, float]:
        """The scores of the events of a batch from `start` on, AT_ONCE at most, by event. Raises HistoryLost."""
        part, after = batch.events[start : start + AT_ONCE], batch.after + start
        if batch.values is not None:
            return rescored(scorer.graph, scorer.ports, part, batch.values[start : start + AT_ONCE])
        if after == 0:
            self._name, self._history = batch.history, History(scorer.graph, scorer.ports)
        history = self._history
        if history is None or self._name != batch.history:
            raise HistoryLost("the host knows nothing of this history: it was started anew, or another was begun")
        if history.revision != scorer.revision:
            raise HistoryLost("another revision decides now than when the history was begun")
        if history.seen != after:
            raise HistoryLost(f"{history.seen} of its events were scored, not {after}")
        self._used = self._clock()
        return history.score(part, datetime.now(UTC))

    def forget(self) -> None:
        """Give back what a history holds that nobody goes on with. Cheap to call."""
        if self._history is not None and self._clock() - self._used > IDLE_SECONDS:
            self._name, self._history = "", None
