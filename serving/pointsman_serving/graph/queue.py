"""The queue before an engine: requests wait for their rows, batches follow the load, work in flight is bounded.

A batch is decided in one thread and committed in another: while one is being written the next is decided, and the one
after that gathers. There is no timer: an idle host decides at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import structlog

from pointsman.decisions.engine import Answer, Decided, Engine, Submission, Superseded

log = structlog.get_logger()

BATCH_EVENTS = 1024
"""Events gathered into one batch at most; one request of more is a batch of its own."""
PENDING_EVENTS = 8192
"""Events taken in and not yet decided; beyond that, requests wait before they are taken in."""
WAITING_REQUESTS = 256
"""Requests that may wait; one more is told to come back."""

T = TypeVar("T")
Taken = list[tuple[Submission, asyncio.Future[list[Answer]]]]


class Overloaded(Exception):
    """Nothing is taken in now: too many requests wait already, or the host does not decide."""


class DecisionQueue:
    """Feeds the engine that `engine` gives, batch by batch, once `run` runs. `lost` is told of every batch that failed."""

    def __init__(self, engine: Callable[[], Engine], lost: Callable[[Exception], None]) -> None:
        self._engine, self._lost = engine, lost
        self._deciding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deciding")
        self._committing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="committing")
        self._turn = asyncio.Lock()
        self._settling: asyncio.Task[None] | None = None
        self._queue = deque[tuple[Submission, asyncio.Future[list[Answer]]]]()
        self._room = asyncio.Condition()
        self._work = asyncio.Event()
        self.pending = 0
        """Events taken in and not answered"""
        self.waiting = 0
        """Requests that wait before they are taken in"""

    async def decide(self, events: Sequence[object], *, arrived: float, synchronous: bool) -> list[Answer]:
        """Queue the events and wait for their committed answers.

        Raises Overloaded, StoreUnavailable, or Fenced when another host serves this graph.
        """
        return await (await self.submit(Submission(events=events, arrived=arrived, synchronous=synchronous)))

    async def submit(self, submission: Submission) -> asyncio.Future[list[Answer]]:
        """Queue events once there is room; the committed answers come later. Raises Overloaded."""
        await self._wait_for_room(len(submission.events))
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._queue.append((submission, future))
        self._work.set()
        return future

    @contextlib.asynccontextmanager
    async def between_batches(self) -> AsyncIterator[None]:
        """A time when nothing is decided and nothing is on its way to the store."""
        async with self._turn:
            await self._settled()
            yield

    async def in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        """Call it in the thread that decides, which the engine belongs to."""
        return await _run(self._deciding, call, *arguments)

    async def run(self) -> None:
        """Decide what comes, for ever."""
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

    async def drain(self) -> None:
        """Wait until what was taken in is answered."""
        while self.pending:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let the threads end."""
        self._deciding.shutdown(wait=False)
        self._committing.shutdown(wait=False)

    async def _wait_for_room(self, events: int) -> None:
        def there_is_room() -> bool:
            return not self.pending or self.pending + events <= PENDING_EVENTS

        if self.waiting or not there_is_room():
            if self.waiting >= WAITING_REQUESTS:
                raise Overloaded(f"{self.waiting} requests are waiting already")
            self.waiting += 1
            try:
                async with self._room:
                    await self._room.wait_for(there_is_room)
            finally:
                self.waiting -= 1
        self.pending += events

    def _take(self) -> Taken:
        taken, size = [self._queue.popleft()], 0
        size = len(taken[0][0].events)
        while self._queue and size + len(self._queue[0][0].events) <= BATCH_EVENTS:
            if (taken[0][0].read or self._queue[0][0].read) is not None:
                break  # what was read is refused where its source stands elsewhere, and nobody else's events with it
            taken.append(self._queue.popleft())
            size += len(taken[-1][0].events)
        return taken

    async def _decided(self, taken: Taken) -> Decided | None:
        """The batch, decided; None where that must be done over, after the one before has been settled."""
        try:
            return await self.in_thread(self._engine().decide, [each for each, _ in taken])
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
        answers = None
        try:
            engine = self._engine()
            if decided is not None:
                with contextlib.suppress(psycopg.OperationalError, Superseded):
                    answers = await _run(self._committing, engine.commit, decided)
            if answers is None:
                answers = await self.in_thread(engine.process, [each for each, _ in taken])
        except Exception as error:  # noqa: BLE001  every caller learns of the failure
            await self._give_back(taken, error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        await self._make_room(taken)

    async def _give_back(self, taken: Taken, error: Exception) -> None:
        self._lost(error)
        for _, future in taken:
            if not future.done():
                future.set_exception(error)
        await self._make_room(taken)

    async def _make_room(self, taken: Taken) -> None:
        self.pending -= sum(len(each.events) for each, _ in taken)
        if self.waiting:
            async with self._room:
                self._room.notify_all()


async def _run(thread: ThreadPoolExecutor, call: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, call, *arguments)
