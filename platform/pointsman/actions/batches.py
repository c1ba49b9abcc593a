"""What a worker does with a batch inside the store's transactions: claim it through the gate, and begin it.

Called from the session's thread, one call at a time, so that no two batches spend the same room of a budget.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from psycopg import Cursor
from psycopg.rows import TupleRow

from pointsman.actions import outbox
from pointsman.actions.budget import Charge, Spending
from pointsman.actions.effects import ReadBack, Send, Terms, next_step
from pointsman.actions.gate import Breaker, Pass, admit
from pointsman.actions.outbox import Claim, Outcome
from pointsman.api.action_target import ActionTarget
from pointsman.api.reasons import Reason


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What the gate let through. `now` was the store's time at `at` (monotonic); `charge` is reserved for it."""

    admitted: Pass
    claims: Sequence[Claim]
    now: datetime
    at: float
    generation: int
    charge: Charge | None = None
    budget_left: int | None = None
    """How many more actions the budget allows, these taken off; None where there is none, or somebody else spends it."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A batch that may be sent until `deadline` (monotonic); `now` was the store's time at `at`."""

    work: Sequence[tuple[Claim, Terms, Send | ReadBack]]
    settled: Sequence[Outcome]
    recorded: outbox.Recorded
    deadline: float
    now: datetime
    at: float
    charge: Charge | None

    def time(self) -> datetime:
        """The store's time now, near enough for a back-off."""
        return self.now + timedelta(seconds=time.monotonic() - self.at)


class Batches:
    """One target's batches, and its budget where it has one. `generation` is the session's; it rises with each one."""

    def __init__(self, target: ActionTarget, *, owner: str, size: int, lease_seconds: float) -> None:
        self._target, self._owner, self._size, self._lease_seconds = target, owner, size, lease_seconds
        self._spending: Spending | None = None
        self._spending_generation = -1

    def claim(self, cursor: Cursor[TupleRow], generation: int, breaker: Breaker, fault: Reason | None) -> Claimed:
        """Ask the gate, lease what it lets through and reserve the budget for it."""
        at = time.monotonic()  # Before the store is asked: a pause between the two ends our deadline early, never late.
        now = outbox.clock(cursor)
        if self._target.spec.budget is not None and not self._holds_budget(cursor, generation, now):
            return Claimed(admitted=Pass(limit=0), claims=(), now=now, at=at, generation=generation)
        admitted = admit(
            self._target,
            batch=self._size,
            spending=self._spending,
            breaker=breaker,
            fault=fault,
            now=now,
        )
        if not admitted.limit:
            return Claimed(
                admitted=admitted, claims=(), now=now, at=at, generation=generation, budget_left=self._left(now)
            )
        claims = outbox.claim(
            cursor,
            owner=self._owner,
            target=self._target.metadata.name,
            limit=admitted.limit,
            lease_seconds=self._lease_seconds,
            now=now,
            begun_only=admitted.begun_only,
        )
        charge = None
        if self._spending is not None:
            charge = self._spending.charge(sum(claim.is_fresh for claim in claims), now)
        return Claimed(
            admitted=admitted,
            claims=claims,
            now=now,
            at=at,
            generation=generation,
            charge=charge,
            budget_left=self._left(now),
        )

    def begin(self, cursor: Cursor[TupleRow], generation: int, claimed: Claimed) -> Begun | None:
        """Settle what needs no sending, and mark the rest as attempted.

        None, and the leases given back, when the session, and with it the right to spend the budget, was lost since.
        """
        if generation != claimed.generation:
            self.release(cursor, claimed)
            return None
        work, settled = list[tuple[Claim, Terms, Send | ReadBack]](), list[Outcome]()
        for claim in claimed.claims:
            terms = Terms.of(self._target, claim.operation, certified=claim.certified, approved_by=claim.approved_by)
            if claimed.admitted.refused is not None and claim.is_fresh:
                terms = replace(terms, refused=terms.refused or claimed.admitted.refused)
            step = next_step(claim.effect, None, terms, claimed.now)
            if isinstance(step, Send | ReadBack):
                work.append((claim, terms, step))
            else:
                settled.append(Outcome(claim=claim, step=step, at=claimed.now))
        started = time.monotonic()
        held = outbox.begin(
            cursor,
            [claim for claim, _, _ in work],
            owner=self._owner,
            lease_seconds=self._lease_seconds,
            now=claimed.now + timedelta(seconds=started - claimed.at),
        )
        mine = [each for each in work if each[0].action_id in held]
        if self._spending is not None and claimed.charge is not None:
            fresh = sum(claim.is_fresh for claim, _, _ in mine)
            self._spending.refund(claimed.charge, claimed.charge.count - fresh)
        recorded = outbox.record(cursor, settled, owner=self._owner, now=claimed.now)
        return Begun(
            work=mine,
            settled=settled,
            recorded=recorded,
            deadline=started + self._lease_seconds,
            now=claimed.now,
            at=claimed.at,
            charge=claimed.charge,
        )

    def release(self, cursor: Cursor[TupleRow], claimed: Claimed) -> None:
        """Give the leases back: nothing was sent."""
        outbox.release(cursor, claimed.claims, owner=self._owner)

    def refund(self, begun: Begun, outcomes: Sequence[Outcome]) -> None:
        """Give the budget back what surely did not reach the target."""
        if self._spending is not None and begun.charge is not None:
            unsent = sum(each.claim.is_fresh and each.step.effect.attempts == 0 for each in outcomes)
            self._spending.refund(begun.charge, unsent)

    def _left(self, now: datetime) -> int | None:
        return None if self._spending is None else self._spending.left(now)

    def _holds_budget(self, cursor: Cursor[TupleRow], generation: int, now: datetime) -> bool:
        """Is this the dispatcher that spends the budget? With a new session, that is found out anew."""
        budget = self._target.spec.budget
        assert budget is not None
        if self._spending is None or self._spending_generation != generation:
            self._spending = None
            if not outbox.take_budget(cursor, self._target.metadata.name):
                return False
            window = timedelta(microseconds=budget.window.microseconds)
            charges = outbox.spent(cursor, self._target.metadata.name, window, now)
            self._spending = Spending(budget.limit, window, charges)
            self._spending_generation = generation
        return True
