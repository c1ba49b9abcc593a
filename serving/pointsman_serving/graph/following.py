"""Takes over what a graph's host is told while it runs: settings that are handed to it, and revisions, at once or in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from pointsman.graphs.resolve import ResolvedGraph
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.described import Standing
from pointsman_serving.graph.queue import Overloaded
from pointsman_serving.graph.revision import RevisionRefused
from pointsman_serving.graph.revisions import Revisions
from pointsman_serving.graph.tenure import Tenure

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How often a revision that waits is looked at."""
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 15.0, 600.0
"""Until a revision that was refused is tried again, at first and at most: what kept it from loading may pass."""
AGAIN_SECONDS = 2.0
"""Until settings are tried again that the store kept from being taken over."""


class Following:
    """What a host is told. `switched` is called once it decides by another revision."""

    def __init__(
        self,
        config: HostConfig,
        tenure: Tenure,
        revisions: Revisions,
        switched: Callable[[ResolvedGraph], Awaitable[None]],
    ) -> None:
        self._tenure, self._revisions, self._switched = tenure, revisions, switched
        self._wanted, self._news = config, asyncio.Event()
        self._changing = asyncio.Lock()

    def follow(self, config: HostConfig) -> None:
        """Take these settings over, beside the decisions that are made."""
        self._wanted = config
        self._news.set()

    async def switch(self, resolved: ResolvedGraph) -> str:
        """Make another revision ready beside the one that serves, then switch between two batches, at once or when what it
        waits for is there. Idempotent; returns the revision that decides.

        Raises RevisionRefused; the old revision goes on then. Raises Overloaded where nothing is decided here.
        """
        async with self._changing:
            return await self._switch(resolved)

    async def settings(self) -> None:
        """Take over what is wanted, and try again what was refused; for ever."""
        refusals = 0 if self._revisions.refused is None else 1
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
                log.warning("settings are not taken over yet", error=repr(error))
                pause = AGAIN_SECONDS

    async def certificates(self) -> None:
        """Switch to a revision that waits for certificates as soon as it may; for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with self._changing:
                    waiting = self._revisions.waiting
                    if waiting is not None and self._tenure.standing is Standing.SERVING:
                        await self._switch(waiting.resolved)
            except Exception as error:  # noqa: BLE001  the loop must live; mostly it is the store that is away
                log.warning("a revision waits on", error=repr(error))

    async def _become(self, wanted: HostConfig) -> None:
        await self._tenure.line_up(wanted)
        if self._tenure.standing is Standing.TAKEN_OVER:
            await self._tenure.begin_again(wanted)
        elif self._tenure.standing is Standing.STANDBY and not wanted.standby:
            await self._tenure.take_over()
        if self._tenure.standing is not Standing.TAKEN_OVER:
            await self.switch(wanted.resolved)

    async def _switch(self, resolved: ResolvedGraph) -> str:
        if self._revisions.prepared is None or self._tenure.standing is Standing.TAKEN_OVER:
            raise Overloaded(self._tenure.message)
        if await self._revisions.switch(resolved) and self._tenure.standing is Standing.SERVING:
            await self._switched(resolved)
        return self._revisions.serves.revision
