"""The generated transactions: the same for the same seed, in order of arrival, with the promised frauds and mess."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections import Counter

import numpy as np
import pytest

from pointsman.demo.generator import GeneratorSettings, Transactions, as_json_lines, generate
from pointsman.demo.transactions import DAY_US, Defect, Kind, Scenario

SETTINGS = GeneratorSettings(customers=1_200, terminals=1_200, days=30, seed=7)

HOUR_US = DAY_US // 24


@pytest.fixture(scope="module")
def transactions() -> Transactions:
    return generate(SETTINGS)


def events(transactions: Transactions, rows) -> list[dict[str, object]]:
    return [json.loads(line) for line in as_json_lines(transactions, rows)]


def test_the_same_settings_give_the_same_bytes(transactions):
    assert as_json_lines(generate(SETTINGS)) == as_json_lines(transactions)


def test_another_seed_gives_other_transactions(transactions):
    other = generate(dataclasses.replace(SETTINGS, seed=8))
    assert as_json_lines(other, slice(0, 50)) != as_json_lines(transactions, slice(0, 50))


def test_fraud_is_as_rare_as_asked_for_over_the_whole_period(transactions):
    assert 0.007 < transactions.fraud.mean() < 0.012
    for start in (0, 10, 20):
        days = (transactions.occurred_at >= SETTINGS.day(start)) & (transactions.occurred_at < SETTINGS.day(start + 10))
        assert 0.004 < transactions.fraud[days].mean() < 0.016


def test_fraud_is_what_the_three_scenarios_made(transactions):
    scenarios = {Scenario.LARGE_AMOUNT, Scenario.TERMINAL, Scenario.CARD}
    assert set(transactions.scenario[transactions.fraud].tolist()) == scenarios
    assert set(transactions.scenario[~transactions.fraud].tolist()) == {Scenario.HABIT, Scenario.SPREE}


def test_rows_stand_in_order_of_arrival_which_is_when_they_became_known(transactions):
    assert (np.diff(transactions.arrived_at) >= 0).all()
    first = transactions.kind != Kind.DUPLICATE
    assert (transactions.arrived_at[first] == transactions.known_at[first]).all()
    assert (transactions.known_at > transactions.occurred_at).all()


def test_late_rows_stay_within_the_hour_but_for_a_few(transactions):
    lateness = (transactions.known_at - transactions.occurred_at)[transactions.kind == Kind.LATE]
    assert lateness.min() > HOUR_US // 20
    assert 0.01 < (lateness > HOUR_US).mean() < 0.15
    usual = (transactions.known_at - transactions.occurred_at)[transactions.kind == Kind.NORMAL]
    assert usual.max() < HOUR_US // 60


def test_a_duplicate_is_the_same_bytes_again_later(transactions):
    duplicates = np.flatnonzero(transactions.kind == Kind.DUPLICATE)
    lines = as_json_lines(transactions)
    first = {}
    for row, (id_, line) in enumerate(zip(transactions.transaction_id.tolist(), lines, strict=True)):
        first.setdefault(id_, (row, line))
    assert len(duplicates) > 100
    for row in duplicates.tolist():
        earlier, line = first[transactions.transaction_id[row]]
        assert earlier < row
        assert line == lines[row]


def test_a_conflict_has_the_id_of_an_earlier_row_and_another_amount(transactions):
    conflicts = np.flatnonzero(transactions.kind == Kind.CONFLICT)
    assert len(conflicts) >= 10
    for row in conflicts.tolist():
        earlier = np.flatnonzero(transactions.transaction_id == transactions.transaction_id[row])[0]
        assert earlier < row
        assert transactions.amount_cents[earlier] != transactions.amount_cents[row]


def test_what_is_accepted_has_every_id_once(transactions):
    ids = transactions.transaction_id[transactions.accepted()]
    assert len(set(ids.tolist())) == len(ids)


def test_the_truth_is_found_by_id(transactions):
    frauds = transactions.fraud_ids()
    rows = np.arange(0, len(transactions), 97)
    sent = events(transactions, rows)
    for row, event in zip(rows.tolist(), sent, strict=True):
        if "transaction_id" in event:
            assert (event["transaction_id"] in frauds) == transactions.fraud[row]


def test_an_event_is_what_the_contract_asks_for(transactions):
    (event,) = events(transactions, np.flatnonzero(transactions.kind == Kind.NORMAL)[:1])
    assert set(event) - {"channel"} == {
        "transaction_id",
        "occurred_at",
        "known_at",
        "amount",
        "card_id",
        "terminal_id",
        "card_account",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(event["occurred_at"]))
    assert re.fullmatch(r"\d+\.\d\d", str(event["amount"]))


@pytest.mark.parametrize(
    ("defect", "is_wrong"),
    [
        (Defect.MISSING_FIELD, lambda event: "amount" not in event),
        (Defect.MISSING_ID, lambda event: "transaction_id" not in event),
        (Defect.WRONG_TYPE, lambda event: isinstance(event["card_id"], int)),
        (Defect.TOO_MANY_DECIMALS, lambda event: re.fullmatch(r"\d+\.\d{3}", event["amount"])),
        (Defect.BAD_TIMESTAMP, lambda event: "T25:" in event["occurred_at"]),
    ],
)
def test_a_broken_row_is_valid_json_with_one_thing_wrong(transactions, defect, is_wrong):
    rows = np.flatnonzero(transactions.defect == defect)
    assert len(rows) > 3
    assert all(is_wrong(event) for event in events(transactions, rows))
    whole = np.flatnonzero(transactions.defect == Defect.NONE)[:200]
    assert not any(is_wrong(event) for event in events(transactions, whole))


def test_only_broken_rows_have_a_defect(transactions):
    assert ((transactions.defect != Defect.NONE) == (transactions.kind == Kind.BROKEN)).all()


def test_complaints_make_fraud_known_before_silence_makes_the_rest_honest(transactions):
    delay = transactions.label_known_at - transactions.occurred_at
    assert (delay[~transactions.fraud] == 7 * DAY_US).all()
    assert np.median(delay[transactions.fraud]) < 3 * DAY_US
    assert delay.min() > 0


def test_people_buy_by_day_and_sleep_by_night(transactions):
    hours = Counter((transactions.occurred_at // HOUR_US % 24).tolist())
    assert sum(hours[hour] for hour in (1, 2, 3, 4)) < 0.15 * sum(hours[hour] for hour in (11, 12, 17, 18))


def test_accounts_own_their_cards_and_some_own_two(transactions):
    pairs = set(zip(transactions.card_id.tolist(), transactions.card_account.tolist(), strict=True))
    assert len(pairs) == len({card for card, _ in pairs})
    assert set(Counter(account for _, account in pairs).values()) == {1, 2}


def test_after_the_drift_fraud_takes_smaller_amounts():
    drifting = generate(dataclasses.replace(SETTINGS, drift_day=15))
    after = drifting.occurred_at >= SETTINGS.day(15)
    amounts = drifting.amount_cents
    assert np.median(amounts[drifting.fraud & after]) < 0.6 * np.median(amounts[drifting.fraud & ~after])
    honest = np.median(amounts[~drifting.fraud & after]) / np.median(amounts[~drifting.fraud & ~after])
    assert 0.9 < honest < 1.1


def test_a_run_splits_into_a_history_and_the_stream_that_continues_it(transactions):
    history, stream = transactions.split(SETTINGS.day(20))
    assert len(history) + len(stream) == len(transactions)
    assert history.arrived_at.max() < SETTINGS.day(20) <= stream.arrived_at.min()
    assert as_json_lines(history, slice(-1, None)) + as_json_lines(stream, slice(0, 1)) == as_json_lines(
        transactions, slice(len(history) - 1, len(history) + 1)
    )


def test_a_hundred_thousand_transactions_take_seconds_at_most():
    started = time.process_time()
    made = generate(GeneratorSettings(customers=1_700, terminals=1_700, days=30))
    lines = as_json_lines(made)
    assert len(lines) > 100_000
    assert time.process_time() - started < 10
