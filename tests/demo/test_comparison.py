"""A handful of purchases, counted by hand: what freezes, verdicts and hours of review make of them."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.demo.comparison import follow, freeze_waits, measure
from pointsman.demo.cost import Prices, cost
from pointsman.demo.curves import curves
from pointsman.demo.decided import HOUR_US, SECOND_US, Decided, Nightly, as_they_arrive, nightly
from pointsman.demo.hand_set import beside_hand_set, hand_set_threshold
from pointsman.demo.reviewing import Desk, Reviewers
from pointsman.demo.transactions import DAY_US

MINUTE_US = 60 * SECOND_US
MIDNIGHT = 20_000 * DAY_US
PEOPLE = Reviewers(count=1, from_hour=8, to_hour=20, minutes_an_item=6)


def at(hour: float, day: int = 0) -> int:
    return MIDNIGHT + day * DAY_US + round(hour * HOUR_US)


def bought(hour, account, cents, outcome="approve", *, fraud=False, day=0, arrives_after=2.0, score=0.0, audited=False):
    """One purchase; it is known two seconds after it was made unless said otherwise."""
    occurred = at(hour, day)
    return (occurred, occurred + round(arrives_after * SECOND_US), cents, fraud, account, outcome, score, audited)


def stream(*purchases) -> Decided:
    occurred, arrived, cents, fraud, account, outcome, score, audited = zip(*purchases, strict=True)
    accounts = np.array(account, dtype=object)
    outcomes = np.array(outcome, dtype=object)
    return Decided(
        occurred_at=np.array(occurred),
        arrived_at=np.array(arrived),
        cents=np.array(cents),
        fraud=np.array(fraud),
        account=accounts,
        card=accounts,
        score=np.array(score),
        outcome=outcomes,
        freezes=outcomes == "decline",
        audited=np.array(audited),
    )


def continuously(decided: Decided, freeze_seconds: float = 1.0):
    waits = np.full(len(decided), freeze_seconds)
    course = follow(decided, as_they_arrive(decided, decision_seconds=0.5, freeze_seconds=waits), PEOPLE)
    return course, measure(decided, course, PEOPLE)


def by_night(decided: Decided):
    course = follow(decided, nightly(decided, Nightly()), PEOPLE)
    return course, measure(decided, course, PEOPLE)


STOLEN = stream(
    bought(10.0, "a", 100_00, "decline", fraud=True),
    bought(10.1, "a", 200_00, "decline", fraud=True),
    bought(11.0, "a", 30_00),
    bought(12.0, "b", 10_00),
    bought(9.0, "a", 400_00, "decline", fraud=True, day=1),
)


def test_a_freeze_stops_what_is_bought_after_it_and_the_night_s_freeze_only_what_is_bought_next_morning():
    _, early = continuously(STOLEN)
    _, late = by_night(STOLEN)
    assert (early.lost_cents, early.lost_transactions, early.refused_fraud_cents) == (100_00, 1, 600_00)
    assert (late.lost_cents, late.lost_transactions, late.refused_fraud_cents) == (300_00, 2, 400_00)


def test_a_freeze_that_comes_early_also_refuses_more_of_what_is_honest():
    _, early = continuously(STOLEN)
    _, late = by_night(STOLEN)
    assert (early.refused_honest, early.refused_honest_cents) == (1, 30_00)
    assert (late.refused_honest, late.refused_honest_cents) == (0, 0)


def test_what_is_refused_alerts_nobody():
    assert continuously(STOLEN)[1].alerts == 1
    assert by_night(STOLEN)[1].alerts == 2


def test_the_wait_for_a_freeze_runs_from_the_event_to_its_being_in_effect():
    course, early = continuously(STOLEN)
    assert freeze_waits(STOLEN, course).tolist() == [3.5]  # 2 s to be known, 0.5 s to decide, 1 s to freeze
    assert (early.freeze_after_event.count, early.freeze_after_event.p50) == (1, 3.5)
    _, late = by_night(STOLEN)
    assert late.freeze_after_event.p50 == 22 * 3600  # from 10:00 to 08:00 of the next day
    assert early.freeze_by_model == early.freeze_after_event


def test_the_wait_since_the_first_fraud_counts_from_a_fraud_that_was_missed():
    missed = stream(bought(9.0, "a", 50_00, fraud=True), bought(10.0, "a", 80_00, "decline", fraud=True))
    _, found = continuously(missed)
    assert found.freeze_after_first_fraud.p50 == 3600 + 3.5
    assert (found.fraud_cards, found.fraud_cards_frozen) == (1, 1)


def test_what_a_shop_saves_that_waits_for_the_answer_is_counted_beside_the_loss():
    _, early = continuously(STOLEN)
    assert (early.lost_cents, early.declined_cents) == (100_00, 100_00)


def test_an_account_is_frozen_rightly_where_there_was_a_fraud_and_wrongly_where_there_was_none():
    _, found = continuously(stream(bought(10.0, "a", 1, "decline"), bought(11.0, "b", 1, "decline", fraud=True)))
    assert (found.frozen_rightly, found.frozen_wrongly) == (1, 1)
    assert found.freeze_after_event.count == 1


def test_a_fraud_after_a_wrong_freeze_does_not_make_it_right():
    _, found = continuously(stream(bought(10.0, "a", 5, "decline"), bought(11.0, "a", 5, fraud=True)))
    assert (found.frozen_rightly, found.frozen_wrongly, found.lost_cents) == (0, 1, 0)


def test_a_purchase_that_was_made_before_the_freeze_and_is_known_after_it_is_lost():
    late = bought(10.0, "a", 70_00, "decline", fraud=True, arrives_after=600)
    _, found = continuously(stream(bought(10.05, "a", 20_00, "decline", fraud=True), late))
    assert found.lost_cents == 90_00


REVIEWED = stream(
    bought(10.0, "a", 10_00, "review", fraud=True),
    bought(10.0, "b", 10_00, "review"),
    bought(13.0, "a", 90_00, fraud=True),
    bought(14.0, "b", 20_00),
    bought(22.0, "c", 10_00, "review", fraud=True),
    bought(23.0, "c", 10_00, "review", fraud=True),
)


def test_a_verdict_of_fraud_freezes_and_an_honest_one_does_not():
    course, found = continuously(REVIEWED)
    assert {name: freeze.by for name, freeze in course.freezes.items()} == {"a": "reviewer", "c": "reviewer"}
    assert (found.lost_cents, found.refused_fraud_cents, found.refused_honest) == (30_00, 90_00, 0)
    assert found.freeze_by_model.count == 0
    assert found.freeze_by_model.p50 is None


def test_one_reviewer_takes_items_one_after_the_other_and_leaves_the_evening_s_for_the_morning():
    course, _ = continuously(REVIEWED)
    ready = at(10.0) + round(2.5 * SECOND_US)
    assert course.verdict_at[:2].tolist() == [ready + 6 * MINUTE_US, ready + 12 * MINUTE_US]
    assert course.verdict_at[4:].tolist() == [at(8.1, day=1), at(8.2, day=1)]


def test_at_night_all_items_wait_for_the_morning():
    course, found = by_night(REVIEWED)
    assert course.verdict_at[[0, 1, 4, 5]].tolist() == [at(8 + 0.1 * place, day=1) for place in (1, 2, 3, 4)]
    assert found.lost_cents == 120_00
    assert found.review_wait.p50 == pytest.approx((10.3 + 22.1) / 2 * 3600)


def test_items_hours_and_frauds_found_are_counted_by_hand():
    _, found = continuously(REVIEWED)
    assert found.human_items == 4
    assert found.review_hours == pytest.approx(0.4)
    assert found.frauds_found_a_review_hour == pytest.approx(3 / 0.4)
    assert found.items_a_shift_hour == pytest.approx(4 / (12 * 13 / 24))


def test_a_person_sees_an_audited_item_though_it_was_approved_and_may_freeze_its_account():
    course, found = continuously(
        stream(bought(10.0, "a", 10_00, fraud=True, audited=True), bought(11.0, "a", 50_00, fraud=True))
    )
    assert course.freezes["a"].by == "reviewer"
    assert (found.human_items, found.alerts, found.lost_cents) == (1, 0, 10_00)


BANDS = stream(
    bought(10.0, "a", 40_00, "decline", fraud=True, score=0.9),
    bought(10.1, "a", 60_00, "decline", fraud=True, score=0.95),
    bought(10.2, "b", 10_00, "review", score=0.3),
    bought(10.3, "c", 10_00, score=0.01, audited=True),
    bought(10.4, "d", 10_00, score=0.02, fraud=True),
    bought(10.5, "e", 10_00, "review", score=0.01),
)


def test_bands_ask_people_about_less_than_a_threshold_that_catches_as_much():
    ready = as_they_arrive(BANDS, decision_seconds=0.5, freeze_seconds=np.ones(len(BANDS)))
    always = np.array([False] * 5 + [True])
    found = beside_hand_set(BANDS, 0.3, always, ready, PEOPLE)
    assert (found.bands.items, found.bands.audited, found.bands.caught, found.bands.lost_cents) == (3, 1, 2, 50_00)
    assert (found.by_hand.items, found.by_hand.caught, found.by_hand.lost_cents) == (4, 2, 110_00)
    assert found.falls_by == pytest.approx(1 / 4)
    assert found.falls_by_without_audits == pytest.approx(1 / 2)


def test_a_threshold_set_by_hand_is_the_largest_that_catches_as_much():
    score, fraud = np.array([0.01, 0.06, 0.2, 0.9]), np.array([True, False, True, True])
    assert hand_set_threshold(score, fraud, approve_below=0.05) == 0.2
    assert hand_set_threshold(score, ~fraud, approve_below=0.5) == 0.5


def test_nothing_at_all_has_no_waits_and_no_loss():
    _, found = continuously(stream(bought(10.0, "a", 1)))
    assert (found.lost_cents, found.human_items, found.freeze_after_event.p95) == (0, 0, None)
    assert found.items_a_shift_hour == 0


def test_a_night_acts_at_the_hour_that_comes_after_its_decisions():
    decided = stream(bought(10.0, "a", 1), bought(0.5, "b", 1, day=1))
    assert nightly(decided, Nightly(decides_at_hour=2, acts_at_hour=8)).frozen_at.tolist() == [at(8, 1), at(8, 2)]
    assert nightly(decided, Nightly(decides_at_hour=22, acts_at_hour=6)).frozen_at.tolist() == [at(6, 2), at(6, 3)]


def test_two_reviewers_take_two_items_at_once():
    desk = Desk(Reviewers(count=2, minutes_an_item=10))
    assert [desk.verdict_at(at(9.0)) - at(9.0) for _ in range(3)] == [10 * MINUTE_US, 10 * MINUTE_US, 20 * MINUTE_US]


def test_an_item_before_hours_waits_until_they_begin():
    desk = Desk(PEOPLE)
    assert desk.verdict_at(at(3.0)) == at(8.1)


def test_a_cost_is_hours_times_prices():
    prices = Prices(vcpu_hour=0.5, reviewer_hour=30, vcpus=2)
    found = cost(prices=prices, transactions=2_000, cpu_seconds=7_200, machine_hours=24, review_hours=1.5)
    assert (found.machine_used, found.machine_held, found.review, found.total) == (1.0, 24.0, 45.0, 69.0)
    assert found.per_thousand(found.review_minutes) == 45.0


def test_curves_are_counted_by_hand():
    score = np.array([0.01, 0.2, 0.4, 0.6, 0.8, np.nan])
    fraud = np.array([False, False, True, False, True, True])
    found = curves(score, fraud, approve_below=0.1, steps=1)
    assert found.threshold.tolist() == [0.5]
    assert found.precision.tolist() == [0.5]  # 0.6 and 0.8, of which 0.8 is fraud
    assert found.recall.tolist() == pytest.approx([1 / 3])
    assert found.review_share.tolist() == [0.5]  # 0.2, 0.4, and the one without a score


def test_precision_is_unknown_where_the_model_never_acts():
    found = curves(np.array([0.1, 0.2]), np.array([False, True]), approve_below=0.05, steps=1)
    assert np.isnan(found.precision[0])
    assert found.recall[0] == 0
