"""Which revision of a graph decides: the one that is wanted, the one that serves on beside it, or the one that served last.

A revision is made ready beside the one that serves, and takes over between two batches. One that cannot be is refused; one
whose bands would cease to act for want of certificates waits until they are there. The old one goes on in both cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog

from pointsman.certificates.awaiting import Awaiting, may_wait
from pointsman.decisions.certificate_store import Gate
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine
from pointsman.decisions.queries import record_revision, recorded_revision
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.model_files import ModelFiles
from pointsman_serving.graph.queue import DecisionQueue
from pointsman_serving.graph.revision import Prepared, RevisionRefused, prepare

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A revision that is to decide, and what it waits for. It is ready, and can be asked for scores."""

    prepared: Prepared
    awaits: Awaiting

    @property
    def resolved(self) -> ResolvedGraph:
        return self.prepared.resolved


class Revisions:
    """The revisions of one graph in one host. `has_graph` says whether this host has taken the graph over."""

    def __init__(self, config: HostConfig, queue: DecisionQueue, has_graph: Callable[[], bool]) -> None:
        self._config, self._queue, self._has_graph = config, queue, has_graph
        self._files = ModelFiles(folder=config.models_folder, registry_url=config.registry_url)
        self._gate = Gate(config.resolved.graph_uid)
        self._committer: Committer | None = None
        self.placing = asyncio.Lock()
        """Held while it changes who decides, or with what"""
        self.engine: Engine | None = None
        self.prepared: Prepared | None = None
        self.refused: RevisionRefused | None = None
        self.waiting: Waiting | None = None
        """Of a host that stands by it is the revision that it has prepared itself"""

    @property
    def serves(self) -> ResolvedGraph:
        """The revision that decides, or that is to decide."""
        return self._config.resolved if self.prepared is None else self.prepared.resolved

    def begin(self, wanted: ResolvedGraph, *, standby: bool) -> None:
        """Be ready to decide with the revision that is wanted, or with the one that served last where that one must wait, or
        cannot be loaded. A host that stands by leaves that one to whoever has the graph.

        Raises RevisionRefused where neither can be loaded, and psycopg.Error.
        """
        self.refused = None
        self.cease_to_wait()
        before = self._served_last(wanted)
        try:
            prepared = self._prepare(wanted, None)
        except RevisionRefused as refusal:
            if before is None:
                raise
            prepared, self.refused = self._instead(before, refusal), refusal
        else:
            if before is not None:
                prepared = self._first(before, prepared, standby=standby)
        self._place(prepared)

    def open(self, turn: int) -> None:
        """Take the graph over with what is prepared. Raises Fenced, StoreUnavailable."""
        assert self.engine is not None
        if self._committer is not None:
            self._committer.turn = turn
        self.engine.open()
        self._record(self.engine, self.engine.graph.resolved)
        if self.waiting is not None and self.waiting.prepared is self.prepared:
            self.waiting = None  # a standby that decides waits no more

    async def switch(self, resolved: ResolvedGraph) -> bool:
        """Decide with this revision from the next batch on, or know what it waits for; return whether it is another one.

        Raises RevisionRefused; the old revision goes on then. Raises psycopg.Error where the store does not answer.
        """
        before = self.prepared
        assert before is not None
        if resolved.revision == before.resolved.revision:
            self.refused = None
            if self._has_graph():
                self.cease_to_wait()
            return False
        try:
            return await self._switch(before, resolved)
        except RevisionRefused as refusal:
            self.refused = refusal
            self.cease_to_wait()
            raise

    def cease_to_wait(self) -> None:
        """Forget the revision that waits."""
        if self.waiting is not None and self.waiting.prepared is not self.prepared:
            self.waiting.prepared.close()
        self.waiting = None

    async def catch_up(self) -> None:
        """Of a host that stands by: see what was committed, and whether what is prepared waits. Raises psycopg.Error."""
        async with self.placing:
            if self.prepared is not None and not self._has_graph():
                await self._queue.in_thread(self.prepared.catch_up, self._config.database_url)
                if self.waiting is None or self.waiting.prepared is self.prepared:
                    self.waiting = await asyncio.to_thread(self._waits_beside, self.prepared)

    async def close(self) -> None:
        """Give everything back."""
        self.cease_to_wait()
        if self.engine is not None:
            await self._queue.in_thread(self.engine.close)
        if self.prepared is not None:
            self.prepared.close()

    # before there is one that decides

    def _served_last(self, wanted: ResolvedGraph) -> ResolvedGraph | None:
        """Another revision of the same graph and stream that decided last."""
        with connect(self._config.database_url) as connection:
            found = recorded_revision(connection, wanted.graph_uid)
        if found is None or found.revision == wanted.revision or found.stream_uid != wanted.stream_uid:
            return None
        return found

    def _instead(self, before: ResolvedGraph, refusal: RevisionRefused) -> Prepared:
        try:
            return self._prepare(before, None)
        except RevisionRefused as also:
            message = f"{refusal}; nor can the revision be loaded that served last, {also.revision}: {also}"
            raise RevisionRefused(refusal.revision, message) from also

    def _first(self, before: ResolvedGraph, wanted: Prepared, *, standby: bool) -> Prepared:
        """What decides first: what served last while the other must wait, as long as it can be loaded."""
        awaits = self._awaits(before, wanted.resolved)
        if awaits is None:
            return wanted
        if not standby:
            try:
                serving = self._prepare(before, None)
            except RevisionRefused as lost:
                log.warning("nothing waits: what served last can be loaded no more", revision=lost.revision)
                return wanted
        self.waiting = Waiting(prepared=wanted, awaits=awaits)
        return wanted if standby else serving

    def _waits_beside(self, prepared: Prepared) -> Waiting | None:
        """What the prepared revision waits for, beside that of the host which has the graph."""
        before = self._served_last(prepared.resolved)
        awaits = None if before is None else self._awaits(before, prepared.resolved)
        return None if awaits is None else Waiting(prepared=prepared, awaits=awaits)

    def _place(self, prepared: Prepared) -> None:
        """Put an engine of this revision in the place of the one before, which has not taken the graph over."""
        resolved = prepared.resolved
        self._committer = Committer(
            self._config.database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid
        )
        loaded = prepared.loaded
        self.engine = Engine(loaded.compiled, loaded.ports, self._committer, warm=prepared.warm)
        self.prepared = prepared

    # beside the one that decides

    async def _switch(self, before: Prepared, resolved: ResolvedGraph) -> bool:
        if (resolved.graph_uid, resolved.stream_uid) != (before.resolved.graph_uid, before.resolved.stream_uid):
            raise RevisionRefused(resolved.revision, "another graph or another stream needs a host of its own")
        waiting = self.waiting if self._has_graph() else None
        if waiting is not None and waiting.resolved.revision == resolved.revision:
            prepared = waiting.prepared
        else:
            serving = self.engine if self._has_graph() else None
            prepared = await asyncio.to_thread(self._prepare, resolved, serving)
        try:
            if not await self._take_its_place(before, prepared):
                return False
        except BaseException:
            if self.waiting is None or self.waiting.prepared is not prepared:
                prepared.close()
            raise
        self.refused = None
        before.close()
        digests = [model.digest for model in resolved.models.values()]
        await asyncio.to_thread(self._files.keep, digests)
        log.info("switched", graph=resolved.graph.name, revision=resolved.revision)
        return True

    async def _take_its_place(self, before: Prepared, prepared: Prepared) -> bool:
        """Decide with what is prepared, unless it must wait."""
        await asyncio.to_thread(prepared.catch_up, self._config.database_url)  # it may have waited for long
        async with self.placing:
            if not self._has_graph():
                self.waiting = await asyncio.to_thread(self._waits_beside, prepared)
                self._place(prepared)
                return True
            if await self._must_wait(before, prepared):
                self.refused = None
                return False
            async with self._queue.between_batches():
                await self._queue.in_thread(self._change, prepared)
            self.prepared, self.waiting = prepared, None
            return True

    async def _must_wait(self, before: Prepared, prepared: Prepared) -> bool:
        """Look whether the revision waits beside the one that decides here, and remember it."""
        awaits = await asyncio.to_thread(self._awaits, before.resolved, prepared.resolved)
        known = self.waiting is not None and self.waiting.prepared is prepared
        if not known:
            self.cease_to_wait()
        if awaits is None:
            return False
        if not known:
            log.info(
                "a revision waits", revision=prepared.resolved.revision, bands=[each.band for each in awaits.bands]
            )
        self.waiting = Waiting(prepared=prepared, awaits=awaits)
        return True

    def _change(self, prepared: Prepared) -> None:
        engine, loaded = self.engine, prepared.loaded
        assert engine is not None
        try:
            self._record(engine, prepared.resolved)
        except psycopg.OperationalError:  # of an idle host nobody notices that its connection broke
            engine.reopen()
            self._record(engine, prepared.resolved)
        engine.switch(loaded.compiled, loaded.ports, prepared.warm)

    # what all of it needs

    def _awaits(self, serving: ResolvedGraph, candidate: ResolvedGraph) -> Awaiting | None:
        if not may_wait(serving, candidate):
            return None
        with connect(self._config.database_url, autocommit=True) as connection:
            awaits = self._gate.awaited(connection, serving, candidate, datetime.now(UTC))
            if awaits is not None and (self.waiting is None or self.waiting.awaits.revision != awaits.revision):
                record_revision(connection, candidate)  # so that it can be certified
            return awaits

    def _prepare(self, resolved: ResolvedGraph, serving: Engine | None) -> Prepared:
        return prepare(
            resolved,
            self._files,
            database_url=self._config.database_url,
            remembered=lambda graph: serving is not None and serving.remembers(graph),
        )

    def _record(self, engine: Engine, resolved: ResolvedGraph) -> None:
        record_revision(engine.connection, resolved, address=self._config.address)
        engine.serves(resolved.revision)
