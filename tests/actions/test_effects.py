"""What the state machine says next, for each piece of evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pointsman.actions.effects import (
    DEFAULT_PATIENCE,
    FOLLOWS,
    SETTLED,
    Answered,
    Effect,
    IllegalStep,
    NeverLeft,
    NoAnswer,
    ReadBack,
    ReadFailed,
    ReadValue,
    Send,
    Settle,
    State,
    Terms,
    Unsendable,
    Wait,
    compensate,
    next_step,
    reconcile,
)
from pointsman.api.reasons import Reason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Terms(idempotency="Key", can_read_back=True)
KEY_ALONE = Terms(idempotency="Key", can_read_back=False)
READ_BACK = Terms(idempotency="ReadBack", can_read_back=True)
NONE = Terms(idempotency="None", can_read_back=False)
NONE_READABLE = Terms(idempotency="None", can_read_back=True)
ALL = [KEY, KEY_ALONE, READ_BACK, NONE, NONE_READABLE]
LEASED = Effect(action_id=UUID(int=7), state=State.LEASED)
UNCLEAR = [
    NoAnswer(),
    NoAnswer(reason=Reason.TargetError),
    *(Answered(status=each) for each in (302, 408, 409, 500, 503)),
]
NAMES = ["key", "key, no read-back", "read-back", "none", "none, readable"]
every_terms = pytest.mark.parametrize("terms", ALL, ids=NAMES)


def leased(**changes: object) -> Effect:
    return replace(LEASED, **changes)


def interrupted(**changes: object) -> Effect:
    """An action whose last attempt may have been applied."""
    return leased(**{"state": State.ATTEMPTED, "uncertain": True, "attempts": 1, **changes})


def sent(terms: Terms, effect: Effect = LEASED) -> Effect:
    step = next_step(effect, None, terms, NOW)
    assert isinstance(step, Send)
    return step.effect


def after(evidence: object, terms: Terms, effect: Effect = LEASED):
    return next_step(sent(terms, effect), evidence, terms, NOW)


def assert_settled(step: object, state: State, reason: Reason, *, needs_person: bool = False) -> None:
    assert isinstance(step, Settle)
    assert (step.effect.state, step.reason, step.needs_person) == (state, reason, needs_person)


@every_terms
def test_a_fresh_action_is_sent(terms: Terms) -> None:
    step = next_step(LEASED, None, terms, NOW)
    assert isinstance(step, Send)
    assert (step.effect.state, step.effect.attempts) == (State.ATTEMPTED, 1)


@pytest.mark.parametrize("terms", [KEY_ALONE, NONE])
def test_a_2xx_is_observed_where_nothing_can_be_read_back(terms: Terms) -> None:
    assert_settled(after(Answered(status=201), terms), State.OBSERVED, Reason.Observed)


@pytest.mark.parametrize("terms", [KEY, READ_BACK, NONE_READABLE])
def test_a_2xx_is_observed_only_once_it_is_read_back(terms: Terms) -> None:
    step = after(Answered(status=202), terms)
    assert isinstance(step, ReadBack)
    assert_settled(next_step(step.effect, ReadValue(shows_effect=True), terms, NOW), State.OBSERVED, Reason.Observed)


@pytest.mark.parametrize("terms", [KEY, READ_BACK, NONE_READABLE])
@pytest.mark.parametrize("reading", [ReadValue(shows_effect=False), ReadFailed()])
def test_an_accepted_action_that_does_not_show_is_read_again_and_not_sent_again(terms: Terms, reading: object) -> None:
    accepted = after(Answered(status=200), terms)
    step = next_step(accepted.effect, reading, terms, NOW)
    assert isinstance(step, Wait)
    assert (step.effect.state, step.reason) == (State.ATTEMPTED, Reason.Sent)
    again = next_step(interrupted(accepted=True, attempts=step.effect.attempts), None, terms, NOW)
    assert isinstance(again, ReadBack)


@pytest.mark.parametrize("reading", [ReadValue(shows_effect=False), ReadFailed()])
def test_an_accepted_action_that_never_shows_is_unknown_at_last(reading: object) -> None:
    begun = next_step(interrupted(accepted=True, attempts=DEFAULT_PATIENCE.attempts - 1), None, KEY, NOW)
    step = next_step(begun.effect, reading, KEY, NOW)
    assert isinstance(step, Settle)
    assert (step.effect.state, step.needs_person) == (State.UNKNOWN, True)


@every_terms
@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, Reason.Rejected), (404, Reason.Rejected), (422, Reason.Rejected), (401, Reason.TargetRefusesUs)],
)
def test_a_refusal_of_the_first_request_is_rejected(terms: Terms, status: int, reason: Reason) -> None:
    assert_settled(after(Answered(status=status), terms), State.REJECTED, reason)


def test_a_refusal_after_an_unclear_attempt_is_not_called_rejected() -> None:
    assert_settled(
        after(Answered(status=404), KEY_ALONE, interrupted()), State.UNKNOWN, Reason.Rejected, needs_person=True
    )
    step = after(Answered(status=404), KEY, interrupted())
    assert isinstance(step, ReadBack)
    assert_settled(next_step(step.effect, ReadValue(shows_effect=True), KEY, NOW), State.OBSERVED, Reason.Observed)
    shown = next_step(step.effect, ReadValue(shows_effect=False), KEY, NOW)
    assert_settled(shown, State.UNKNOWN, Reason.Rejected, needs_person=True)


@every_terms
@pytest.mark.parametrize("status", [425, 429])
def test_an_answer_that_was_not_acted_upon_may_come_again(terms: Terms, status: int) -> None:
    step = after(Answered(status=status, retry_after=timedelta(seconds=90)), terms)
    assert isinstance(step, Wait)
    assert (step.effect.state, step.effect.attempts, step.reason) == (State.APPROVED, 0, Reason.TargetBusy)
    assert step.until == NOW + timedelta(seconds=90)


@every_terms
def test_a_request_that_never_left_stays_pending_however_often(terms: Terms) -> None:
    effect = LEASED
    for _ in range(3 * DEFAULT_PATIENCE.attempts):
        step = after(NeverLeft(), terms, effect)
        assert isinstance(step, Wait)
        assert (step.effect.state, step.effect.attempts) == (State.APPROVED, 0)
        effect = replace(step.effect, state=State.LEASED)


@pytest.mark.parametrize("evidence", UNCLEAR, ids=str)
def test_with_a_key_an_unclear_request_is_sent_again(evidence: object) -> None:
    step = after(evidence, KEY)
    assert isinstance(step, Wait)
    assert step.effect.state is State.ATTEMPTED
    assert isinstance(next_step(replace(step.effect, sent=False), None, KEY, NOW), Send)


@pytest.mark.parametrize("evidence", UNCLEAR, ids=str)
def test_with_read_back_an_unclear_request_is_read_before_it_is_sent_again(evidence: object) -> None:
    step = after(evidence, READ_BACK)
    assert isinstance(step, ReadBack)
    step = next_step(step.effect, ReadValue(shows_effect=False), READ_BACK, NOW)
    assert isinstance(step, Wait), "what is still under way must have time to show"
    step = next_step(replace(step.effect, sent=False), None, READ_BACK, NOW)
    assert isinstance(step, ReadBack)
    assert isinstance(next_step(step.effect, ReadValue(shows_effect=False), READ_BACK, NOW), Send)
    assert isinstance(next_step(step.effect, ReadFailed(), READ_BACK, NOW), Wait)
    assert_settled(
        next_step(step.effect, ReadValue(shows_effect=True), READ_BACK, NOW), State.OBSERVED, Reason.Observed
    )


@pytest.mark.parametrize("evidence", UNCLEAR, ids=str)
def test_with_neither_an_unclear_request_is_unknown_and_goes_to_a_person(evidence: object) -> None:
    assert_settled(after(evidence, NONE), State.UNKNOWN, Reason.OutcomeUnknown, needs_person=True)


@pytest.mark.parametrize("evidence", UNCLEAR, ids=str)
def test_without_a_key_but_readable_an_unclear_request_is_only_ever_read(evidence: object) -> None:
    step = after(evidence, NONE_READABLE)
    for _ in range(DEFAULT_PATIENCE.attempts + 1):
        if isinstance(step, Settle):
            break
        assert isinstance(step, ReadBack)
        step = next_step(step.effect, ReadValue(shows_effect=False), NONE_READABLE, NOW)
        if isinstance(step, Wait):
            step = next_step(replace(step.effect, sent=False), None, NONE_READABLE, NOW)
    assert_settled(step, State.UNKNOWN, Reason.RetriesExhausted, needs_person=True)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [(KEY, Send), (KEY_ALONE, Send), (READ_BACK, ReadBack), (NONE, Settle), (NONE_READABLE, ReadBack)],
    ids=NAMES,
)
def test_a_lease_that_ran_out_during_an_attempt_is_an_unclear_outcome(terms: Terms, expected: type) -> None:
    step = next_step(interrupted(), None, terms, NOW)
    assert isinstance(step, expected)
    if isinstance(step, Settle):
        assert_settled(step, State.UNKNOWN, Reason.OutcomeUnknown, needs_person=True)


def test_attempts_are_bounded_and_end_as_unknown() -> None:
    last = interrupted(attempts=DEFAULT_PATIENCE.attempts - 1)
    assert_settled(after(NoAnswer(), KEY_ALONE, last), State.UNKNOWN, Reason.OutcomeUnknown, needs_person=True)
    step = after(NoAnswer(), KEY, last)
    assert isinstance(step, ReadBack)
    shown = next_step(step.effect, ReadValue(shows_effect=False), KEY, NOW)
    assert_settled(shown, State.UNKNOWN, Reason.RetriesExhausted, needs_person=True)
    crashed = interrupted(attempts=DEFAULT_PATIENCE.attempts)
    assert isinstance(next_step(crashed, None, KEY, NOW), ReadBack)
    unread = next_step(crashed, None, KEY_ALONE, NOW)
    assert_settled(unread, State.UNKNOWN, Reason.OutcomeUnknown, needs_person=True)


@every_terms
def test_an_expired_action_is_not_sent(terms: Terms) -> None:
    assert_settled(next_step(leased(expires_at=NOW), None, terms, NOW), State.REJECTED, Reason.Expired)
    assert isinstance(next_step(leased(expires_at=NOW + timedelta(microseconds=1)), None, terms, NOW), Send)


def test_an_expired_action_that_may_have_been_applied_is_read_or_unknown_never_rejected() -> None:
    late = interrupted(expires_at=NOW)
    assert_settled(next_step(late, None, KEY_ALONE, NOW), State.UNKNOWN, Reason.Expired, needs_person=True)
    step = next_step(late, None, KEY, NOW)
    assert isinstance(step, ReadBack)
    assert_settled(next_step(step.effect, ReadValue(shows_effect=True), KEY, NOW), State.OBSERVED, Reason.Observed)
    not_shown = next_step(step.effect, ReadValue(shows_effect=False), KEY, NOW)
    assert_settled(not_shown, State.UNKNOWN, Reason.Expired, needs_person=True)
    assert isinstance(next_step(step.effect, ReadFailed(), KEY, NOW), Wait)


@every_terms
@pytest.mark.parametrize("reason", [Reason.ApprovalNotAvailable, Reason.OperationNotFound, Reason.BudgetExhausted])
def test_what_the_gate_refuses_goes_to_a_person_unsent(terms: Terms, reason: Reason) -> None:
    step = next_step(LEASED, None, replace(terms, refused=reason), NOW)
    assert_settled(step, State.REJECTED, reason, needs_person=True)


def test_an_action_that_cannot_be_written_as_a_request_goes_to_a_person() -> None:
    assert_settled(after(Unsendable(), KEY), State.REJECTED, Reason.InvalidParameter, needs_person=True)


def test_back_off_doubles_is_capped_and_spread() -> None:
    def delay(attempts: int, action: int = 0) -> timedelta:
        return DEFAULT_PATIENCE.delay(leased(attempts=attempts, action_id=UUID(int=action)), None)

    assert [delay(each).total_seconds() for each in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert delay(40) == DEFAULT_PATIENCE.longest
    assert delay(1) < delay(1, action=1023) < timedelta(seconds=1.25)


def test_what_the_target_asks_for_is_honoured_up_to_an_hour() -> None:
    def until(asked_for: timedelta) -> timedelta:
        return after(Answered(status=503, retry_after=asked_for), KEY).until - NOW

    assert until(timedelta(seconds=120)) == timedelta(seconds=120)
    assert until(timedelta(0)) >= DEFAULT_PATIENCE.first
    assert until(timedelta(days=3)) == DEFAULT_PATIENCE.longest_asked_for


@pytest.mark.parametrize("state", sorted(set(State) - {State.LEASED, State.ATTEMPTED}))
def test_only_what_is_leased_is_stepped(state: State) -> None:
    with pytest.raises(IllegalStep):
        next_step(leased(state=state), None, KEY, NOW)


def test_evidence_before_anything_was_sent_is_a_defect() -> None:
    with pytest.raises(IllegalStep):
        next_step(LEASED, Answered(status=200), KEY, NOW)


def test_an_unknown_outcome_is_reconciled_and_an_effect_is_compensated() -> None:
    assert reconcile(leased(state=State.UNKNOWN)).state is State.RECONCILED
    assert compensate(leased(state=State.RECONCILED)).state is State.COMPENSATED
    assert compensate(leased(state=State.OBSERVED)).state is State.COMPENSATED
    for wrong in (State.OBSERVED, State.REJECTED, State.ATTEMPTED):
        with pytest.raises(IllegalStep):
            reconcile(leased(state=wrong))
    for wrong in (State.UNKNOWN, State.REJECTED, State.APPROVED):
        with pytest.raises(IllegalStep):
            compensate(leased(state=wrong))


def test_nothing_that_is_settled_goes_back_to_work() -> None:
    assert set(FOLLOWS) == set(State)
    for state in SETTLED:
        assert FOLLOWS[state] <= SETTLED
