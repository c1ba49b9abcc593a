"""Hosts a graph: takes decisions, what is wanted of the graph, and what is asked about it.

`revisions` says by which revision it decides, `tenure` who has the graph, `following` what becomes of what it is told.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping, Sequence

import psycopg
import structlog

from pointsman.api.reasons import Reason
from pointsman.certificates.report import BandReport
from pointsman.decisions.engine import Answer, Engine, Fenced, Submission
from pointsman.decisions.offsets import Offsets
from pointsman.governance.keyring import Keyring, Known, known
from pointsman.graphs.activity import QUIET, Activities, Activity
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.described import Moment, Readiness, Standing
from pointsman_serving.graph.following import Following
from pointsman_serving.graph.interpreter import settle_interpreter
from pointsman_serving.graph.queue import DecisionQueue, Overloaded
from pointsman_serving.graph.revision import Prepared, RevisionRefused
from pointsman_serving.graph.revisions import Revisions
from pointsman_serving.graph.scoring import AT_ONCE, Batch, HistoryLost, Scorer, Scoring
from pointsman_serving.graph.source_reader import SourceReader, reader_of
from pointsman_serving.graph.tenure import Tenure

log = structlog.get_logger()

WATCH_SECONDS = 1.0
"""How often the open review items are counted, and a host that stands by catches up."""


class ReviewQueueFull(Exception):
    """People have more open items than the graph allows: nothing more is taken in until some are decided."""


class GraphHost:
    """One graph, one writer. `start` it on the event loop that will call it."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.name = config.resolved.graph.metadata.name
        self.keyring = Keyring(self._known) if config.require_keys else None
        self._queue = DecisionQueue(lambda: self._ready_engine, self._note_failure)
        self._revisions = Revisions(config, self._queue, lambda: self._is_serving)
        self._tenure = Tenure(
            config.host_name, self._queue, self._revisions, taken=self._read_source, lost=self._end_source
        )
        self._following = Following(config, self._tenure, self._revisions, self._read_source)
        self._tasks = list[asyncio.Task[None]]()
        self._open_reviews, self._escalated = 0, False
        self._bands: tuple[BandReport, ...] = ()
        self._store_answers = False
        self._source: SourceReader | None = None
        self._activities = Activities()
        self._scoring = Scoring()

    async def start(self) -> None:
        """Make the graph ready, take it over unless this host stands by, and begin to decide.

        Waits for as long as the store is away. Raises RevisionRefused where neither the revision that is wanted nor the
        one that served last can be loaded.
        """
        settle_interpreter()
        await self._tenure.begin(self.config)
        gc.collect()
        gc.freeze()
        loops = (self._queue.run(), self._watch(), self._following.settings(), self._following.certificates())
        self._tasks = [asyncio.create_task(each) for each in loops]

    async def stop(self) -> None:
        """Decide what was taken in, then give everything back."""
        if self._source is not None:
            await self._source.stop()
        if self._tenure.trouble is None:
            await self._queue.drain()
        for task in self._tasks:
            task.cancel()
        await self._revisions.close()
        self._queue.close()

    async def decide(self, events: Sequence[object], *, synchronous: bool) -> list[Answer]:
        """Queue the events and wait for their committed answers. A host that stands by takes the graph over first.

        Raises Overloaded, ReviewQueueFull, StoreUnavailable, or Fenced when another host serves this graph.
        """
        arrived = time.monotonic()
        if self._tenure.standing is Standing.STANDBY:
            await asyncio.shield(self._tenure.take_over())  # whoever asked may go away meanwhile
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

    async def score(self, batch: Batch) -> tuple[str, dict[str, float]]:
        """A revision, and its scores of the events of a batch by id; nothing of it is recorded.

        Raises Overloaded, HistoryLost.
        """
        found = dict[str, float]()
        for start in range(0, len(batch.events), AT_ONCE):
            scorer = self._scorer(batch.revision)
            found |= await self._queue.in_thread(self._scoring.score, scorer, batch, start)
        return scorer.revision, found

    def _scorer(self, revision: str | None) -> Scorer:
        """The revision that decides, or that waits. Raises HistoryLost where it is neither."""
        engine, waiting = self._serving_engine, self.awaiting
        if revision is None or revision == engine.graph.resolved.revision:
            return Scorer(graph=engine.graph, ports=engine.ports)
        if waiting is None or waiting.resolved.revision != revision:
            raise HistoryLost(f'the revision "{revision}" neither decides nor waits for certificates in this host')
        return Scorer(graph=waiting.loaded.compiled, ports=waiting.loaded.ports)

    async def switch(self, resolved: ResolvedGraph) -> str:
        """Decide by another revision, at once or when what it waits for is there; return the one that decides. Idempotent.

        Raises RevisionRefused; the old revision goes on then.
        """
        return await self._following.switch(resolved)

    def follow(self, config: HostConfig) -> None:
        """Take these settings over, beside the decisions that are made; `readiness` says what is refused of them."""
        self._following.follow(config)

    @property
    def awaiting(self) -> Prepared | None:
        """The revision that waits until it is certified."""
        waiting = self._revisions.waiting
        return None if waiting is None else waiting.prepared

    def refuse(self, message: str) -> None:
        """Say that there were settings that cannot be read."""
        self._revisions.refused = RevisionRefused("", message)

    @property
    def store_is_away(self) -> asyncio.Event:
        """Set where a start has to wait for the store: it may take long."""
        return self._tenure.store_is_away

    def failure(self) -> str | None:
        """What a new start would mend. A host that was taken over from is well: it must not take the graph back."""
        ended = next((task for task in self._tasks if task.done()), None)
        return None if ended is None else f"the host does not go on: {ended!r}"

    def readiness(self) -> Readiness:
        """What the ready check answers."""
        return self.moment().readiness()

    def moment(self) -> Moment:
        """What there is to tell of this host now."""
        revisions = self._revisions
        return Moment(
            graph=self.name,
            standing=self._tenure.standing,
            trouble=self._tenure.trouble,
            refused=revisions.refused,
            awaits=None if revisions.waiting is None else revisions.waiting.awaits,
            serves=revisions.serves,
            prepared=revisions.prepared,
            engine=revisions.engine,
            pending=self._queue.pending,
            waiting=self._queue.waiting,
            open_reviews=self._open_reviews,
            store_answers=self._store_answers,
            source=None if self._source is None else self._source.report(),
            bands=self._bands,
            activity=self._activity(),
        )

    def _activity(self) -> Activity:
        engine = self._revisions.engine
        if engine is None or not self._is_serving:
            return QUIET
        share, newest = engine.stats.recent.share, engine.newest_events()
        return self._activities.report(share, newest, self._reviews(), now=time.monotonic())

    def _reviews(self) -> Reason | None:
        """Why people do not keep up, where they do not."""
        graph = self._ready_engine.graph
        if self._open_reviews >= graph.max_open_reviews:
            return Reason.ReviewQueueFull if graph.overflow_outcome is None else Reason.ReviewOverflow
        return Reason.ReviewEscalated if self._escalated else None

    @property
    def _ready_engine(self) -> Engine:
        if self._revisions.engine is None:
            raise Overloaded("the graph is being loaded")
        return self._revisions.engine

    @property
    def _serving_engine(self) -> Engine:
        if not self._is_serving:
            raise Overloaded(self._tenure.message)
        return self._ready_engine

    @property
    def _is_serving(self) -> bool:
        return self._tenure.standing is Standing.SERVING

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

    def _end_source(self) -> None:
        if self._source is not None:
            self._source.end()

    def _known(self) -> Known:
        with connect(self.config.database_url) as connection:
            return known(connection)

    def _note_failure(self, error: Exception) -> None:
        log.error("a batch was not decided", graph=self.name, error=repr(error))
        if isinstance(error, Fenced):
            self._tenure.lose()

    # beside the decisions

    async def _watch(self) -> None:
        """Know a second late at most how many items wait, and whether another has the graph; catch up while it has."""
        while True:
            try:
                if self._is_serving:
                    await self._look()
                elif self._tenure.standing is Standing.STANDBY:
                    await self._revisions.catch_up()
                self._store_answers = True
            except psycopg.Error as error:
                self._store_answers = False
                log.warning("the decision store does not answer", graph=self.name, error=" ".join(str(error).split()))
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        engine = self._ready_engine
        waiting = await self._queue.in_thread(engine.open_reviews)
        self._open_reviews, self._escalated = waiting.count, waiting.escalated
        self._bands = await self._queue.in_thread(engine.bands)
        await self._queue.in_thread(self._scoring.forget)
        if not await self._queue.in_thread(engine.holds):
            self._tenure.lose()


__all__ = ["GraphHost", "Overloaded", "ReviewQueueFull"]
