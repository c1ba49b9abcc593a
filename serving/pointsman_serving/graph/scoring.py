"""Scores a history for whoever certifies the graph: batch by batch between the decisions, one history at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pointsman.decisions.engine import Engine
from pointsman.decisions.history import History

AT_ONCE = 256
"""Events that are scored before decisions have their turn again"""
IDLE_SECONDS = 600.0
"""After so long without a batch a history's features are forgotten"""


class Batch(BaseModel):
    """The next events of a history. `after` is how many of them were sent before; with none, the history begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: str = Field(min_length=1, max_length=100)
    after: int = Field(ge=0)
    events: list[Any] = Field(min_length=1, max_length=5000)


class HistoryLost(Exception):
    """The history cannot go on, and why: it is to be sent from its beginning."""


class Scoring:
    """The history that is being scored. Its methods are called in the thread that decides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name, self._used = "", 0.0
        self._history: History | None = None

    def score(self, engine: Engine, batch: Batch, part: list[Any], after: int) -> dict[str, float]:
        """The scores of a part of a batch by event, which `after` events of the history come before. Raises HistoryLost."""
        if after == 0:
            self._name, self._history = batch.history, engine.history()
        history = self._history
        if history is None or self._name != batch.history:
            raise HistoryLost("the host knows nothing of this history: it was started anew, or another was begun")
        if history.revision != engine.graph.resolved.revision:
            raise HistoryLost("another revision decides now than when the history was begun")
        if history.seen != after:
            raise HistoryLost(f"{history.seen} of its events were scored, not {after}")
        self._used = self._clock()
        return history.score(part, datetime.now(UTC))

    def forget(self) -> None:
        """Give back what a history holds that nobody goes on with. Cheap to call."""
        if self._history is not None and self._clock() - self._used > IDLE_SECONDS:
            self._name, self._history = "", None
