"""Looks every second or so for review items whose deadline has passed, and does what their graph says."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import psycopg
import structlog
from starlette.concurrency import run_in_threadpool

from pointsman.console.metrics import Verdicts
from pointsman.console.store import Store, Unavailable, now
from pointsman.reviews import queue, verdicts

log = structlog.get_logger()

EVERY_SECONDS = 2.0


class Sweeper:
    """Runs beside the API for as long as it serves. Several at once do no harm: a graph's items have one lock."""

    def __init__(self, store: Store, counted: Verdicts) -> None:
        self._store, self._counted = store, counted
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="sweep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                await run_in_threadpool(sweep, self._store, self._counted)
            except (Unavailable, psycopg.Error) as error:
                log.warning("overdue items were not looked for", error=" ".join(str(error).split()))
            await asyncio.sleep(EVERY_SECONDS)


def sweep(store: Store, counted: Verdicts) -> None:
    """Escalate or expire what is overdue in every graph, as its `review.onDeadline` says; each item is counted once."""
    moment = now()
    for graph in store.graphs():
        with store.connection() as connection:
            if graph.document.spec.review.on_deadline == "Expire":
                done = verdicts.expire(connection, graph.uid, moment)
            else:
                done = queue.escalate(connection, graph.uid, moment)
        if done:
            counted.past_deadline(graph, done)
            log.info("overdue review items", graph=graph.name, items=done, does=graph.document.spec.review.on_deadline)
