"""Serves one target: claims what is due, sends it, reads it back and records what came of it, in a few lanes at once.

The dispatcher starts one worker a target, so a slow target delays no other. Every rule stands in `effects` and `gate`;
every statement in `outbox`; what a batch does in a transaction in `batches`. Here is the order in which they are asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg
import structlog
from psycopg.rows import TupleRow

from pointsman.actions import outbox
from pointsman.actions.batches import Batches, Begun, Claimed
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
from pointsman.actions.gate import Breaker, Pass
from pointsman.actions.listening import Look, look
from pointsman.actions.metrics import Effects
from pointsman.actions.outbox import Claim, Outcome
from pointsman.actions.report import TargetReport
from pointsman.actions.secrets import missing_secrets
from pointsman.actions.session import Session
from pointsman.actions.settings import RegisteredTarget, Settings
from pointsman.api.reasons import Reason

log = structlog.get_logger()

NO_ADDRESS_SECONDS = 5.0
"""Between two look-ups of a name that has no address"""
STORE_BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LAST_RECORDS_SECONDS = 10.0
"""How long a worker that is told to stop tries to write outcomes to a store that is away."""

OURS = frozenset({Reason.LeaseExpired, Reason.SecretNotFound})
"""Reasons for which a call was not made or not finished, and that say nothing of the target."""


class Worker:
    """One target's lanes. `figures` counts what was recorded, by state; `again` are retries, `fenced` was dropped."""

    def __init__(
        self,
        registered: RegisteredTarget,
        settings: Settings,
        *,
        owner: str,
        threads: ThreadPoolExecutor,
        effects: Effects,
    ) -> None:
        self.registered = registered
        self.figures, self._effects = Counter[str](), effects
        self.held: Reason | None = None
        self._settings, self._owner = settings, owner
        self._look: Look | None = None
        self._budget_left: int | None = None
        self._session = Session(settings.store_url.get_secret_value(), threads)
        self._log = log.bind(target=registered.name)
        self._batches = Batches(
            registered.target,
            owner=owner,
            size=settings.file.batch,
            lease_seconds=settings.lease_seconds(registered.target),
        )
        self._breaker = Breaker()
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

    def report(self) -> TargetReport:
        """What is known of the target now."""
        return TargetReport(
            answers=None if self._look is None else self._look.listens,
            cause="" if self._look is None else self._look.cause,
            name_is_unknown=self._look is not None and self._look.name_is_unknown,
            missing_secrets=tuple(missing_secrets(self.registered.target, self._settings.file.secrets_folder)),
            budget_left=self._budget_left,
            held=self.held,
        )

    async def _serve(self) -> None:
        connector = await self._connector()
        if connector is not None:
            watching = asyncio.create_task(self._watch(connector))
            await asyncio.gather(*(self._lane(connector, number) for number in range(len(self._wake))))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            connector.close()
        await self._session.close()

    async def _connector(self) -> HttpConnector | None:
        """Once the target has an address."""
        while not self._stop.is_set():
            self._look = await look(self.registered.url)
            if self._look.address is not None:
                return HttpConnector(self.registered.target, self._look.address, self._settings.file.secrets_folder)
            self.held = Reason.TargetUnreachable
            self._log.error("target has no address", why=self._look.cause)
            await self._say_held(Pass(limit=0, held=self.held))
            await self._until_stopped(NO_ADDRESS_SECONDS)
        return None

    async def _watch(self, connector: HttpConnector) -> None:
        """Know whether the target listens, and follow it where its address changes."""
        while True:
            assert self._look is not None
            await asyncio.sleep(self._look.again_in_seconds)
            self._look = await look(self.registered.url)
            if self._look.address is not None:
                connector.move(self._look.address)

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
        claimed = await self._session.run(
            lambda cursor: self._batches.claim(cursor, self._session.generation, self._breaker, fault)
        )
        self.held, self._budget_left = claimed.admitted.held, claimed.budget_left
        if says_held and self.held is not None:
            await self._say_held(claimed.admitted)
        if not claimed.claims:
            return False
        crash_point("after-claim")
        begun = await self._session.run(self._begin_or_release(claimed))
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
        self._batches.refund(begun, outcomes)
        self._judge(failures, begun.time())
        await self._record(outcomes)
        return True

    def _begin_or_release(self, claimed: Claimed) -> Callable[[psycopg.Cursor[TupleRow]], Begun | None]:
        """What is claimed is begun, unless this worker was told to stop since."""

        def work(cursor: psycopg.Cursor[TupleRow]) -> Begun | None:
            if self._stop.is_set():
                self._batches.release(cursor, claimed)
                return None
            return self._batches.begin(cursor, self._session.generation, claimed)

        return work

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
                self._effects.fenced(self.registered.name)
                self._log.warning("outcome dropped: another dispatcher has taken over", action=action)
            elif isinstance(each.step, Wait):
                self.figures["again"] += 1
                self._effects.again(self.registered.name)
                waiting[each.step.reason.value] += 1
            else:
                self.figures[state.value] += 1
                self._effects.ended(each)
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
