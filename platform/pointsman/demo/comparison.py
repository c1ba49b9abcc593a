"""What the same decisions mean for accounts, reviewers and money when they take effect at other moments. Pure.

One set of rules for every way of running, written out in the report:

- A frozen account refuses what is bought with it: that loses nothing, alerts nobody, and is not reviewed. It stays frozen.
- A fraud is lost when it was bought while no freeze was in effect on its account. So is the one that gives the card away;
  what a shop would have saved that waits for the answer is counted beside it, as `declined_cents`.
- Verdicts are right; the verdict fraud freezes the account at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pointsman.demo.decided import SECOND_US, Decided, Ints, Mask, Moments
from pointsman.demo.report import REVIEW
from pointsman.demo.reviewing import Desk, Reviewers

APPROVE, DECLINE = "approve", "decline"


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """Why and when an account was frozen: by which row, at which moment, by the model or after a verdict."""

    row: int
    at: int
    by: Literal["model", "reviewer"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """How it went: the first freeze of each account, what was refused for one, and when items got their verdicts (else 0)."""

    freezes: Mapping[str, Freeze]
    refused: Mask
    verdict_at: Ints


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of some durations in seconds; None where there were none."""

    count: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way of running, in numbers. Money is in cents; an alert is a decision that was not approved."""

    alerts: int
    human_items: int
    items_a_shift_hour: float
    """human items for each hour that a reviewer is on shift"""
    frauds_found_a_review_hour: float
    """frauds among the items, for each hour spent on items"""
    review_hours: float
    review_wait: Percentiles
    """from the item's event to its verdict"""
    freeze_after_event: Percentiles
    """truly fraudulent events that froze their account, by the model or after a verdict: event to freeze"""
    freeze_by_model: Percentiles
    """of these, the ones without a person in between"""
    freeze_after_first_fraud: Percentiles
    """truly fraudulent cards whose account was frozen after their first fraud: first fraud to freeze"""
    fraud_cards: int
    fraud_cards_frozen: int
    frozen_rightly: int
    """accounts on which there had been a fraud when they were frozen"""
    frozen_wrongly: int
    lost_cents: int
    lost_transactions: int
    declined_cents: int
    """of the lost: what was declined, and saved where a shop waits for the answer"""
    refused_fraud_cents: int
    refused_honest: int
    refused_honest_cents: int


def follow(decided: Decided, moments: Moments, reviewers: Reviewers) -> Course:
    """Let every row happen in order of arrival, with the freezes that are in effect when it was bought."""
    freezes, desk = dict[str, Freeze](), Desk(reviewers)
    refused, verdict_at = np.zeros(len(decided), np.bool_), np.zeros(len(decided), np.int64)
    rows = zip(
        decided.account.tolist(),
        decided.occurred_at.tolist(),
        decided.outcome.tolist(),
        decided.freezes.tolist(),
        decided.audited.tolist(),
        decided.fraud.tolist(),
        strict=True,
    )
    for row, (account, occurred, outcome, freezing, audited, fraud) in enumerate(rows):
        earlier = freezes.get(account)
        if earlier is not None and earlier.at <= occurred:
            refused[row] = True
            continue
        found: Freeze | None = None
        if freezing:
            found = Freeze(row=row, at=int(moments.frozen_at[row]), by="model")
        if outcome == REVIEW or audited:
            verdict_at[row] = desk.verdict_at(int(moments.ready_at[row]))
            if fraud and found is None:
                found = Freeze(row=row, at=int(verdict_at[row]), by="reviewer")
        if found is not None and (earlier is None or found.at < earlier.at):
            freezes[account] = found
    return Course(freezes=freezes, refused=refused, verdict_at=verdict_at)


def measure(decided: Decided, course: Course, reviewers: Reviewers) -> Measured:
    """Count it."""
    happened, fraud = ~course.refused, decided.fraud
    items = happened & (course.verdict_at > 0)
    lost = lost_rows(decided, course)
    hours = int(items.sum()) * reviewers.minutes_an_item / 60
    honest_refused = course.refused & ~fraud
    by_event, by_model = _after_event(decided, course)
    first = _first_frauds(decided.account, decided)
    rightly = sum(account in first and first[account] <= each.at for account, each in course.freezes.items())
    cards = _first_frauds(decided.card, decided)
    account_of = dict(zip(decided.card.tolist(), decided.account.tolist(), strict=True))
    frozen = [
        (at, course.freezes[account_of[card]].at) for card, at in cards.items() if account_of[card] in course.freezes
    ]
    return Measured(
        alerts=int((happened & (decided.outcome != APPROVE)).sum()),
        human_items=int(items.sum()),
        items_a_shift_hour=_ratio(int(items.sum()), reviewers.hours_a_day * decided.days),
        frauds_found_a_review_hour=_ratio(int((items & fraud).sum()), hours),
        review_hours=hours,
        review_wait=_percentiles((course.verdict_at - decided.occurred_at)[items]),
        freeze_after_event=_percentiles(np.array(by_event, np.int64)),
        freeze_by_model=_percentiles(np.array(by_model, np.int64)),
        freeze_after_first_fraud=_percentiles(np.array([end - at for at, end in frozen if end > at], np.int64)),
        fraud_cards=len(cards),
        fraud_cards_frozen=len(frozen),
        frozen_rightly=rightly,
        frozen_wrongly=len(course.freezes) - rightly,
        lost_cents=int(decided.cents[lost].sum()),
        lost_transactions=int(lost.sum()),
        declined_cents=int(decided.cents[lost & (decided.outcome == DECLINE)].sum()),
        refused_fraud_cents=int(decided.cents[course.refused & fraud].sum()),
        refused_honest=int(honest_refused.sum()),
        refused_honest_cents=int(decided.cents[honest_refused].sum()),
    )


def lost_rows(decided: Decided, course: Course) -> Mask:
    """The frauds that were bought while no freeze was in effect."""
    return decided.fraud & ~course.refused


def freeze_waits(decided: Decided, course: Course) -> npt.NDArray[np.float64]:
    """Seconds from each truly fraudulent event that froze its account to the freeze, shortest first."""
    waits = np.sort(np.array(_after_event(decided, course)[0], np.int64))
    return waits / SECOND_US


def _after_event(decided: Decided, course: Course) -> tuple[list[int], list[int]]:
    """Waits (µs) of fraudulent events that froze: all of them, and those by the model."""
    rightly = [each for each in course.freezes.values() if decided.fraud[each.row]]
    waits = [each.at - int(decided.occurred_at[each.row]) for each in rightly]
    return waits, [wait for wait, each in zip(waits, rightly, strict=True) if each.by == "model"]


def _first_frauds(names: npt.NDArray[np.object_], decided: Decided) -> dict[str, int]:
    """When each of these names was first used in a fraud."""
    first = dict[str, int]()
    for name, at in zip(names[decided.fraud].tolist(), decided.occurred_at[decided.fraud].tolist(), strict=True):
        first[name] = min(at, first.get(name, at))
    return first


def _percentiles(microseconds: Ints) -> Percentiles:
    if not len(microseconds):
        return Percentiles(count=0, p50=None, p95=None)
    p50, p95 = (np.percentile(microseconds, [50, 95]) / SECOND_US).tolist()
    return Percentiles(count=len(microseconds), p50=p50, p95=p95)


def _ratio(count: int, hours: float) -> float:
    return count / hours if hours else 0.0
