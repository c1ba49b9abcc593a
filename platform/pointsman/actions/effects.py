"""The life of an effect, as a pure state machine. The dispatcher asks it after every piece of evidence what comes next.

Two facts decide everything: may the target have applied the action already (`uncertain`), and has it accepted it
(`accepted`). From them follow the promises:

- a request is sent again after an uncertain outcome only where the target honours a key (`Key`), or where its state was
  read back first and does not show the effect (`ReadBack`); where it can do neither (`None`), never;
- `rejected` is said only of what surely was not applied; otherwise it is `observed`, or a person is told `unknown`;
- a 2xx is not yet `observed` where the operation can be read back: it is once the target's state shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pointsman.actions.approval import people_needed
from pointsman.api.action_target import ActionTarget
from pointsman.api.reasons import Reason


class State(StrEnum):
    """Where an effect stands. Stored by these values, so none is ever renamed."""

    PROPOSED = "proposed"
    CHECKED = "checked"
    APPROVED = "approved"
    LEASED = "leased"
    ATTEMPTED = "attempted"
    OBSERVED = "observed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    RECONCILED = "reconciled"
    COMPENSATED = "compensated"


FOLLOWS: dict[State, frozenset[State]] = {
    State.PROPOSED: frozenset({State.CHECKED, State.REJECTED}),
    State.CHECKED: frozenset({State.APPROVED, State.REJECTED}),
    State.APPROVED: frozenset({State.LEASED, State.REJECTED}),
    State.LEASED: frozenset({State.LEASED, State.APPROVED, State.ATTEMPTED, State.REJECTED}),
    State.ATTEMPTED: frozenset({State.APPROVED, State.ATTEMPTED, State.OBSERVED, State.REJECTED, State.UNKNOWN}),
    State.OBSERVED: frozenset({State.COMPENSATED}),
    State.UNKNOWN: frozenset({State.RECONCILED}),
    State.RECONCILED: frozenset({State.COMPENSATED}),
    State.REJECTED: frozenset(),
    State.COMPENSATED: frozenset(),
}
"""Which state may follow which; an attempt that surely was not applied goes back to approved."""

SETTLED = frozenset({State.OBSERVED, State.REJECTED, State.UNKNOWN, State.RECONCILED, State.COMPENSATED})
"""Nothing is done by itself any more."""


class IllegalStep(Exception):
    """The evidence does not fit the state: a defect of the caller, never of the target."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What is known of one action's effect during one lease.

    `state` is leased, or attempted as soon as anything may have reached the target. `attempts` counts the leases in
    which it did, without those that it surely did not act upon. `sent` says that a request left in this lease;
    `stopping` names why nothing more may be sent, while the target's state is still being read.
    """

    action_id: UUID
    state: State
    attempts: int = 0
    uncertain: bool = False
    accepted: bool = False
    expires_at: datetime | None = None
    sent: bool = False
    stopping: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a target allows, for one operation. `refused` is the gate's verdict: a reason, and nothing is sent."""

    idempotency: Literal["Key", "ReadBack", "None"]
    can_read_back: bool
    refused: Reason | None = None

    @classmethod
    def of(cls, target: ActionTarget, operation: str, *, certified: bool = False, approved_by: int | None = 0) -> Terms:
        """The terms of a registered target for an action that so many people have approved (None: not those that had to), and
        whether a certificate speaks for the band that has asked for it.
        """
        found = target.spec.operation(operation)
        refused = None
        if found is None:
            refused = Reason.OperationNotFound
        elif approved_by is None or approved_by < people_needed((target.spec.approval,), certified=certified):
            refused = Reason.ApprovalNotAvailable
        return cls(
            idempotency=target.spec.idempotency.type,
            can_read_back=found is not None and found.read_back is not None,
            refused=refused,
        )


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how far apart an action is tried: doubling from `first` on, capped, spread by up to 25 %."""

    attempts: int = 12
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)
    longest_asked_for: timedelta = timedelta(hours=1)

    def delay(self, effect: Effect, asked_for: timedelta | None) -> timedelta:
        """How long to wait after this attempt; at least what the target asked for, up to an hour."""
        doubled: timedelta = self.first * 2 ** min(max(effect.attempts - 1, 0), 20)
        spread = 1 + (effect.action_id.int % 1024) / 4096
        own: timedelta = min(doubled, self.longest) * spread
        return max(own, min(asked_for, self.longest_asked_for)) if asked_for else own


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The target answered the request; `retry_after` is what it asked for."""

    status: int
    retry_after: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class NeverLeft:
    """The request surely did not reach the target."""

    reason: Reason = Reason.TargetUnreachable


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """The request may have reached the target; nothing came back."""

    reason: Reason = Reason.TargetTimeout


@dataclass(frozen=True, kw_only=True)
class Unsendable:
    """The action cannot be turned into a request: a parameter is missing or would change the path."""

    reason: Reason = Reason.InvalidParameter


@dataclass(frozen=True, kw_only=True)
class ReadValue:
    """The target's state was read: does it show the effect?"""

    shows_effect: bool


@dataclass(frozen=True, kw_only=True)
class ReadFailed:
    """The target's state could not be read."""

    reason: Reason = Reason.TargetError


Evidence = Answered | NeverLeft | NoAnswer | Unsendable | ReadValue | ReadFailed


@dataclass(frozen=True, kw_only=True)
class Send:
    """Send the request, with the action's id as its key."""

    effect: Effect


@dataclass(frozen=True, kw_only=True)
class ReadBack:
    """Read the target's state."""

    effect: Effect


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Give the lease back, and come again at `until`."""

    effect: Effect
    until: datetime
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Settle:
    """Nothing more is done by itself; `needs_person` puts the action before one."""

    effect: Effect
    reason: Reason
    needs_person: bool


Step = Send | ReadBack | Wait | Settle

NOT_PROCESSED = frozenset({425, 429})
"""Answers that say the request was not acted upon and may come again."""

MAY_HAVE_BEEN_PROCESSED = frozenset({408, 409})
"""Client errors that, like a 5xx, do not say whether the request was acted upon."""


def next_step(
    effect: Effect, evidence: Evidence | None, terms: Terms, now: datetime, patience: Patience = DEFAULT_PATIENCE
) -> Step:
    """What comes next. `evidence` is None at the start of a lease, then what the last Send or ReadBack brought."""
    begun = effect.state is State.ATTEMPTED
    if not begun and (evidence is not None or effect.state is not State.LEASED):
        raise IllegalStep(f"an effect that is {effect.state.value} is not being attempted")
    match evidence:
        case None:
            return _begin(effect, terms, now, patience)
        case Unsendable(reason=reason):
            return _stop(effect, reason, terms)
        case NeverLeft(reason=reason):
            return _wait(_not_counted(effect), reason, now, patience.delay(effect, None))
        case Answered(status=status, retry_after=retry_after):
            return _answered(replace(effect, sent=True), status, retry_after, terms, now, patience)
        case NoAnswer(reason=reason):
            return _unclear(replace(effect, sent=True, uncertain=True), reason, None, terms, now, patience)
        case ReadValue(shows_effect=True):
            return _settle(effect, State.OBSERVED, Reason.Observed)
        case ReadValue():
            return _not_shown(effect, terms, now, patience)
        case ReadFailed(reason=reason):
            return _unread(effect, reason, now, patience)


def reconcile(effect: Effect) -> Effect:
    """An unknown outcome that a person, or a later reading, has cleared up."""
    return _moved(effect, State.RECONCILED)


def compensate(effect: Effect) -> Effect:
    """An effect that its compensation has undone."""
    return _moved(effect, State.COMPENSATED)


def _begin(effect: Effect, terms: Terms, now: datetime, patience: Patience) -> Step:
    if terms.refused is not None:
        return _stop(effect, terms.refused, terms)
    if effect.expires_at is not None and effect.expires_at <= now:
        return _stop(effect, Reason.Expired, terms)
    if not effect.uncertain:
        return Send(effect=_attempted(effect))
    if effect.accepted and terms.can_read_back:
        return ReadBack(effect=_attempted(effect))
    if terms.idempotency == "Key" and effect.attempts < patience.attempts:
        return Send(effect=_attempted(effect))
    if terms.can_read_back:
        return ReadBack(effect=_attempted(effect))
    return _settle(effect, State.UNKNOWN, Reason.OutcomeUnknown)


def _answered(
    effect: Effect, status: int, retry_after: timedelta | None, terms: Terms, now: datetime, patience: Patience
) -> Step:
    if 200 <= status < 300:
        accepted = replace(effect, uncertain=True, accepted=True)
        return ReadBack(effect=accepted) if terms.can_read_back else _settle(accepted, State.OBSERVED, Reason.Observed)
    if status in NOT_PROCESSED:
        return _wait(_not_counted(effect), Reason.TargetBusy, now, patience.delay(effect, retry_after))
    if 400 <= status < 500 and status not in MAY_HAVE_BEEN_PROCESSED:
        return _stop(effect, Reason.TargetRefusesUs if status in {401, 403} else Reason.Rejected, terms)
    return _unclear(replace(effect, uncertain=True), Reason.TargetError, retry_after, terms, now, patience)


def _unclear(
    effect: Effect,
    reason: Reason,
    retry_after: timedelta | None,
    terms: Terms,
    now: datetime,
    patience: Patience,
) -> Step:
    """A request left and may have been applied."""
    if terms.idempotency == "Key" and not _exhausted(effect, patience):
        return _wait(effect, reason, now, patience.delay(effect, retry_after))
    if terms.can_read_back:
        return ReadBack(effect=effect)
    return _settle(effect, State.UNKNOWN, Reason.OutcomeUnknown)


def _not_shown(effect: Effect, terms: Terms, now: datetime, patience: Patience) -> Step:
    """The target's state was read and does not show the effect."""
    if effect.stopping is not None:
        return _settle(effect, State.UNKNOWN, effect.stopping)
    if _exhausted(effect, patience):
        reason = Reason.ReadBackMismatch if effect.accepted else Reason.RetriesExhausted
        return _settle(effect, State.UNKNOWN, reason)
    if terms.idempotency == "ReadBack" and not effect.accepted and not effect.sent:
        return Send(effect=effect)
    return _wait(effect, Reason.Sent if effect.accepted else Reason.ReadBackMismatch, now, patience.delay(effect, None))


def _unread(effect: Effect, reason: Reason, now: datetime, patience: Patience) -> Step:
    if _exhausted(effect, patience):
        return _settle(effect, State.UNKNOWN, effect.stopping or Reason.OutcomeUnknown)
    return _wait(effect, Reason.Sent if effect.accepted else reason, now, patience.delay(effect, None))


def _stop(effect: Effect, reason: Reason, terms: Terms) -> Step:
    """Nothing is sent any more: rejected where nothing can have been applied, else read back a last time."""
    if not effect.uncertain:
        return _settle(effect, State.REJECTED, reason)
    if terms.can_read_back:
        return ReadBack(effect=replace(effect if effect.sent else _attempted(effect), stopping=reason))
    return _settle(effect, State.UNKNOWN, reason)


PASSED_OVER = frozenset(
    {Reason.ApprovalNotAvailable, Reason.OperationNotFound, Reason.InvalidParameter, Reason.BudgetExhausted}
)
"""Rejections by ourselves and not by the target: a person decides what is to be done instead."""


def _settle(effect: Effect, state: State, reason: Reason) -> Settle:
    needs_person = state is State.UNKNOWN or (state is State.REJECTED and reason in PASSED_OVER)
    return Settle(effect=_moved(effect, state), reason=reason, needs_person=needs_person)


def _wait(effect: Effect, reason: Reason, now: datetime, delay: timedelta) -> Wait:
    state = State.ATTEMPTED if effect.uncertain else State.APPROVED
    return Wait(effect=_moved(effect, state), until=now + delay, reason=reason)


def _exhausted(effect: Effect, patience: Patience) -> bool:
    return effect.attempts >= patience.attempts


def _attempted(effect: Effect) -> Effect:
    """The lease's own attempt begins; what is sent after a read-back in the same lease belongs to it."""
    return replace(_moved(effect, State.ATTEMPTED), attempts=effect.attempts + 1)


def _not_counted(effect: Effect) -> Effect:
    """This lease reached nothing that could act: attempts are kept for what may have been applied."""
    return replace(effect, attempts=effect.attempts - 1)


def _moved(effect: Effect, state: State) -> Effect:
    if state not in FOLLOWS[effect.state]:
        raise IllegalStep(f"{effect.state.value} is not followed by {state.value}")
    return replace(effect, state=state)
