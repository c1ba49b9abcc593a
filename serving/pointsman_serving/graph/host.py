"""Hosts a graph: who has it, with which revision, and what a change of either does to the decisions that are being made.

A revision is made ready beside the one that serves, and takes over between two batches; one that cannot be is refused, and
the old one goes on. A host that stands by is ready and has not taken the graph over: it does with the first request for a
decision, or when it is told to. One that was taken over from decides nothing, and never takes the graph back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import psycopg
import structlog

from pointsman.api.reasons import Reason
from pointsman.certificates.report import BandReport
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Answer, Engine, Fenced, StoreUnavailable, Submission
from pointsman.decisions.offsets import Offsets
from pointsman.decisions.queries import record_revision, recorded_revision
from pointsman.decisions.turns import Turn, take_turn
from pointsman.governance.keyring import Keyring, Known, known
from pointsman.graphs.activity import QUIET, Activities, Activity
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.described import Moment, Readiness, Standing
from pointsman_serving.graph.model_files import ModelFiles
from pointsman_serving.graph.queue import DecisionQueue, Overloaded
from pointsman_serving.graph.revision import Prepared, RevisionRefused, prepare
from pointsman_serving.graph.source_reader import SourceReader, reader_of

log = structlog.get_logger()

WATCH_SECONDS = 1.0
"""How often the open review items are counted, and a host that stands by catches up."""
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 15.0, 600.0
"""Until a revision that was refused is tried again, at first and at most: what kept it from loading may pass."""
STORE_RETRY_SECONDS = 0.5
AGAIN_SECONDS = 2.0
"""Until settings are tried again that the store kept from being taken over."""
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter from another: a commit's short steps wait behind the deciding of a batch."""
GARBAGE_THRESHOLD = 100_000
"""Objects between two looks for cycles: a batch makes ten thousands of objects, none of them in a cycle."""

T = TypeVar("T")


class ReviewQueueFull(Exception):
    """People have more open items than the graph allows: nothing more is taken in until some are decided."""


class GraphHost:
    """One graph, one writer. `start` it on the event loop that will call it."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.name = config.resolved.graph.metadata.name
        self.keyring = Keyring(self._known) if config.require_keys else None
        self._files = ModelFiles(folder=config.models_folder, registry_url=config.registry_url)
        self._queue = DecisionQueue(lambda: self._ready_engine, self._note_failure)
        self._engine: Engine | None = None
        self._prepared: Prepared | None = None
        self._standing = Standing.STARTING
        self._trouble: tuple[str, str] | None = ("HostStarting", "the graph is being loaded")
        self._refused: RevisionRefused | None = None
        self._committer: Committer | None = None
        self._turn = Turn(number=0, is_over=False)
        self._told: tuple[bool, int] | None = None
        self._wanted, self._news = config, asyncio.Event()
        self._changing, self._placing = asyncio.Lock(), asyncio.Lock()
        self._tasks = list[asyncio.Task[None]]()
        self.store_is_away = asyncio.Event()
        """Set where a start has to wait for the store: it may take long"""
        self._open_reviews, self._escalated = 0, False
        self._bands: tuple[BandReport, ...] = ()
        self._store_answers = False
        self._source: SourceReader | None = None
        self._activities = Activities()

    async def start(self) -> None:
        """Make the graph ready, take it over unless this host stands by, and begin to decide.

        Waits for as long as the store is away. Raises RevisionRefused where neither the revision that is wanted nor the
        one that served last can be loaded.
        """
        settle_interpreter()
        await self._begin(self.config)
        gc.collect()
        gc.freeze()
        self._tasks = [asyncio.create_task(each) for each in (self._queue.run(), self._watch(), self._follow())]

    async def stop(self) -> None:
        """Decide what was taken in, then give everything back."""
        if self._source is not None:
            await self._source.stop()
        if self._trouble is None:
            await self._queue.drain()
        for task in self._tasks:
            task.cancel()
        if self._engine is not None:
            await self._queue.in_thread(self._engine.close)
        if self._prepared is not None:
            self._prepared.close()
        self._queue.close()

    async def decide(self, events: Sequence[object], *, synchronous: bool) -> list[Answer]:
        """Queue the events and wait for their committed answers. A host that stands by takes the graph over first.

        Raises Overloaded, ReviewQueueFull, StoreUnavailable, or Fenced when another host serves this graph.
        """
        arrived = time.monotonic()
        if self._standing is Standing.STANDBY:
            await asyncio.shield(self._take_over())  # whoever asked may go away meanwhile
        if self.full is not None:
            raise ReviewQueueFull(self.full)
        return await self._queue.decide(events, arrived=arrived, synchronous=synchronous)

    @property
    def full(self) -> str | None:
        """Why nothing more is taken in, where people have enough to do. Raises Overloaded where nothing is decided."""
        graph = self._serving_engine.graph
        most = graph.max_open_reviews
        if self._open_reviews < most or graph.overflow_outcome is not None:
            return None
        return f"{most} items wait for people (review.maxOpen): decide some of them first"

    async def import_history(self, events: Sequence[object]) -> tuple[int, int]:
        """Record events that only warm up features; (new, broken). Raises ValueError after the first decision."""
        async with self._queue.between_batches():
            return await self._queue.in_thread(self._serving_engine.import_history, events)

    async def switch(self, resolved: ResolvedGraph) -> str:
        """Make another revision ready beside the one that serves, then switch between two batches. Idempotent.

        Raises RevisionRefused; the old revision goes on then.
        """
        async with self._changing:
            before = self._prepared
            if before is None or self._standing is Standing.TAKEN_OVER:
                raise Overloaded((self._trouble or ("", "the graph is being loaded"))[1])
            try:
                if resolved.revision != before.resolved.revision:
                    await self._switch(before, resolved)
            except RevisionRefused as refusal:
                self._refused = refusal
                raise
            self._refused = None
            return resolved.revision

    def follow(self, config: HostConfig) -> None:
        """Take these settings over, beside the decisions that are made; `readiness` says what is refused of them."""
        self._wanted = config
        self._news.set()

    def refuse(self, message: str) -> None:
        """Say that there were settings that cannot be read."""
        self._refused = RevisionRefused("", message)

    def failure(self) -> str | None:
        """What a new start would mend. A host that was taken over from is well: it must not take the graph back."""
        ended = next((task for task in self._tasks if task.done()), None)
        return None if ended is None else f"the host does not go on: {ended!r}"

    def readiness(self) -> Readiness:
        """What the ready check answers."""
        return self.moment().readiness()

    def moment(self) -> Moment:
        """What there is to tell of this host now."""
        prepared, engine = self._prepared, self._engine
        return Moment(
            graph=self.name,
            standing=self._standing,
            trouble=self._trouble,
            refused=self._refused,
            serves=self.config.resolved if prepared is None else prepared.resolved,
            prepared=prepared,
            engine=engine,
            pending=self._queue.pending,
            waiting=self._queue.waiting,
            open_reviews=self._open_reviews,
            store_answers=self._store_answers,
            source=None if self._source is None else self._source.report(),
            bands=self._bands,
            activity=self._activity(),
        )

    def _activity(self) -> Activity:
        if self._engine is None or self._standing is not Standing.SERVING:
            return QUIET
        return self._activities.report(
            self._engine.stats.recent.share, self._engine.newest_events(), self._reviews(), now=time.monotonic()
        )

    def _reviews(self) -> Reason | None:
        """Why people do not keep up, where they do not."""
        graph = self._ready_engine.graph
        if self._open_reviews >= graph.max_open_reviews:
            return Reason.ReviewQueueFull if graph.overflow_outcome is None else Reason.ReviewOverflow
        return Reason.ReviewEscalated if self._escalated else None

    @property
    def _ready_engine(self) -> Engine:
        if self._engine is None:
            raise Overloaded("the graph is being loaded")
        return self._engine

    @property
    def _serving_engine(self) -> Engine:
        if self._standing is not Standing.SERVING:
            raise Overloaded((self._trouble or ("", "this host stands by"))[1])
        return self._ready_engine

    # for who reads the source

    async def submit(self, submission: Submission) -> asyncio.Future[list[Answer]]:
        """Queue events once there is room; the committed answers come later. Raises Overloaded."""
        assert self._serving_engine is not None
        return await self._queue.submit(submission)

    async def begin_source(self, source: str, starts: Callable[[Offsets], Mapping[int, int]]) -> Offsets:
        """Begin partitions of a source that are not read yet, as `starts` says of all that are; how far all are read.

        Raises Overloaded, StoreUnavailable, psycopg.OperationalError or Fenced.
        """
        engine = self._serving_engine

        def begin() -> Offsets:
            engine.begin_source(source, starts(engine.offsets()))
            return engine.offsets()

        async with self._queue.between_batches():
            return await self._queue.in_thread(begin)

    async def open_dead_letters(self) -> int:
        """How many there are. Raises psycopg.OperationalError."""
        return await self._queue.in_thread(self._ready_engine.open_dead_letters)

    def opened_reviews(self, count: int) -> None:
        """So many more items wait for people; they are counted a second later."""
        self._open_reviews += count

    async def _read_source(self, resolved: ResolvedGraph) -> None:
        """Read the revision's source from now on; one that is read as it says is read on."""
        before, wanted = self._source, reader_of(self, resolved, self.config.secrets_folder)
        if before is not None and wanted is not None and before.reads_as(wanted):
            return
        if before is not None:
            await before.stop()
        self._source = wanted
        if wanted is not None:
            wanted.start()

    def _known(self) -> Known:
        with connect(self.config.database_url) as connection:
            return known(connection)

    def _note_failure(self, error: Exception) -> None:
        log.error("a batch was not decided", graph=self.name, error=repr(error))
        if isinstance(error, Fenced):
            self._lose()

    # who has the graph

    async def _begin(self, config: HostConfig) -> None:
        """Load what these settings want, or what served last, and serve with it or stand by."""
        await self._patiently(self._line_up, config)
        if self._turn.is_over:
            self._lose()
            return
        self._place(await self._patiently(asyncio.to_thread, self._prepare_any, config.resolved))
        self._standing, self._trouble = Standing.STANDBY, None
        if not config.standby:
            with contextlib.suppress(Fenced):
                await self._patiently(self._take_over)
        log.info("ready", graph=self.name, revision=self.readiness().revision, standing=self._standing.value)

    async def _patiently(self, call: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Call it over and over while the store is away."""
        while True:
            try:
                return await call(*arguments)
            except (psycopg.Error, StoreUnavailable) as error:
                message = f"the decision store does not answer: {_line(error)}"
                log.warning(message, graph=self.name)
                self._trouble = ("DatabaseUnreachable", message)
                self.store_is_away.set()
            await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _line_up(self, config: HostConfig) -> None:
        """Know this host's turn, with these settings."""
        told = config.told
        if told == self._told:
            return

        def take() -> Turn:
            standby, order = told
            with connect(config.database_url) as connection:
                uid = config.resolved.graph_uid
                return take_turn(connection, uid, config.host_name, standby=standby, order=order)

        self._turn, self._told = await asyncio.to_thread(take), told

    async def _take_over(self) -> None:
        """From the host that has the graph; once, whoever asks. Raises Fenced where one that came later has it."""
        async with self._placing:
            if self._standing is not Standing.STANDBY:
                return
            try:
                await self._queue.in_thread(self._open)
            except Fenced:
                self._lose()
                raise
            self._standing, self._trouble = Standing.SERVING, None
            await self._read_source(self._ready_engine.graph.resolved)

    def _open(self) -> None:
        engine = self._ready_engine
        if self._committer is not None:
            self._committer.turn = self._turn.number
        engine.open()
        self._record(engine, engine.graph.resolved)

    def _lose(self) -> None:
        log.warning("another host has this graph", graph=self.name, host=self.config.host_name)
        self._standing = Standing.TAKEN_OVER
        self._trouble = ("HostFailed", "another host has taken this graph over")
        if self._source is not None:
            self._source.end()

    # which revision decides

    def _prepare_any(self, resolved: ResolvedGraph) -> Prepared:
        """The revision that is wanted, or the one that served last. Raises RevisionRefused, psycopg.Error."""
        try:
            return self._prepare(resolved, None)
        except RevisionRefused as refusal:
            with connect(self.config.database_url) as connection:
                recorded = recorded_revision(connection, resolved.graph_uid)
            if recorded is None or recorded.revision == resolved.revision or recorded.stream_uid != resolved.stream_uid:
                raise
            try:
                prepared = self._prepare(recorded, None)
            except RevisionRefused as also:
                message = f"{refusal}; nor can the revision be loaded that served last, {also.revision}: {also}"
                raise RevisionRefused(resolved.revision, message) from also
            self._refused = refusal
            return prepared

    def _prepare(self, resolved: ResolvedGraph, serving: Engine | None) -> Prepared:
        return prepare(
            resolved,
            self._files,
            database_url=self.config.database_url,
            remembered=lambda graph: serving is not None and serving.remembers(graph),
        )

    def _place(self, prepared: Prepared) -> None:
        """Put an engine of this revision in the place of the one before, which has not taken the graph over."""
        resolved = prepared.resolved
        self._committer = Committer(
            self.config.database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid
        )
        loaded = prepared.loaded
        self._engine = Engine(loaded.compiled, loaded.ports, self._committer, warm=prepared.warm)
        self._prepared = prepared

    async def _switch(self, before: Prepared, resolved: ResolvedGraph) -> None:
        if (resolved.graph_uid, resolved.stream_uid) != (before.resolved.graph_uid, before.resolved.stream_uid):
            raise RevisionRefused(resolved.revision, "another graph or another stream needs a host of its own")
        serving = self._engine if self._standing is Standing.SERVING else None
        prepared = await asyncio.to_thread(self._prepare, resolved, serving)
        try:
            async with self._placing:
                if self._standing is Standing.STANDBY:
                    self._place(prepared)
                else:
                    async with self._queue.between_batches():
                        await self._queue.in_thread(self._change, prepared)
                    self._prepared = prepared
        except BaseException:
            prepared.close()
            raise
        self._refused = None
        if self._standing is Standing.SERVING:
            await self._read_source(resolved)
        before.close()
        digests = [model.digest for model in resolved.models.values()]
        await asyncio.to_thread(self._files.keep, digests)
        log.info("switched", graph=self.name, revision=resolved.revision)

    def _change(self, prepared: Prepared) -> None:
        engine, loaded = self._serving_engine, prepared.loaded
        try:
            self._record(engine, prepared.resolved)
        except psycopg.OperationalError:  # of an idle host nobody notices that its connection broke
            engine.reopen()
            self._record(engine, prepared.resolved)
        engine.switch(loaded.compiled, loaded.ports, prepared.warm)

    def _record(self, engine: Engine, resolved: ResolvedGraph) -> None:
        record_revision(engine.connection, resolved, address=self.config.address)
        engine.serves(resolved.revision)

    # beside the decisions

    async def _follow(self) -> None:
        """Take over what is wanted, and try again what was refused."""
        refusals = 0 if self._refused is None else 1
        pause = RETRY_SECONDS if refusals else None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
                refusals = 0
            self._news.clear()
            try:
                await self._become(self._wanted)
                pause = None
            except RevisionRefused:
                pause = min(RETRY_SECONDS * 2**refusals, LONGEST_RETRY_SECONDS)
                refusals += 1
            except Exception as error:  # noqa: BLE001  the loop must live; mostly it is the store that is away
                log.warning("settings are not taken over yet", graph=self.name, error=_line(error))
                pause = AGAIN_SECONDS

    async def _become(self, wanted: HostConfig) -> None:
        await self._line_up(wanted)
        if self._standing is Standing.TAKEN_OVER:
            if not self._turn.is_over:
                await self._begin_again(wanted)
            return
        if self._standing is Standing.STANDBY and not wanted.standby:
            await self._take_over()
        await self.switch(wanted.resolved)

    async def _begin_again(self, wanted: HostConfig) -> None:
        engine, prepared = self._engine, self._prepared
        await self._queue.drain()
        await self._begin(wanted)
        if engine is not None:
            await self._queue.in_thread(engine.close)
        if prepared is not None:
            prepared.close()

    async def _watch(self) -> None:
        """Know a second late at most how many items wait, and whether another has the graph; catch up while it has."""
        while True:
            try:
                if self._standing is Standing.SERVING:
                    await self._look()
                elif self._standing is Standing.STANDBY:
                    await self._keep_up()
                self._store_answers = True
            except psycopg.Error as error:
                self._store_answers = False
                log.warning("the decision store does not answer", graph=self.name, error=_line(error))
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        engine = self._ready_engine
        waiting = await self._queue.in_thread(engine.open_reviews)
        self._open_reviews, self._escalated = waiting.count, waiting.escalated
        if engine.graph.certificates_required:
            self._bands = await self._queue.in_thread(engine.bands)
        if not await self._queue.in_thread(engine.holds):
            self._lose()

    async def _keep_up(self) -> None:
        async with self._placing:
            if self._standing is Standing.STANDBY and self._prepared is not None:
                await self._queue.in_thread(self._prepared.catch_up, self.config.database_url)


def settle_interpreter() -> None:
    """Settings of the process that hosts a graph: thread switches and garbage collection."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_THRESHOLD, 50, 50)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


__all__ = ["GraphHost", "Overloaded", "ReviewQueueFull", "settle_interpreter"]
