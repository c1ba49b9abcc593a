"""The gate in front of a target: may anything be sent to it now, how many, and if not, why. Pure.

It stands before every claim. What one single action needs (its approval, its expiry) the state machine checks again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pointsman.actions.budget import Spending
from pointsman.api.action_target import ActionTarget
from pointsman.api.reasons import Reason


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """Holds a target that fails, so that a fault of the target does not use up the attempts of every action."""

    failures: int = 0
    until: datetime | None = None

    FIRST = timedelta(milliseconds=500)
    LONGEST = timedelta(seconds=30)

    def after(self, *, failed: int, succeeded: int, now: datetime) -> Breaker:
        """The breaker after a batch: open for longer with every batch of failures alone, closed on a success."""
        if succeeded:
            return Breaker()
        if not failed:
            return self
        delay = min(self.FIRST * 2 ** min(self.failures, 10), self.LONGEST)
        return replace(self, failures=self.failures + 1, until=now + delay)

    def is_open(self, now: datetime) -> bool:
        return self.until is not None and now < self.until

    @property
    def is_trying(self) -> bool:
        """The last batch failed: one action goes ahead of the others."""
        return self.failures > 0


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What may be claimed: at most `limit` actions; with `begun_only` none that was never sent.

    `held` says why the other actions wait. `refused` is why new ones are turned away, to a person.
    """

    limit: int
    begun_only: bool = False
    held: Reason | None = None
    refused: Reason | None = None


def admit(
    target: ActionTarget,
    *,
    batch: int,
    spending: Spending | None,
    breaker: Breaker,
    fault: Reason | None,
    now: datetime,
) -> Pass:
    """What may be claimed for this target now. `fault` keeps us from calling it at all, such as a missing secret."""
    if target.spec.suspend:
        return Pass(limit=0, held=Reason.KillSwitchOn)
    if fault is not None:
        return Pass(limit=0, held=fault)
    if breaker.is_open(now):
        return Pass(limit=0, held=Reason.TargetUnreachable)
    wanted = 1 if breaker.is_trying else batch
    if target.spec.budget is None or spending is None:
        return Pass(limit=wanted)
    left = spending.left(now)
    if left:
        return Pass(limit=min(wanted, left))
    if target.spec.budget.on_exhausted == "Review":
        return Pass(limit=batch, refused=Reason.BudgetExhausted)
    return Pass(limit=wanted, begun_only=True, held=Reason.BudgetExhausted)
