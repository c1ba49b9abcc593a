"""Follows one kind of object: lists it, watches it, and lists again when the watch has lost its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from pointsman_operator.cluster.client import Cluster, ClusterError, Gone, NotFound
from pointsman_operator.cluster.memory import Memory
from pointsman_operator.seen import Kind, Raw

log = structlog.get_logger()

BACK_OFF = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between failed attempts; the last one for all that follow"""
ABSENT_SECONDS = 2.0
"""Between two looks for a kind that the cluster does not have"""


class Follower:
    """Keeps a memory of one kind, which may not be installed (yet, or any more).

    `heard` is told of every object whose state is news, or which has ended; `appeared` when the kind is there or is gone.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        *,
        heard: Callable[[Kind, Raw, bool], None],
        appeared: Callable[[Kind], None],
        selectors: Mapping[str, str] = MappingProxyType({}),
        memory: Memory | None = None,
    ) -> None:
        self.kind, self.memory = kind, Memory() if memory is None else memory
        self.known = asyncio.Event()
        """Set once the memory holds all there is"""
        self.is_there = False
        """Whether the cluster has the kind"""
        self.heard_at = time.monotonic()
        """When the API server last said anything of the kind, were it that nothing has changed"""
        self._cluster, self._selectors = cluster, selectors
        self._heard, self._appeared = heard, appeared

    async def run(self) -> None:
        """Follow until cancelled. An API server that is away is waited for."""
        failures, version = 0, ""
        while True:
            try:
                if not version:
                    version = await self._list()
                async for type_, raw in self._cluster.watch(self.kind, version, self._selectors):
                    self.heard_at = time.monotonic()
                    version, failures = str(raw["metadata"]["resourceVersion"]), 0
                    self._hear(type_, raw)
            except Gone:
                version = ""
            except NotFound:
                version = ""
                self._is_absent()
                await asyncio.sleep(ABSENT_SECONDS)
            except ClusterError as error:
                log.warning("watch", kind=self.kind.name, error=str(error))
                await asyncio.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])
                failures += 1

    async def _list(self) -> str:
        listed, version = await self._cluster.list(self.kind, self._selectors)
        for raw, is_living in self.memory.replace(listed, version):
            self._heard(self.kind, raw, is_living)
        self._now(there=True)
        return version

    def _is_absent(self) -> None:
        for raw, is_living in self.memory.replace((), ""):
            self._heard(self.kind, raw, is_living)
        self._now(there=False)

    def _now(self, *, there: bool) -> None:
        self.heard_at = time.monotonic()
        news = there != self.is_there or not self.known.is_set()
        self.is_there = there
        self.known.set()
        if news:
            self._appeared(self.kind)

    def _hear(self, type_: str, raw: Raw) -> None:
        if type_ == "BOOKMARK":
            return
        is_living = type_ != "DELETED"
        if self.memory.put(raw) if is_living else self.memory.drop(raw):
            self._heard(self.kind, raw, is_living)
