"""People who work a review queue, first come first served, in their hours: when each item gets its verdict. Pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from pointsman.demo.decided import HOUR_US
from pointsman.demo.transactions import DAY_US

MINUTE_US = HOUR_US // 60


@dataclass(frozen=True, kw_only=True)
class Reviewers:
    """How many people review, from when to when each day (hours, UTC), and how long one item takes them."""

    count: int = 2
    from_hour: int = 8
    to_hour: int = 20
    minutes_an_item: float = 4.0

    @property
    def hours_a_day(self) -> int:
        """All reviewers' hours together."""
        return self.count * (self.to_hour - self.from_hour)


class Desk:
    """The queue; items come in order of being ready. An item begun within the hours is finished after them."""

    def __init__(self, reviewers: Reviewers) -> None:
        self._reviewers = reviewers
        self._free_at = [0] * reviewers.count

    def verdict_at(self, ready_at: int) -> int:
        """Give the next item to whoever is free first; returns when its verdict stands."""
        start = self._within_hours(max(ready_at, self._free_at[0]))
        done = start + round(self._reviewers.minutes_an_item * MINUTE_US)
        heapq.heapreplace(self._free_at, done)
        return done

    def _within_hours(self, moment: int) -> int:
        midnight = moment // DAY_US * DAY_US
        opens, closes = (midnight + hour * HOUR_US for hour in (self._reviewers.from_hour, self._reviewers.to_hour))
        if moment < opens:
            return opens
        return moment if moment < closes else opens + DAY_US
