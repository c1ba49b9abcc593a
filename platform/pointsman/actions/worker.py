"""Serves one target: claims what is due, sends it, reads it back and records what came of it, in a few lanes at once.

The dispatcher starts one worker a target, so a slow target delays no other. Every rule stands in `effects` and `gate`;
every statement in `outbox`; here is the order in which they are asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import psycopg
import structlog
from psycopg.rows import TupleRow

from pointsman.actions import outbox
from pointsman.actions.addresses import AddressRefused, NameNotResolved, resolve
from pointsman.actions.budget import Charge, Spending
from pointsman.actions.connectors import HttpConnector, Seen
from pointsman.actions.crash import crash_point
from pointsman.actions.effects import (
    Answered,
    Evidence,
    NeverLeft,
    NoAnswer,
    ReadBack,
    ReadFailed,
    ReadValue,
    Send,
    Settle,
    State,
    Terms,
    Wait,
    next_step,
)
from pointsman.actions.gate import Breaker, Pass, admit
from pointsman.actions.outbox import Claim, Outcome
from pointsman.actions.session import Session
from pointsman.actions.settings import RegisteredTarget, Settings
from pointsman.api.reasons import Reason

log = structlog.get_logger()

STORE_BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
RESOLVE_AGAIN_SECONDS = 5.0
LAST_RECORDS_SECONDS = 10.0
"""How long a worker that is told to stop tries to write outcomes to a store that is away."""

OURS = frozenset({Reason.LeaseExpired, Reason.SecretNotFound})
"""Reasons for which a call was not made or not finished, and that say nothing of the target."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What the gate let through. `now` was the store's time at `at` (monotonic); `charge` is reserved for it."""

    admitted: Pass
    claims: Sequence[Claim]
    now: datetime
    at: float
    generation: int
    charge: Charge | None = None


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


class Worker:
    """One target's lanes. `figures` counts what was recorded, by state; `again` are retries, `fenced` was dropped."""

    def __init__(
        self, registered: RegisteredTarget, settings: Settings, *, owner: str, threads: ThreadPoolExecutor
    ) -> None:
        self.registered = registered
        self.figures = Counter[str]()
        self.held: Reason | None = None
        self._settings, self._owner, self._threads = settings, owner, threads
        self._session = Session(settings.file.database_url.get_secret_value(), threads)
        self._log = log.bind(target=registered.name)
        self._lease_seconds = settings.lease_seconds(registered.target)
        self._breaker = Breaker()
        self._spending: Spending | None = None
        self._spending_generation = -1
        self._stop = asyncio.Event()
        self._wake = [asyncio.Event() for _ in range(settings.file.lanes)]
        self._main = asyncio.create_task(self._serve(), name=f"target {registered.name}")

    def wake(self) -> None:
        """Something new may be due."""
        for event in self._wake:
            event.set()

    async def stop(self) -> None:
        """Claim nothing more, finish what is under way, and close."""
        self._stop.set()
        self.wake()
        await self._main

    async def _serve(self) -> None:
        connector = await self._connector()
        if connector is not None:
            await asyncio.gather(*(self._lane(connector, number) for number in range(len(self._wake))))
            await connector.close()
        await self._session.close()

    async def _connector(self) -> HttpConnector | None:
        """Fix the target's address, for as long as this worker lives."""
        while not self._stop.is_set():
            try:
                address = await asyncio.get_running_loop().run_in_executor(self._threads, resolve, self.registered.url)
            except (AddressRefused, NameNotResolved) as error:
                self.held = Reason.TargetUnreachable
                self._log.error("target has no address", why=str(error))
                await self._say_held(Pass(limit=0, held=self.held))
                await self._pause(0, RESOLVE_AGAIN_SECONDS)
                continue
            file = self._settings.file
            concurrency = file.batch * file.lanes
            return HttpConnector(self.registered.target, address, file.secrets_folder, concurrency=concurrency)
        return None

    async def _lane(self, connector: HttpConnector, number: int) -> None:
        failures = 0
        while not self._stop.is_set():
            self._wake[number].clear()
            try:
                busy = await self._round(connector, says_held=number == 0)
                failures = 0
            except psycopg.Error as error:
                delay = STORE_BACK_OFF_SECONDS[min(failures, len(STORE_BACK_OFF_SECONDS) - 1)]
                failures += 1
                self._log.warning("store unavailable", error=type(error).__name__, again_in_seconds=delay)
                await self._until_stopped(delay)
                continue
            except Exception:  # noqa: BLE001  the lane must live; its leases run out and are taken over
                self._log.exception("batch failed")
                await self._until_stopped(self._settings.file.poll_seconds)
                continue
            if not busy:
                await self._pause(number, self._settings.file.poll_seconds)

    async def _round(self, connector: HttpConnector, *, says_held: bool) -> bool:
        """One batch; True where more may be due at once."""
        fault = connector.fault()
        claimed = await self._session.run(lambda cursor: self._claim(cursor, fault))
        self.held = claimed.admitted.held
        if says_held and self.held is not None:
            await self._say_held(claimed.admitted)
        if not claimed.claims:
            return False
        crash_point("after-claim")
        begun = await self._session.run(lambda cursor: self._begin(cursor, claimed))
        if begun is None:
            return False
        crash_point("after-begin")
        self._note(begun.settled, begun.recorded)
        tasks = [self._attempt(connector, begun, claim, terms, step) for claim, terms, step in begun.work]
        outcomes, failures = list[Outcome](), list[bool]()
        for (claim, _, _), done in zip(begun.work, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(done, BaseException):
                # What happened is not known, so nothing is written: the lease runs out, and the outcome is uncertain.
                self._log.error("attempt failed", action=str(claim.action_id), error=type(done).__name__)
            else:
                outcomes.append(done[0])
                failures += [] if done[1] is None else [done[1]]
        self._refund(begun, outcomes)
        self._judge(failures, begun.time())
        await self._record(outcomes)
        return True

    def _claim(self, cursor: psycopg.Cursor[TupleRow], fault: Reason | None) -> Claimed:
        """Ask the gate, lease what it lets through and reserve the budget for it. Runs in the session's thread."""
        target, generation = self.registered.target, self._session.generation
        now, at = outbox.clock(cursor), time.monotonic()
        if target.spec.budget is not None and not self._holds_budget(cursor, now):
            return Claimed(admitted=Pass(limit=0), claims=(), now=now, at=at, generation=generation)
        admitted = admit(
            target,
            batch=self._settings.file.batch,
            spending=self._spending,
            breaker=self._breaker,
            fault=fault,
            now=now,
        )
        if not admitted.limit:
            return Claimed(admitted=admitted, claims=(), now=now, at=at, generation=generation)
        claims = outbox.claim(
            cursor,
            owner=self._owner,
            target=self.registered.name,
            limit=admitted.limit,
            lease_seconds=self._lease_seconds,
            now=now,
            begun_only=admitted.begun_only,
        )
        charge = None
        if self._spending is not None:
            charge = self._spending.charge(sum(claim.is_fresh for claim in claims), now)
        return Claimed(admitted=admitted, claims=claims, now=now, at=at, generation=generation, charge=charge)

    def _holds_budget(self, cursor: psycopg.Cursor[TupleRow], now: datetime) -> bool:
        """Is this the dispatcher that spends the budget? With a new session, that is found out anew."""
        budget = self.registered.target.spec.budget
        assert budget is not None
        if self._spending is None or self._spending_generation != self._session.generation:
            self._spending = None
            if not outbox.take_budget(cursor, self.registered.name):
                return False
            window = timedelta(microseconds=budget.window.microseconds)
            charges = outbox.spent(cursor, self.registered.name, window, now)
            self._spending = Spending(budget.limit, window, charges)
            self._spending_generation = self._session.generation
        return True

    def _begin(self, cursor: psycopg.Cursor[TupleRow], claimed: Claimed) -> Begun | None:
        """Settle what needs no sending, and mark the rest as attempted. Runs in the session's thread.

        None, and the leases given back, when this worker is told to stop or when the session, and with it the right to
        spend the budget, was lost since the claim.
        """
        if self._stop.is_set() or self._session.generation != claimed.generation:
            outbox.release(cursor, claimed.claims, owner=self._owner)
            return None
        work, settled = list[tuple[Claim, Terms, Send | ReadBack]](), list[Outcome]()
        for claim in claimed.claims:
            terms = Terms.of(self.registered.target, claim.operation)
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

    async def _attempt(
        self, connector: HttpConnector, begun: Begun, claim: Claim, terms: Terms, first: Send | ReadBack
    ) -> tuple[Outcome, bool | None]:
        """Follow the state machine to the end of this lease; also say whether the target failed, None if not asked.

        Nothing is asked that could outlast the lease.
        """
        step: Send | ReadBack | Wait | Settle = first
        last_call = begun.deadline - self.registered.target.spec.timeout.seconds
        detail = dict[str, object]()
        status, failed = None, None
        while isinstance(step, Send | ReadBack):
            in_time = time.monotonic() < last_call
            if isinstance(step, Send):
                crash_point("before-send")
                seen = Seen(evidence=NeverLeft(reason=Reason.LeaseExpired))
                if in_time:
                    seen = await connector.send(claim.operation, claim.parameters, str(claim.action_id))
                crash_point("after-send")
                status = seen.http_status
                detail["request"] = _kept(seen)
            else:
                crash_point("before-read-back")
                seen = Seen(evidence=ReadFailed(reason=Reason.LeaseExpired))
                if in_time:
                    seen = await connector.read_back(claim.operation, claim.parameters)
                crash_point("after-read-back")
                detail["readBack"] = _kept(seen)
            failed = _failed(seen.evidence, before=failed)
            step = next_step(step.effect, seen.evidence, terms, begun.time())
        return Outcome(claim=claim, step=step, at=begun.time(), http_status=status, detail=detail), failed

    def _refund(self, begun: Begun, outcomes: Sequence[Outcome]) -> None:
        if self._spending is not None and begun.charge is not None:
            unused = sum(each.claim.is_fresh and each.step.effect.attempts == 0 for each in outcomes)
            self._spending.refund(begun.charge, unused)

    def _judge(self, failures: Sequence[bool], now: datetime) -> None:
        """Open or close the breaker by what the batch showed of the target, not of single actions."""
        before = self._breaker
        self._breaker = before.after(failed=sum(failures), succeeded=len(failures) - sum(failures), now=now)
        if self._breaker.is_trying != before.is_trying:
            self._log.warning("target failing" if self._breaker.is_trying else "target answers again")

    async def _record(self, outcomes: Sequence[Outcome]) -> None:
        """Write what came of a batch, and go on trying while the store is away: it is known nowhere else."""
        crash_point("before-record")
        failures, give_up = 0, None
        while outcomes:
            try:
                recorded = await self._session.run(lambda cursor: self._write(cursor, outcomes))
                break
            except psycopg.Error as error:
                if self._stop.is_set():
                    give_up = give_up or time.monotonic() + LAST_RECORDS_SECONDS
                    if time.monotonic() > give_up:
                        self._log.error("outcomes not written; their leases run out", count=len(outcomes))
                        return
                delay = STORE_BACK_OFF_SECONDS[min(failures, len(STORE_BACK_OFF_SECONDS) - 1)]
                failures += 1
                self._log.warning("store unavailable", error=type(error).__name__, again_in_seconds=delay)
                await asyncio.sleep(delay)
        else:
            return
        crash_point("after-record")
        self._note(outcomes, recorded)

    def _write(self, cursor: psycopg.Cursor[TupleRow], outcomes: Sequence[Outcome]) -> outbox.Recorded:
        recorded = outbox.record(cursor, outcomes, owner=self._owner, now=outbox.clock(cursor))
        crash_point("in-record")
        return recorded

    def _note(self, outcomes: Sequence[Outcome], recorded: outbox.Recorded) -> None:
        """Count what was written, and say what was not simply observed."""
        waiting = Counter[str]()
        for each in outcomes:
            state, action = each.step.effect.state, str(each.claim.action_id)
            if each.claim.action_id not in recorded.written:
                self.figures["fenced"] += 1
                self._log.warning("outcome dropped: another dispatcher has taken over", action=action)
            elif isinstance(each.step, Wait):
                self.figures["again"] += 1
                waiting[each.step.reason.value] += 1
            else:
                self.figures[state.value] += 1
                if state is not State.OBSERVED:
                    self._log.warning(
                        f"action {state.value}",
                        action=action,
                        operation=each.claim.operation,
                        reason=each.step.reason.value,
                        attempt=each.step.effect.attempts,
                        http_status=each.http_status,
                    )
        if waiting:
            self._log.info("actions wait for another attempt", **waiting)

    async def _say_held(self, admitted: Pass) -> None:
        if admitted.held is None:
            return
        reason, fresh_only, name = admitted.held, admitted.begun_only, self.registered.name
        try:
            await self._session.run(lambda cursor: outbox.say_held(cursor, name, reason, fresh_only=fresh_only))
        except psycopg.Error as error:
            self._log.warning("store unavailable", error=type(error).__name__)

    async def _pause(self, number: int, seconds: float) -> None:
        """Until woken, or for that long."""
        try:
            await asyncio.wait_for(self._wake[number].wait(), seconds)
        except TimeoutError:
            return

    async def _until_stopped(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return


def _failed(evidence: Evidence, *, before: bool | None) -> bool | None:
    """Does this evidence speak against the target? A request that was answered counts, whatever the read-back says."""
    match evidence:
        case Answered(status=status):
            return status >= 500 or status == 429
        case NeverLeft(reason=reason) | NoAnswer(reason=reason) | ReadFailed(reason=reason):
            return before if reason in OURS else True
        case ReadValue():
            return before if before is not None else False
        case _:
            return before


def _kept(seen: Seen) -> dict[str, object]:
    """What of a call stands in the record."""
    kept: dict[str, object] = {"elapsedMs": seen.elapsed_ms}
    if seen.http_status is not None:
        kept["httpStatus"] = seen.http_status
    if seen.message is not None:
        kept["message"] = seen.message
    if seen.value is not None:
        kept["value"] = seen.value
    return kept
