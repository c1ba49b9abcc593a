"""Drift: an input that changes is found, chance is not taken for a change, and certificates that depend on it are named."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.monitoring.drift import compare, concerns, unknown_fields

RNG = np.random.default_rng(5)
BEFORE = RNG.lognormal(3, 1, 10_000)


def test_chance_is_no_change() -> None:
    found = compare("event.amount", BEFORE, RNG.lognormal(3, 1, 2000))
    assert found.psi is not None
    assert found.psi < 0.03
    assert not found.has_changed


@pytest.mark.parametrize(
    "now",
    [RNG.lognormal(3.7, 1, 2000), RNG.lognormal(3, 2.2, 2000), np.full(2000, 20.0), np.full(2000, 1e9)],
    ids=["larger", "wider", "always the same", "beyond all that was"],
)
def test_another_distribution_is_a_change(now) -> None:
    assert compare("event.amount", BEFORE, now).has_changed


def test_values_that_go_missing_are_a_change() -> None:
    now = BEFORE[:2000].copy()
    now[::10] = np.nan
    found = compare("event.amount", BEFORE, now)
    assert (found.missing_before, round(found.missing_now, 3), found.has_changed) == (0.0, 0.1, True)


def test_a_count_with_few_values_is_compared_too() -> None:
    before = RNG.poisson(0.2, 10_000).astype(float)
    assert not compare("card.count_1h", before, RNG.poisson(0.2, 2000).astype(float)).has_changed
    assert compare("card.count_1h", before, RNG.poisson(1.5, 2000).astype(float)).has_changed


def test_of_few_values_nothing_is_said() -> None:
    found = compare("event.amount", BEFORE, np.full(50, 1e9))
    assert (found.psi, found.ks, found.has_changed) == (None, None, False)


def test_fields_that_the_contract_does_not_know_are_counted() -> None:
    assert unknown_fields([{"amount": 1, "tip": 2}, {"amount": 1}, {"tip": 3}], ["amount"]) == {"tip": 2}


def test_an_input_concerns_the_scorers_that_are_made_of_it() -> None:
    parts = ('node "card"', 'contract of field "amount"', "score expression")
    assert concerns("event.amount", parts)
    assert concerns("card.count_1h", parts)
    assert not concerns("terminal.count_1h", parts)
    assert not concerns("event.country", parts)
