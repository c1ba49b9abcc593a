"""Runs an engine behind a queue: requests wait for their rows, batches follow the load, work in flight is bounded.

While one batch is decided and committed in the engine's thread, the next one gathers. There is no timer: an idle host
decides at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Answer, Engine, Fenced, Submission
from pointsman.decisions.queries import record_revision
from pointsman.graphs.resolve import ResolvedGraph
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.load import LoadedGraph, load

log = structlog.get_logger()

BATCH_EVENTS = 1024
"""Events gathered into one batch at most; one request of more is a batch of its own."""
PENDING_EVENTS = 8192
"""Events taken in and not yet decided; beyond that, requests wait before they are taken in."""
WAITING_REQUESTS = 256
"""Requests that may wait; one more is told to come back."""


class Overloaded(Exception):
    """Too many requests wait already."""


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether a decision would be made now, by which revision, and if not, why."""

    ready: bool
    revision: str
    reason: str
    message: str


class GraphHost:
    """One graph, one writer. `start` it on the event loop that will call it."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.name = config.resolved.graph.metadata.name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine: Engine | None = None
        self._loaded: LoadedGraph | None = None
        self._revision = config.resolved.revision
        self._queue = deque[tuple[Submission, asyncio.Future[list[Answer]]]]()
        self._pending = 0
        self._waiting = 0
        self._room = asyncio.Condition()
        self._work = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._trouble: tuple[str, str] | None = ("HostStarting", "the graph is being loaded")

    async def start(self) -> None:
        """Load the graph, take it over, rebuild its state, and begin to decide. Raises what made that impossible."""
        self._engine = await asyncio.get_running_loop().run_in_executor(self._thread, self._open, self.config.resolved)
        self._trouble = None
        self._runner = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Decide what was taken in, then give everything back."""
        while self._pending and self._trouble is None:
            await asyncio.sleep(0.01)
        if self._runner is not None:
            self._runner.cancel()
        if self._engine is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.close)
        if self._loaded is not None:
            self._loaded.close()
        self._thread.shutdown(wait=False)

    async def decide(self, events: Sequence[object], *, synchronous: bool) -> list[Answer]:
        """Queue the events and wait for their committed answers.

        Raises Overloaded, StoreUnavailable, or Fenced when another host serves this graph.
        """
        arrived = time.monotonic()
        if self._trouble is not None:
            raise Overloaded(self._trouble[1])
        await self._wait_for_room(len(events))
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._queue.append((Submission(events=events, arrived=arrived, synchronous=synchronous), future))
        self._work.set()
        return await future

    async def import_history(self, events: Sequence[object]) -> tuple[int, int]:
        """Record events that only warm up features; (new, broken). Raises ValueError after the first decision."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ready_engine.import_history, events)

    async def switch(self, resolved: ResolvedGraph) -> str:
        """Load another revision beside the serving one, then switch between two batches. Idempotent.

        Raises what load raises; the old revision goes on then.
        """
        if resolved.revision != self._revision:
            engine, before = self._ready_engine, self._loaded
            loaded = await asyncio.to_thread(load, resolved)

            def change() -> None:
                record_revision(engine.connection, resolved)
                engine.switch(loaded.compiled, loaded.ports)

            await asyncio.get_running_loop().run_in_executor(self._thread, change)
            self._revision, self._loaded = resolved.revision, loaded
            if before is not None:
                before.close()
            log.info("switched", graph=self.name, revision=resolved.revision)
        return self._revision

    def readiness(self) -> Readiness:
        """What the ready check answers."""
        reason, message = self._trouble or ("Ready", "")
        return Readiness(ready=self._trouble is None, revision=self._revision, reason=reason, message=message)

    def stats(self) -> dict[str, Any]:
        """Counters and the seconds each step has taken since the start."""
        stats = self._ready_engine.stats
        return {
            "revision": self._revision,
            "decided": stats.decided,
            "batches": stats.batches,
            "overdue": stats.overdue,
            "pending": self._pending,
            "steps": {
                step: {"seconds": seconds, "rows": stats.rows[step]} for step, seconds in stats.seconds.copy().items()
            },
        }

    @property
    def _ready_engine(self) -> Engine:
        if self._engine is None:
            raise Overloaded("the graph is being loaded")
        return self._engine

    def _open(self, resolved: ResolvedGraph) -> Engine:
        loaded = self._loaded = load(resolved)
        committer = Committer(self.config.database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
        engine = Engine(loaded.compiled, loaded.ports, committer)
        engine.open()
        record_revision(engine.connection, resolved)
        log.info("ready", graph=self.name, revision=resolved.revision, next_seq=engine.next_seq)
        return engine

    async def _wait_for_room(self, events: int) -> None:
        async with self._room:
            if self._pending and self._pending + events > PENDING_EVENTS:
                if self._waiting >= WAITING_REQUESTS:
                    raise Overloaded(f"{self._waiting} requests are waiting already")
                self._waiting += 1
                try:
                    await self._room.wait_for(lambda: not self._pending or self._pending + events <= PENDING_EVENTS)
                finally:
                    self._waiting -= 1
            self._pending += events

    def _take(self) -> list[tuple[Submission, asyncio.Future[list[Answer]]]]:
        taken, size = [self._queue.popleft()], 0
        size = len(taken[0][0].events)
        while self._queue and size + len(self._queue[0][0].events) <= BATCH_EVENTS:
            taken.append(self._queue.popleft())
            size += len(taken[-1][0].events)
        return taken

    async def _run(self) -> None:
        loop, engine = asyncio.get_running_loop(), self._ready_engine
        while True:
            await self._work.wait()
            if not self._queue:
                self._work.clear()
                continue
            taken = self._take()
            try:
                answers = await loop.run_in_executor(self._thread, engine.process, [each for each, _ in taken])
            except Exception as error:  # noqa: BLE001  the loop must live; every caller learns of the failure
                log.error("a batch was not decided", graph=self.name, error=repr(error))
                if isinstance(error, Fenced):
                    self._trouble = ("HostFailed", "another host has taken this graph over")
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(taken, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
            async with self._room:
                self._pending -= sum(len(each.events) for each, _ in taken)
                self._room.notify_all()
