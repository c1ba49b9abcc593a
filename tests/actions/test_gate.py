"""What the gate lets through, how the breaker opens and closes, and how a budget's window counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.actions.budget import Charge, Spending
from pointsman.actions.effects import Terms
from pointsman.actions.gate import Breaker, Pass, admit
from pointsman.api.action_target import ActionTarget
from pointsman.api.reasons import Reason

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOSED = Breaker()
FAILING = CLOSED.after(failed=3, succeeded=0, now=NOW)


@pytest.fixture
def ask(document: Callable[..., dict]) -> Callable[..., Pass]:
    def run(
        *, used: int = 0, breaker: Breaker = CLOSED, fault: Reason | None = None, now: datetime = NOW, **spec: object
    ) -> Pass:
        target = ActionTarget.model_validate(document(**spec))
        budget = target.spec.budget
        spending = None if budget is None else Spending(budget.limit, HOUR, [Charge(at=NOW, count=used)])
        return admit(target, batch=64, spending=spending, breaker=breaker, fault=fault, now=now)

    return run


def budget(limit: int, on_exhausted: str = "Hold") -> dict[str, object]:
    return {"limit": limit, "window": "1h", "onExhausted": on_exhausted}


def test_nothing_in_the_way_lets_a_batch_through(ask) -> None:
    assert ask() == Pass(limit=64)


def test_the_kill_switch_holds_everything(ask) -> None:
    assert ask(suspend=True) == Pass(limit=0, held=Reason.KillSwitchOn)


def test_a_fault_of_ours_holds_everything(ask) -> None:
    assert ask(fault=Reason.SecretNotFound) == Pass(limit=0, held=Reason.SecretNotFound)


def test_a_failing_target_is_left_alone_and_then_tried_with_one_action(ask) -> None:
    assert ask(breaker=FAILING) == Pass(limit=0, held=Reason.TargetUnreachable)
    assert ask(breaker=FAILING, now=NOW + timedelta(seconds=1)) == Pass(limit=1)
    answered = FAILING.after(failed=0, succeeded=1, now=NOW)
    assert ask(breaker=answered) == Pass(limit=64)


def test_a_budget_lets_through_what_is_left_of_it(ask) -> None:
    assert ask(budget=budget(100), used=20) == Pass(limit=64)
    assert ask(budget=budget(100), used=90) == Pass(limit=10)
    assert ask(budget=budget(100), used=100, now=NOW + HOUR) == Pass(limit=64)


def test_an_empty_budget_holds_new_actions_and_lets_begun_ones_end(ask) -> None:
    assert ask(budget=budget(100), used=100) == Pass(limit=64, begun_only=True, held=Reason.BudgetExhausted)
    assert ask(budget=budget(50), used=100).begun_only


def test_an_empty_budget_can_turn_new_actions_away_to_a_person(ask) -> None:
    assert ask(budget=budget(100, "Review"), used=100) == Pass(limit=64, refused=Reason.BudgetExhausted)


def test_the_breaker_opens_for_longer_each_time_up_to_its_longest() -> None:
    breaker, open_for = Breaker(), []
    for _ in range(9):
        breaker = breaker.after(failed=1, succeeded=0, now=NOW)
        open_for.append((breaker.until - NOW).total_seconds())
    assert open_for == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_batch_that_succeeded_in_part_is_no_fault_of_the_target() -> None:
    assert not FAILING.after(failed=63, succeeded=1, now=NOW).is_trying
    assert FAILING.after(failed=0, succeeded=0, now=NOW) == FAILING


@pytest.mark.parametrize("approval", ["WhenUncertified", "Always"])
def test_what_needs_an_approval_is_refused(document, approval: str) -> None:
    target = ActionTarget.model_validate(document(approval={"type": approval}))
    assert Terms.of(target, "freeze").refused is Reason.ApprovalNotAvailable
    assert Terms.of(target, "freeze", approved_by=1).refused is Reason.ApprovalNotAvailable, "the target wants two"
    assert Terms.of(target, "freeze", approved_by=2).refused is None
    certified = Terms.of(target, "freeze", certified=True).refused
    assert certified is (None if approval == "WhenUncertified" else Reason.ApprovalNotAvailable)


def test_what_those_did_not_approve_that_had_to_is_refused_whatever_the_target_asks_for(document) -> None:
    target = ActionTarget.model_validate(document(approval={"type": "Never"}))
    assert Terms.of(target, "freeze", certified=True, approved_by=None).refused is Reason.ApprovalNotAvailable


def test_the_terms_are_the_targets(document) -> None:
    target = ActionTarget.model_validate(document())
    assert Terms.of(target, "freeze") == Terms(idempotency="Key", can_read_back=True)
    assert Terms.of(target, "unfreeze") == Terms(idempotency="Key", can_read_back=False)
    assert Terms.of(target, "close").refused is Reason.OperationNotFound


@given(
    limit=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.integers(0, 5)), max_size=60),
)
def test_no_window_ever_holds_more_than_the_limit(limit: int, steps: list[tuple[int, int, int]]) -> None:
    spending, now, sent = Spending(limit, HOUR), NOW, list[datetime]()
    for minutes, wanted, unsent in steps:
        now += timedelta(minutes=minutes)
        count = min(wanted, spending.left(now))
        charge = spending.charge(count, now)
        unsent = min(unsent, count)
        spending.refund(charge, unsent)
        sent += [now] * (count - unsent)
    for end in sent:
        assert sum(end - HOUR < at <= end for at in sent) <= limit


def test_a_budget_that_was_used_up_is_whole_again_after_its_window() -> None:
    spending = Spending(10, HOUR)
    spending.charge(10, NOW)
    assert [spending.left(NOW + wait) for wait in (HOUR - timedelta(microseconds=1), HOUR)] == [0, 10]
