"""Moves hosts to a new revision: one question at a time to each, beside the reconcile. A host that refuses goes on as it was,
and one that waits for certificates switches by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx2
import structlog

from pointsman.graphs.resolve import ResolvedGraph

log = structlog.get_logger()

LOADING_SECONDS = 120.0
"""How long a host may take to load a revision."""
AGAIN_SECONDS = 10.0
"""Between two attempts at a revision that was not taken over at once."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A revision that a host did not take over, and why. It is tried again from time to time."""

    revision: str
    cause: str


class Switches:
    """The switches of all hosts. `changed` is called when one has ended. `clock` is monotonic, in seconds."""

    def __init__(self, *, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed, self._clock = changed, clock
        self._client = httpx2.AsyncClient(timeout=LOADING_SECONDS, trust_env=False, verify=False)
        self._under_way = dict[str, tuple[ResolvedGraph, asyncio.Task[None]]]()
        self._done = dict[str, ResolvedGraph]()
        self._refused = dict[str, Refusal]()
        self._postponed = dict[str, tuple[str, float]]()
        """By graph, the revision that was not taken over, and when it was asked for"""

    def begin(self, graph: str, resolved: ResolvedGraph, *, url: str, token: str) -> None:
        """Ask the host, unless it is being asked, or did not take this revision over a moment ago."""
        revision, at = self._postponed.get(graph, ("", 0.0))
        early = revision == resolved.revision and self._clock() - at < AGAIN_SECONDS
        if graph in self._under_way or early:
            return
        task = asyncio.create_task(self._switch(graph, resolved, url, token), name=f"switch {graph}")
        self._under_way[graph] = (resolved, task)

    def under_way(self) -> Iterable[ResolvedGraph]:
        """What hosts are being asked to take over."""
        return [resolved for resolved, _ in self._under_way.values()]

    def done(self, graph: str) -> ResolvedGraph | None:
        """What the host has taken over since this was asked last."""
        return self._done.pop(graph, None)

    def refusal(self, graph: str) -> Refusal | None:
        """What the host has refused last, until it takes something over."""
        return self._refused.get(graph)

    def forget(self, graph: str) -> None:
        """The host starts anew: nothing that was asked of the old one counts."""
        if graph in self._under_way:
            self._under_way.pop(graph)[1].cancel()
        self._done.pop(graph, None)
        self._refused.pop(graph, None)
        self._postponed.pop(graph, None)

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = [task for _, task in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _switch(self, graph: str, resolved: ResolvedGraph, url: str, token: str) -> None:
        taken, cause = await self._asked(resolved, url, token)
        del self._under_way[graph]
        self._refused.pop(graph, None)
        if taken:
            self._done[graph] = resolved
            self._postponed.pop(graph, None)
            log.info("switched", graph=graph, revision=resolved.revision)
        else:
            self._postponed[graph] = (resolved.revision, self._clock())
        if cause:
            self._refused[graph] = Refusal(revision=resolved.revision, cause=cause)
            log.warning("a host did not switch", graph=graph, revision=resolved.revision, cause=cause)
        self._changed()

    async def _asked(self, resolved: ResolvedGraph, url: str, token: str) -> tuple[bool, str]:
        """Whether the host has taken it over, and why it refused. Where it waits with it, it says itself for what."""
        try:
            answer = await self._client.put(
                f"{url}/-/revision", content=resolved.to_json(), headers={"authorization": f"Bearer {token}"}
            )
        except httpx2.HTTPError as error:
            return False, str(error) or type(error).__name__
        if answer.is_success:
            return answer.status_code == 200, ""
        try:
            return False, str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            return False, f"HTTP {answer.status_code}"
