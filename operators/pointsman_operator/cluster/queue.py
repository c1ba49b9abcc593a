"""The work that waits: keys, each at most once, never two at a time for one key, and later again after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_SECONDS, LONGEST_SECONDS = 0.05, 30.0
"""The wait after the first failure of a key, which doubles up to the longest"""


class WorkQueue(Generic[K]):
    """Keys in the order in which they came. A key that is added while it is worked on is worked on once more."""

    def __init__(self) -> None:
        self._waiting, self._busy = dict[K, float](), dict[K, float]()
        self._again = set[K]()
        self._failures = dict[K, int]()
        self._timers = dict[K, asyncio.TimerHandle]()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Work on a key as soon as possible."""
        if key in self._busy:
            self._again.add(key)
            return
        self._waiting.setdefault(key, time.monotonic())
        self._added.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on a key once this time is over; of two such wishes the sooner counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def take(self) -> K:
        """The next key. Call `done` or `failed` for it afterwards."""
        while not self._waiting:
            self._added.clear()
            await self._added.wait()
        key = next(iter(self._waiting))
        self._busy[key] = self._waiting.pop(key)
        return key

    def done(self, key: K) -> None:
        """The work on a key has succeeded."""
        self._failures.pop(key, None)
        self._free(key)

    def failed(self, key: K) -> float:
        """The work on a key has failed: it comes again after the seconds that are returned."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures, 30))
        self._free(key)
        self.add_after(key, seconds)
        return seconds

    @property
    def oldest_seconds(self) -> float:
        """How long ago the key was added that waits longest, or is being worked on; 0 where there is none."""
        since = [*self._waiting.values(), *self._busy.values()]
        return time.monotonic() - min(since) if since else 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be worked on at once, and nobody works."""
        return not self._waiting and not self._busy

    def _free(self, key: K) -> None:
        self._busy.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
