"""Who has a graph: this host, one that came later, or one that this host stands by for.

A host that stands by is ready and has not taken the graph over: it does with the first request for a decision, or when it is
told to. One that was taken over from decides nothing, and never takes the graph back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog

from pointsman.decisions.engine import Fenced, StoreUnavailable
from pointsman.decisions.turns import Turn, take_turn
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.described import Standing
from pointsman_serving.graph.queue import DecisionQueue
from pointsman_serving.graph.revisions import Revisions

log = structlog.get_logger()

STORE_RETRY_SECONDS = 0.5

T = TypeVar("T")


class Tenure:
    """Who has the graph. `taken` is called once this host has it, with what it decides by, and `lost` when it no longer does."""

    def __init__(
        self,
        host_name: str,
        queue: DecisionQueue,
        revisions: Revisions,
        *,
        taken: Callable[[ResolvedGraph], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        self._host_name, self._queue, self._revisions = host_name, queue, revisions
        self._taken, self._lost = taken, lost
        self._turn = Turn(number=0, is_over=False)
        self._told: tuple[bool, int] | None = None
        self.standing = Standing.STARTING
        self.trouble: tuple[str, str] | None = ("HostStarting", "the graph is being loaded")
        """Why nothing is decided now: a reason and a message"""
        self.store_is_away = asyncio.Event()
        """Set where a start has to wait for the store: it may take long"""

    @property
    def message(self) -> str:
        """Why nothing is taken in, for whoever asks for a decision."""
        return self.trouble[1] if self.trouble is not None else "this host stands by"

    async def begin(self, config: HostConfig) -> None:
        """Load what these settings want, or what served last, and serve with it or stand by. Raises RevisionRefused."""
        await self._patiently(self.line_up, config)
        if self._turn.is_over:
            self.lose()
            return

        def load() -> None:
            self._revisions.begin(config.resolved, standby=config.standby)

        await self._patiently(asyncio.to_thread, load)
        self.standing, self.trouble = Standing.STANDBY, None
        if not config.standby:
            with contextlib.suppress(Fenced):
                await self._patiently(self.take_over)
        serves, graph = self._revisions.serves, config.resolved.graph.name
        log.info("ready", graph=graph, revision=serves.revision, standing=self.standing.value)

    async def begin_again(self, config: HostConfig) -> None:
        """After the graph was taken from this host: the same, where these settings give it a later turn."""
        if self._turn.is_over:
            return
        engine, prepared = self._revisions.engine, self._revisions.prepared
        await self._queue.drain()
        await self.begin(config)
        if engine is not None:
            await self._queue.in_thread(engine.close)
        if prepared is not None:
            prepared.close()

    async def line_up(self, config: HostConfig) -> None:
        """Know this host's turn, with these settings. Raises psycopg.Error."""
        told = config.told
        if told == self._told:
            return

        def take() -> Turn:
            standby, order = told
            with connect(config.database_url) as connection:
                uid = config.resolved.graph_uid
                return take_turn(connection, uid, config.host_name, standby=standby, order=order)

        self._turn, self._told = await asyncio.to_thread(take), told

    async def take_over(self) -> None:
        """From the host that has the graph; once, whoever asks. Raises Fenced where one that came later has it."""
        async with self._revisions.placing:
            if self.standing is not Standing.STANDBY:
                return
            try:
                await self._queue.in_thread(self._revisions.open, self._turn.number)
            except Fenced:
                self.lose()
                raise
            self.standing, self.trouble = Standing.SERVING, None
            await self._taken(self._revisions.serves)

    def lose(self) -> None:
        """Know that another host has the graph."""
        log.warning("another host has this graph", host=self._host_name)
        self.standing = Standing.TAKEN_OVER
        self._revisions.cease_to_wait()
        self.trouble = ("HostFailed", "another host has taken this graph over")
        self._lost()

    async def _patiently(self, call: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Call it over and over while the store is away."""
        while True:
            try:
                return await call(*arguments)
            except (psycopg.Error, StoreUnavailable) as error:
                message = f"the decision store does not answer: {' '.join(str(error).split())}"
                log.warning(message)
                self.trouble = ("DatabaseUnreachable", message)
                self.store_is_away.set()
            await asyncio.sleep(STORE_RETRY_SECONDS)
