"""The demo's findings, computed from what is recorded and from the truth. Pure; `demo.show` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

REVIEW = "review"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recorded decision."""

    event_id: str
    band: str | None
    outcome: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a transaction was."""

    fraud: bool
    amount_cents: int


@dataclass(frozen=True, kw_only=True)
class OutcomeShare:
    """The decisions of one outcome. `wrong` is fraud where it was approved, honest where it was declined."""

    outcome: str
    count: int
    share: float
    fraud: int
    wrong: int | None

    @property
    def error(self) -> float | None:
        return None if self.wrong is None or not self.count else self.wrong / self.count


@dataclass(frozen=True, kw_only=True)
class Business:
    """What it meant: alerts are decisions that were not approved."""

    outcomes: tuple[OutcomeShare, ...]
    alerts: int
    human_items: int
    fraud: int
    lost_cents: int
    stopped_cents: int
    in_review_cents: int
    reasons: Mapping[str, int]


def business(recorded: Sequence[Recorded], truth: Mapping[str, Truth]) -> Business:
    """Measure decisions against the truth."""
    outcomes = np.array([each.outcome for each in recorded], dtype=object)
    fraud = np.array([truth[each.event_id].fraud for each in recorded], dtype=np.bool_)
    cents = np.array([truth[each.event_id].amount_cents for each in recorded], dtype=np.int64)
    shares = list[OutcomeShare]()
    for outcome in sorted(set(outcomes.tolist())):
        of_it = outcomes == outcome
        frauds = int(fraud[of_it].sum())
        count = int(of_it.sum())
        wrong = {"approve": frauds, "decline": count - frauds}.get(outcome)
        shares.append(
            OutcomeShare(outcome=outcome, count=count, share=count / len(recorded), fraud=frauds, wrong=wrong)
        )
    reasons = dict[str, int]()
    for each in recorded:
        for reason in each.reasons:
            reasons[reason] = reasons.get(reason, 0) + 1
    return Business(
        outcomes=tuple(shares),
        alerts=int((outcomes != "approve").sum()),
        human_items=int((outcomes == REVIEW).sum()),
        fraud=int(fraud.sum()),
        lost_cents=int(cents[fraud & (outcomes == "approve")].sum()),
        stopped_cents=int(cents[fraud & (outcomes == "decline")].sum()),
        in_review_cents=int(cents[fraud & (outcomes == REVIEW)].sum()),
        reasons=reasons,
    )
