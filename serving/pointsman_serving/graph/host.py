"""Runs an engine behind a queue: requests wait for their rows, batches follow the load, work in flight is bounded.

A batch is decided in one thread and committed in another: while one is being written the next is decided, and the one
after that gathers. There is no timer: an idle host decides at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import structlog

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Answer, Decided, Engine, Fenced, Submission, Superseded
from pointsman.decisions.queries import record_revision
from pointsman.governance.keyring import Keyring
from pointsman.governance.keys import Key, all_keys
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.load import LoadedGraph, load
from pointsman_serving.graph.metrics import Observed

log = structlog.get_logger()

BATCH_EVENTS = 1024
"""Events gathered into one batch at most; one request of more is a batch of its own."""
PENDING_EVENTS = 8192
"""Events taken in and not yet decided; beyond that, requests wait before they are taken in."""
WAITING_REQUESTS = 256
"""Requests that may wait; one more is told to come back."""

COUNT_SECONDS = 1.0
"""How often the open review items are counted."""
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter from another: a commit's short steps wait behind the deciding of a batch."""
GARBAGE_THRESHOLD = 100_000
"""Objects between two looks for cycles: a batch makes ten thousands of objects, none of them in a cycle."""

T = TypeVar("T")
Taken = list[tuple[Submission, asyncio.Future[list[Answer]]]]


class Overloaded(Exception):
    """Too many requests wait already."""


class ReviewQueueFull(Exception):
    """People have more open items than the graph allows: nothing more is taken in until some are decided."""


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
        self.keyring = Keyring(self._read_keys) if config.require_keys else None
        self._deciding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deciding")
        self._committing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="committing")
        self._turn = asyncio.Lock()
        self._settling: asyncio.Task[None] | None = None
        self._engine: Engine | None = None
        self._loaded: LoadedGraph | None = None
        self._revision = config.resolved.revision
        self._queue = deque[tuple[Submission, asyncio.Future[list[Answer]]]]()
        self._pending = 0
        self._waiting = 0
        self._room = asyncio.Condition()
        self._work = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._counter: asyncio.Task[None] | None = None
        self._open_reviews = 0
        self._store_answers = False
        self._trouble: tuple[str, str] | None = ("HostStarting", "the graph is being loaded")

    async def start(self) -> None:
        """Load the graph, take it over, rebuild its state, and begin to decide. Raises what made that impossible."""
        settle_interpreter()
        self._engine = await _run(self._deciding, self._open, self.config.resolved)
        gc.collect()
        gc.freeze()
        self._trouble = None
        self._runner = asyncio.create_task(self._run())
        self._counter = asyncio.create_task(self._count_reviews())

    async def stop(self) -> None:
        """Decide what was taken in, then give everything back."""
        while self._pending and self._trouble is None:
            await asyncio.sleep(0.01)
        for task in (self._runner, self._counter):
            if task is not None:
                task.cancel()
        if self._engine is not None:
            await _run(self._deciding, self._engine.close)
        if self._loaded is not None:
            self._loaded.close()
        self._deciding.shutdown(wait=False)
        self._committing.shutdown(wait=False)

    async def decide(self, events: Sequence[object], *, synchronous: bool) -> list[Answer]:
        """Queue the events and wait for their committed answers.

        Raises Overloaded, ReviewQueueFull, StoreUnavailable, or Fenced when another host serves this graph.
        """
        arrived = time.monotonic()
        if self._trouble is not None:
            raise Overloaded(self._trouble[1])
        most = self._ready_engine.graph.max_open_reviews
        if self._open_reviews >= most:
            raise ReviewQueueFull(f"{most} items wait for people (review.maxOpen): decide some of them first")
        await self._wait_for_room(len(events))
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._queue.append((Submission(events=events, arrived=arrived, synchronous=synchronous), future))
        self._work.set()
        return await future

    async def import_history(self, events: Sequence[object]) -> tuple[int, int]:
        """Record events that only warm up features; (new, broken). Raises ValueError after the first decision."""
        async with self._turn:
            await self._settled()
            return await _run(self._deciding, self._ready_engine.import_history, events)

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

            async with self._turn:
                await self._settled()
                await _run(self._deciding, change)
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

    def observed(self, requests: Mapping[tuple[int, str], int]) -> Observed:
        """What metrics are made of; `requests` are those that the ingress has answered, by status and reason."""
        state, loaded = self.readiness(), self._loaded
        return Observed(
            graph=self.name,
            ready=state.ready,
            reason=state.reason,
            revision=state.revision,
            pending=self._pending,
            waiting=self._waiting,
            open_reviews=self._open_reviews,
            store_answers=self._store_answers,
            requests=requests,
            stats=None if self._engine is None else self._engine.stats,
            compiled=None if loaded is None else loaded.compiled,
            ports={} if loaded is None else loaded.ports,
        )

    @property
    def _ready_engine(self) -> Engine:
        if self._engine is None:
            raise Overloaded("the graph is being loaded")
        return self._engine

    def _read_keys(self) -> dict[bytes, Key]:
        with connect(self.config.database_url) as connection:
            return all_keys(connection)

    def _open(self, resolved: ResolvedGraph) -> Engine:
        loaded = self._loaded = load(resolved)
        committer = Committer(self.config.database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
        engine = Engine(loaded.compiled, loaded.ports, committer)
        engine.open()
        record_revision(engine.connection, resolved)
        log.info("ready", graph=self.name, revision=resolved.revision, next_seq=engine.next_seq)
        return engine

    async def _wait_for_room(self, events: int) -> None:
        def there_is_room() -> bool:
            return not self._pending or self._pending + events <= PENDING_EVENTS

        if self._waiting or not there_is_room():
            if self._waiting >= WAITING_REQUESTS:
                raise Overloaded(f"{self._waiting} requests are waiting already")
            self._waiting += 1
            try:
                async with self._room:
                    await self._room.wait_for(there_is_room)
            finally:
                self._waiting -= 1
        self._pending += events

    def _take(self) -> Taken:
        taken, size = [self._queue.popleft()], 0
        size = len(taken[0][0].events)
        while self._queue and size + len(self._queue[0][0].events) <= BATCH_EVENTS:
            taken.append(self._queue.popleft())
            size += len(taken[-1][0].events)
        return taken

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            if not self._queue:
                self._work.clear()
                continue
            async with self._turn:
                taken = self._take()
                if not self._queue and (self._settling is None or self._settling.done()):
                    await self._settle(taken, None)  # nothing to overlap with: all the way in one thread
                    continue
                try:
                    decided = await self._decided(taken)
                except Exception as error:  # noqa: BLE001  the loop must live; every caller learns of the failure
                    await self._give_back(taken, error)
                    continue
                await self._settled()
                self._settling = asyncio.create_task(self._settle(taken, decided))

    async def _count_reviews(self) -> None:
        """Know how many items wait, a second late at most; what could not be counted is counted again."""
        while True:
            try:
                self._open_reviews = await _run(self._deciding, self._ready_engine.open_reviews)
                self._store_answers = True
            except psycopg.OperationalError as error:
                self._store_answers = False
                log.warning("open review items were not counted", error=" ".join(str(error).split()))
            await asyncio.sleep(COUNT_SECONDS)

    async def _decided(self, taken: Taken) -> Decided | None:
        """The batch, decided; None where that must be done over, after the one before has been settled."""
        try:
            return await _run(self._deciding, self._ready_engine.decide, [each for each, _ in taken])
        except (psycopg.OperationalError, Superseded):
            return None

    async def _settled(self) -> None:
        """Wait until nothing is on its way to the store."""
        if self._settling is not None:
            await self._settling

    async def _settle(self, taken: Taken, decided: Decided | None) -> None:
        """Commit a batch, over and over where the store goes away, and give its callers their answers.

        One that is not decided yet, or is to be decided anew, is taken all the way.
        """
        engine, answers = self._ready_engine, None
        try:
            if decided is not None:
                with contextlib.suppress(psycopg.OperationalError, Superseded):
                    answers = await _run(self._committing, engine.commit, decided)
            if answers is None:
                answers = await _run(self._deciding, engine.process, [each for each, _ in taken])
        except Exception as error:  # noqa: BLE001  every caller learns of the failure
            await self._give_back(taken, error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        await self._make_room(taken)

    async def _give_back(self, taken: Taken, error: Exception) -> None:
        log.error("a batch was not decided", graph=self.name, error=repr(error))
        if isinstance(error, Fenced):
            self._trouble = ("HostFailed", "another host has taken this graph over")
        for _, future in taken:
            if not future.done():
                future.set_exception(error)
        await self._make_room(taken)

    async def _make_room(self, taken: Taken) -> None:
        self._pending -= sum(len(each.events) for each, _ in taken)
        if self._waiting:
            async with self._room:
                self._room.notify_all()


def settle_interpreter() -> None:
    """Settings of the process that hosts a graph: thread switches and garbage collection."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_THRESHOLD, 50, 50)


async def _run(thread: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, call, *arguments)
