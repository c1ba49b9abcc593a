"""Looks every second or so for review items whose deadline has passed, and does what their graph says; and for policies that
the platform's owner has changed, and puts them in force.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import structlog
from starlette.concurrency import run_in_threadpool

from pointsman.console.metrics import Verdicts
from pointsman.console.store import Store, Unavailable, now
from pointsman.governance import policy_store
from pointsman.governance.policies import PolicyRefused, policies_of
from pointsman.reviews import queue, verdicts

log = structlog.get_logger()

EVERY_SECONDS = 2.0


class PolicyFile:
    """A file with the owner's policies; ours are in force while there is none. Raises PolicyRefused where it holds others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._read()
        self._followed = False
        policies_of(self._seen)

    def follow(self, store: Store) -> None:
        """Put in force what the file says, when this begins and whenever it has changed: replicas see a change at different
        moments, and none is to undo what another has done. Policies that cannot be in force leave those before them.
        """
        now_there = self._read()
        if self._followed and now_there == self._seen:
            return
        try:
            with store.connection() as connection:
                if policy_store.put(connection, now_there, now=now()):
                    log.info("policies are in force", of=str(self._path) if now_there is not None else "the release")
        except PolicyRefused as error:
            log.error("policies are not put in force", file=str(self._path), why=str(error))
        self._seen, self._followed = now_there, True

    def _read(self) -> str | None:
        return self._path.read_text() if self._path.exists() else None


class Sweeper:
    """Runs beside the API for as long as it serves. Several at once do no harm: a graph's items have one lock."""

    def __init__(self, store: Store, counted: Verdicts, policies: PolicyFile | None) -> None:
        self._store, self._counted, self._policies = store, counted, policies
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
                if self._policies is not None:
                    await run_in_threadpool(self._policies.follow, self._store)
                await run_in_threadpool(sweep, self._store, self._counted)
            except (Unavailable, psycopg.Error) as error:
                log.warning("overdue items and policies were not looked for", error=" ".join(str(error).split()))
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
