"""Reads a graph's source for its host, as long as the host holds the graph: records in, batches to the host's queue.

Where to begin is asked of the store, never of the source. A batch whose events were not decided ends the reading: it is begun
again where the store stands, so that what comes behind a batch is never decided before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import psycopg
import structlog

from pointsman.api.event_stream import KafkaSource
from pointsman.api.reasons import Reason
from pointsman.decisions.engine import Answer, Fenced, Misplaced, StoreUnavailable, Submission
from pointsman.decisions.offsets import Offsets, Stretch
from pointsman.graphs.decide import REVIEW
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.ingest import kafka
from pointsman.ingest.kafka import SourceTrouble, TopicSeen
from pointsman.ingest.report import SourceReport
from pointsman_serving.graph.kafka_topic import KafkaTopic, Moved, Records

log = structlog.get_logger()
T = TypeVar("T")

BATCH_EVENTS = 1024
BATCHES = 3
"""In flight at most: one is being written, one decided, one gathers."""
WAIT_SECONDS = 0.1
"""How long a read waits for a first event."""
LOOK_SECONDS = 2.0
"""Between two looks at the topic: its partitions, its ends, whether it is reached. Kafka is told then how far the graph is."""
RETRY_SECONDS = (0.5, 5.0)
"""Before reading is begun again, the first time and at most."""
HELD_SECONDS = 0.5
"""Between two looks whether people have room for more again."""


class Decider(Protocol):
    """The host, as its reader sees it."""

    @property
    def full(self) -> str | None:
        """Why nothing more is taken in for now."""

    async def submit(self, submission: Submission) -> asyncio.Future[list[Answer]]:
        """Queue events, once there is room; the answers come when they are committed."""

    async def begin_source(self, source: str, starts: Callable[[Offsets], Mapping[int, int]]) -> Offsets:
        """Begin partitions of a source that are not read yet, as `starts` says of all that are; how far all are read."""

    async def open_dead_letters(self) -> int:
        """How many there are."""

    def opened_reviews(self, count: int) -> None:
        """So many items more wait for people; they are counted a second later."""


@dataclass(frozen=True, kw_only=True)
class _InFlight:
    stretch: Stretch
    size: int
    answers: asyncio.Future[list[Answer]]


class SourceReader:
    """One graph's reading of one topic. `start` it once the host has the graph, on the host's event loop.

    At most `most` events are in flight.
    """

    def __init__(self, host: Decider, source: KafkaSource, group: str, most: int, secrets: Path | None) -> None:
        self._reads = (source, group, most)
        self._host, self._source, self._group, self._most, self._secrets = host, source, group, most, secrets
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reading")
        self._task: asyncio.Task[None] | None = None
        self._flight = deque[_InFlight]()
        self._committed = Offsets()
        self._newest: float | None = None
        self._told = Offsets()
        self._trouble: SourceTrouble | None = None
        self._lag: int | None = None
        self._dead_letters: int | None = None
        self._held: str | None = None
        self._failed: tuple[Reason, str] | None = None
        """Why the last batch was not decided"""

    def start(self) -> None:
        """Begin to read, and go on until `stop`, or until another host has the graph."""
        self._task = asyncio.create_task(self._run(), name="source")

    async def stop(self) -> None:
        """Read no more. What was read is decided by the host, or is read again."""
        self.end()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False)

    def reads_as(self, other: SourceReader) -> bool:
        """Whether it is reading, and as the other would."""
        is_reading = self._task is not None and not self._task.done() and not self._task.cancelling()
        return is_reading and self._reads == other._reads

    def end(self) -> None:
        """Read no more from this moment on."""
        if self._task is not None and self._task.cancel():
            log.info("the source is read no more", topic=self._source.topic)

    def report(self) -> SourceReport:
        """How it stands."""
        trouble, lag = self._trouble, self._lag
        pause, paused = (Reason.ReviewQueueFull, self._held) if self._held else self._failed or (None, None)
        behind = None if self._newest is None else round(max(0.0, time.time() - self._newest), 1)
        return SourceReport(
            reached=trouble is None and lag is not None,
            reason=None if trouble is None else trouble.reason,
            cause="" if trouble is None else str(trouble),
            lag=lag,
            lag_seconds=0.0 if lag == 0 else behind,
            dead_letters=self._dead_letters,
            paused=paused,
            pause=pause,
        )

    async def _run(self) -> None:
        wait, most = RETRY_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._reading()
            except Fenced:
                log.info("the source is read no more", topic=self._source.topic)
                return
            except SourceTrouble as trouble:
                self._found(trouble)
            except Exception as error:  # noqa: BLE001  the loop must live; it begins again where the store stands
                self._failed = _why(error)
                log.warning("the source is read again from where the store stands", error=repr(error))
            wait = RETRY_SECONDS[0] if time.monotonic() - began > most else min(2 * wait, most)
            await asyncio.sleep(wait)

    async def _reading(self) -> None:
        """Connect and read, until something fails."""
        topic = await asyncio.to_thread(KafkaTopic, self._source, self._group, self._secrets)
        try:
            while True:
                seen = await asyncio.to_thread(topic.look)
                self._found(None)
                await self._begin(topic, seen)
                with contextlib.suppress(Moved):
                    await self._stream(topic, seen)
        finally:
            await self._settled()
            await self._blocking(topic.close)

    async def _begin(self, topic: KafkaTopic, seen: TopicSeen) -> None:
        """Stand where the store stands, in every partition there is."""
        offsets = await self._host.begin_source(seen.source, lambda read: kafka.beginnings(seen, read, self._source))
        lost = kafka.gaps(seen, offsets, self._source.topic)
        if lost is not None:
            await (await self._host.submit(_submission(*lost)))
            offsets |= {(seen.source, part): end for part, (_, end) in lost[1].moves.items()}
        self._committed = offsets
        at = {partition: offsets[seen.source, partition] for partition in seen.ends}
        await self._blocking(topic.begin, seen, at)
        await self._count(topic, seen)
        log.info("the source is read", topic=self._source.topic, offsets=at)

    async def _stream(self, topic: KafkaTopic, seen: TopicSeen) -> None:
        """Read on until the topic is another, or a batch was not decided. Nothing is in flight afterwards."""
        watch = asyncio.create_task(self._watch(topic, seen))
        try:
            while not watch.done():
                while self._flight and self._flight[0].answers.done():
                    await self._took()
                self._held = self._host.full
                room = min(BATCH_EVENTS, self._most - sum(each.size for each in self._flight))
                if self._held is not None and not self._flight:
                    await asyncio.sleep(HELD_SECONDS)
                elif self._held is not None or room <= 0 or len(self._flight) >= BATCHES:
                    await asyncio.wait([self._flight[0].answers])
                else:
                    await self._take_in(await self._blocking(topic.read, room, WAIT_SECONDS))
            watch.result()
            while self._flight:
                await self._took()
        finally:
            watch.cancel()
            self._held = None
            await self._settled()

    async def _take_in(self, records: Records) -> None:
        if records.events:
            self._newest = records.newest
            answers = await self._host.submit(_submission(records.events, records.stretch))
            self._flight.append(_InFlight(stretch=records.stretch, size=len(records.events), answers=answers))

    async def _took(self) -> None:
        """The oldest batch is committed. Raises why it is not."""
        done = self._flight[0]
        answers = await done.answers
        self._flight.popleft()
        self._failed = None
        self._host.opened_reviews(sum(_waits_for_a_person(each) for each in answers))
        self._committed |= {(done.stretch.source, part): end for part, (_, end) in done.stretch.moves.items()}

    async def _settled(self) -> None:
        """Wait until nothing is in flight, whatever becomes of it."""
        flight = [each.answers for each in self._flight]
        self._flight.clear()
        await asyncio.gather(*flight, return_exceptions=True)

    async def _watch(self, topic: KafkaTopic, began: TopicSeen) -> None:
        """Look at the topic now and then; return once it has other partitions. Raises SourceTrouble where we are refused."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                seen = await asyncio.to_thread(topic.look)
            except SourceTrouble as trouble:
                self._found(trouble)
                if trouble.reason is not Reason.SourceUnreachable:
                    raise
                continue
            self._found(None)
            await self._count(topic, seen)
            if self._committed != self._told:
                self._told = dict(self._committed)
                at = {part: end for (source, part), end in self._told.items() if source == seen.source}
                await self._blocking(topic.tell, at)
            if (seen.source, seen.ends.keys()) != (began.source, began.ends.keys()):
                return

    async def _count(self, topic: KafkaTopic, seen: TopicSeen) -> None:
        self._lag = kafka.lag(seen, self._committed, topic.passed)
        with contextlib.suppress(psycopg.OperationalError):
            self._dead_letters = await self._host.open_dead_letters()

    def _found(self, trouble: SourceTrouble | None) -> None:
        if str(trouble) != str(self._trouble):
            log.info(
                "the source is looked at", topic=self._source.topic, trouble=None if trouble is None else str(trouble)
            )
        self._trouble = trouble

    async def _blocking(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


def reader_of(host: Decider, resolved: ResolvedGraph, secrets: Path | None) -> SourceReader | None:
    """What reads the graph's source; None where events are sent."""
    source = resolved.stream.spec.source
    if source.kafka is None or kafka.not_honoured(source.kafka):
        return None
    group = source.kafka.group or f"pointsman-{resolved.graph.name}"
    return SourceReader(host, source.kafka, group, source.max_in_flight, secrets)


def _why(error: Exception) -> tuple[Reason, str] | None:
    """Why a batch was not decided, in words that stay the same. None where it only has to be read again."""
    if isinstance(error, Misplaced):
        return None
    if isinstance(error, (StoreUnavailable, psycopg.OperationalError)):
        return Reason.DatabaseUnreachable, "the decision store does not answer"
    return Reason.HostFailed, f"events are not decided: {' '.join(str(error).split()) or repr(error)}"


def _submission(events: Sequence[object], stretch: Stretch) -> Submission:
    return Submission(events=events, arrived=time.monotonic(), synchronous=False, read=stretch)


def _waits_for_a_person(answer: Answer) -> bool:
    sampled = not {Reason.AuditSample, Reason.ShadowSample}.isdisjoint(answer.get("reasons", ()))
    seen = answer.get("outcome") == REVIEW or sampled
    return seen and "duplicate" not in answer
