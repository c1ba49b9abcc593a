"""A target's budget: how many actions any window may hold. Pure; the dispatcher keeps one for each target it sends to.

One dispatcher at a time spends a target's budget (it holds the target's advisory lock), so the count is kept in memory
and read from the store whenever the lock is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(kw_only=True)
class Charge:
    """`count` actions sent, or about to be, at one time."""

    at: datetime
    count: int


class Spending:
    """Charges within the window, oldest first. A charge counts until it is a whole window old."""

    def __init__(self, limit: int, window: timedelta, charges: Iterable[Charge] = ()) -> None:
        self.limit, self.window = limit, window
        self._charges = deque(sorted(charges, key=lambda charge: charge.at))

    def used(self, now: datetime) -> int:
        """The actions that the window ending now holds."""
        while self._charges and self._charges[0].at <= now - self.window:
            self._charges.popleft()
        return sum(charge.count for charge in self._charges)

    def left(self, now: datetime) -> int:
        """How many more may be sent now; never below 0, also where the limit was lowered meanwhile."""
        return max(0, self.limit - self.used(now))

    def charge(self, count: int, now: datetime) -> Charge:
        """Charge `count` actions that are about to be sent."""
        charge = Charge(at=now, count=count)
        self._charges.append(charge)
        return charge

    def refund(self, charge: Charge, count: int) -> None:
        """Take back `count` actions of a charge that surely did not reach the target."""
        charge.count = max(0, charge.count - count)
