"""Generated histories: any order of answers, losses, late effects, crashes and expiry, against a modelled target.

The model knows what was truly applied; the state machine only sees what came back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.actions.effects import (
    FOLLOWS,
    Answered,
    Effect,
    NeverLeft,
    NoAnswer,
    Patience,
    ReadFailed,
    ReadValue,
    Send,
    Settle,
    State,
    Terms,
    Wait,
    next_step,
)
from pointsman.api.reasons import Reason

START = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = Patience(attempts=5)

SENDS = [
    "applied, answered 200",
    "applied once the lease is over, answered 202",
    "not applied, answered 202",
    "applied, answer lost",
    "applied once the lease is over, answer lost",
    "applied, answered 500",
    "lost on the way",
    "not applied, answered 500",
    "not applied, answered 409",
    "not applied, answered 404",
    "not applied, answered 401",
    "not applied, answered 429",
    "never left",
    "crash before",
    "crash after, applied",
]
READS = ["read", "not read", "crash before", "crash after"]


@dataclass
class Target:
    """What truly happened. `key_honoured`: a repeated request is not applied again."""

    key_honoured: bool
    times_applied: int = 0
    to_come: int = 0
    may_have_arrived: bool = False

    def apply(self) -> None:
        if not (self.key_honoured and self.times_applied):
            self.times_applied += 1

    def lease_ends(self) -> None:
        if self.to_come:
            self.apply()
        self.to_come = 0


@dataclass
class History:
    """One action's row, as the outbox keeps it, and all that was done for it."""

    terms: Terms
    target: Target
    sends: list[str]
    reads: list[str]
    expires_after: int | None
    state: State = State.APPROVED
    attempts: int = 0
    reason: Reason | None = None
    now: datetime = START
    done: list[str] = field(default_factory=list)

    def run(self) -> Settle:
        for _ in range(200):
            settled = self.lease()
            self.target.lease_ends()
            self.now += timedelta(hours=1)
            if settled is not None:
                return settled
        raise AssertionError(f"never settled: {self.done}")

    def lease(self) -> Settle | None:
        expires_at = None if self.expires_after is None else START + timedelta(hours=self.expires_after)
        uncertain = self.state is State.ATTEMPTED
        effect = Effect(
            action_id=UUID(int=1),
            state=State.ATTEMPTED if uncertain else State.LEASED,
            attempts=self.attempts,
            uncertain=uncertain,
            accepted=uncertain and self.reason is Reason.Sent,
            expires_at=expires_at,
        )
        step = next_step(effect, None, self.terms, self.now, PATIENCE)
        if not isinstance(step, Wait | Settle):
            self.state, self.attempts = State.ATTEMPTED, self.attempts + 1
            if not uncertain:
                self.reason = None
        read_without_effect = False
        while not isinstance(step, Wait | Settle):
            assert step.effect.state in FOLLOWS[effect.state] | {effect.state}
            if isinstance(step, Send):
                self.check_may_send(read_without_effect)
                evidence = self.send()
            else:
                evidence = self.read()
                read_without_effect = evidence == ReadValue(shows_effect=False)
            if evidence is None:
                return None
            step = next_step(step.effect, evidence, self.terms, self.now, PATIENCE)
        self.state, self.attempts, self.reason = step.effect.state, step.effect.attempts, step.reason
        return step if isinstance(step, Settle) else None

    def check_may_send(self, read_without_effect: bool) -> None:
        if self.target.may_have_arrived:
            kind = self.terms.idempotency
            assert kind == "Key" or (kind == "ReadBack" and read_without_effect), self.done

    def send(self):
        fate = self.sends.pop(0) if self.sends else SENDS[0]
        self.done.append(f"send: {fate}")
        if fate.startswith("applied once"):
            self.target.to_come += 1
        elif fate.startswith("applied") or fate == "crash after, applied":
            self.target.apply()
        if fate == "crash before":
            return None
        if not fate.startswith("not applied, answered 4") and fate != "never left":
            self.target.may_have_arrived = True
        if "crash" in fate:
            return None
        if fate == "never left":
            return NeverLeft()
        if "lost" in fate:
            return NoAnswer()
        answered = Answered(status=int(fate[-3:]))
        self.target.may_have_arrived |= answered.status == 409
        return answered

    def read(self):
        fate = self.reads.pop(0) if self.reads else READS[0]
        self.done.append(f"read: {fate}")
        if "crash" in fate:
            return None
        return ReadFailed() if fate == "not read" else ReadValue(shows_effect=self.target.times_applied > 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "terms",
    [
        Terms(idempotency="Key", can_read_back=True),
        Terms(idempotency="Key", can_read_back=False),
        Terms(idempotency="ReadBack", can_read_back=True),
        Terms(idempotency="None", can_read_back=True),
        Terms(idempotency="None", can_read_back=False),
    ],
    ids=["key", "key, no read-back", "read-back", "none, readable", "none"],
)
@settings(max_examples=600, deadline=None)
@given(
    sends=st.lists(st.sampled_from(SENDS), max_size=12),
    reads=st.lists(st.sampled_from(READS), max_size=12),
    expires_after=st.none() | st.integers(0, 8),
)
def test_no_history_doubles_an_effect_or_tells_an_untruth(
    terms: Terms, sends: list[str], reads: list[str], expires_after: int | None
) -> None:
    target = Target(key_honoured=terms.idempotency == "Key")
    history = History(terms=replace(terms), target=target, sends=sends, reads=reads, expires_after=expires_after)
    settled = history.run()
    assert target.times_applied <= 1
    match settled.effect.state:
        case State.OBSERVED:
            assert target.times_applied == 1 or not terms.can_read_back
        case State.REJECTED:
            assert target.times_applied == 0
            assert not target.may_have_arrived
        case state:
            assert state is State.UNKNOWN
            assert settled.needs_person
    unclear = [each for each in history.done if each.startswith("send") and "4" not in each and "never" not in each]
    assert len(unclear) <= PATIENCE.attempts
