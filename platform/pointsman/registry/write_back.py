"""Writes back to the registry what has become of its versions, as one tag a ModelDeployment. Beside the reconcile, never in it.

Both worlds hand it each history that they have written into a status. A tag is written where it says something else in the
registry: after a restart everything is looked at again, and nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context
from datetime import datetime

import structlog

from pointsman.deployments.history import Entry, ended
from pointsman.deployments.outcomes import outcomes
from pointsman.registry.port import ModelVersion, Registry, RegistryError

log = structlog.get_logger()

AGAIN_SECONDS = (1.0, 5.0, 30.0, 120.0)
"""Before another attempt where a registry is away or takes no tags; the last one for all that follow"""
AT_ONCE = 2
"""Deployments whose tags are written at the same time"""

Outcomes = Mapping[ModelVersion, str]


class WriteBack:
    """The tags of all deployments, each named by its tag. What cannot be written is tried again until it is, or means nothing."""

    def __init__(self, registry: Registry, *, again_seconds: Sequence[float] = AGAIN_SECONDS) -> None:
        self._registry, self._again_seconds = registry, again_seconds
        self._histories = dict[str, Sequence[Entry]]()
        self._written = dict[str, Outcomes]()
        self._tasks = dict[str, asyncio.Task[None]]()
        self._ended = set[str]()
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def pending(self) -> int:
        """Deployments of which something is still to be written, or to be looked at."""
        return len(self._tasks)

    def want(self, tag: str, history: Sequence[Entry]) -> None:
        """The registry is to say what this history says."""
        self._ended.discard(tag)
        if self._histories.get(tag) == history:
            return
        self._histories[tag] = history
        if tag not in self._tasks and outcomes(history) != self._written.get(tag, {}):
            self._tasks[tag] = asyncio.create_task(self._write(tag), name=f"write back {tag}", context=Context())

    def end(self, tag: str, now: datetime) -> None:
        """The deployment is gone: what serves has served until now. Nothing is known of one that was never wanted."""
        if tag not in self._histories or tag in self._ended:
            return
        self.want(tag, ended(self._histories[tag], now))
        self._ended.add(tag)
        if tag not in self._tasks:
            self._forget(tag)

    async def close(self) -> None:
        """Write nothing more. A request that is under way ends by its own time limit."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, tag: str) -> None:
        failures = 0
        while (wanted := outcomes(self._histories[tag])) != (written := self._written.get(tag, {})):
            try:
                async with self._slots:
                    await asyncio.to_thread(self._bring, tag, wanted, written)
                self._written[tag], failures = wanted, 0
            except RegistryError as error:
                seconds = self._again_seconds[min(failures, len(self._again_seconds) - 1)]
                failures += 1
                log.warning("the registry took no tag", tag=tag, again_seconds=seconds, error=str(error))
                await asyncio.sleep(seconds)
            except Exception:  # other deployments' tags are still to be written
                log.exception("a tag could not be written", tag=tag)
                await asyncio.sleep(self._again_seconds[-1])
        del self._tasks[tag]
        if tag in self._ended:
            self._forget(tag)

    def _forget(self, tag: str) -> None:
        self._ended.discard(tag)
        self._histories.pop(tag, None)
        self._written.pop(tag, None)

    def _bring(self, tag: str, wanted: Outcomes, written: Outcomes) -> None:
        for version, outcome in wanted.items():
            if written.get(version) == outcome:
                continue
            tags = self._registry.tags(version)
            if tags is not None and tags.get(tag) != outcome:
                self._registry.tag(version, tag, outcome)
                log.info("tagged", tag=tag, model=version.name, version=version.version, outcome=outcome)
