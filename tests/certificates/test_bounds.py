"""Bounds on a band's error: exact against brute force, weighted ones against simulation with known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.certificates import bounds, weighted
from pointsman.certificates.promise import fewest

ALPHAS = st.floats(0.0005, 0.6)
DELTAS = st.sampled_from([0.01, 0.05, 0.1])


def binomial(wrong: int, n: int, error: float) -> float:
    return math.fsum(math.comb(n, k) * error**k * (1 - error) ** (n - k) for k in range(wrong + 1))


@given(st.integers(1, 60), st.data(), ALPHAS)
def test_the_p_value_is_the_sum_of_the_binomial_distribution(n: int, data: st.DataObject, alpha: float) -> None:
    wrong = data.draw(st.integers(0, n))
    assert bounds.p_value(wrong, n, alpha) == pytest.approx(binomial(wrong, n, alpha), abs=1e-12)


@given(st.integers(1, 400), st.data(), DELTAS)
def test_the_bound_is_the_error_at_which_so_few_wrong_have_probability_delta(
    n: int, data: st.DataObject, delta: float
) -> None:
    wrong = data.draw(st.integers(0, n - 1))
    assert bounds.p_value(wrong, n, bounds.upper_bound(wrong, n, delta)) == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("error", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_the_bound_lies_below_the_true_error_in_at_most_delta_of_cases(n: int, error: float) -> None:
    from scipy import stats

    covers = [bounds.upper_bound(wrong, n, 0.05) >= error for wrong in range(n + 1)]
    missed = stats.binom.pmf(np.flatnonzero(~np.array(covers)), n, error).sum()
    assert missed <= 0.05 + 1e-9


def test_a_tenth_of_a_percent_takes_2995_items_without_an_error() -> None:
    assert bounds.needed(0, 0.001, 0.05) == fewest(0.001, 0.05) == 2995


@given(st.integers(0, 30), ALPHAS, DELTAS)
def test_what_is_needed_is_enough_and_one_less_is_not(wrong: int, alpha: float, delta: float) -> None:
    n = bounds.needed(wrong, alpha, delta)
    assert bounds.p_value(wrong, n, alpha) <= delta
    assert n - 1 < max(wrong, 1) or bounds.p_value(wrong, n - 1, alpha) > delta


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), DELTAS)
def test_holm_rejects_as_the_closed_test_of_bonferroni_does(p_values: list[float], delta: float) -> None:
    def is_rejected(at: int) -> bool:
        others = [set_ for set_ in range(1, 2 ** len(p_values)) if set_ >> at & 1]
        members = [[i for i in range(len(p_values)) if set_ >> i & 1] for set_ in others]
        return all(min(p_values[i] for i in group) <= delta / len(group) for group in members)

    assert bounds.holm(p_values, delta) == tuple(map(is_rejected, range(len(p_values))))


def test_more_than_five_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 5"):
        bounds.holm([0.1] * 6, 0.05)


def test_nothing_is_known_without_items() -> None:
    nothing = np.array([], dtype=np.bool_)
    assert (bounds.upper_bound(0, 0, 0.05), bounds.p_value(0, 0, 0.01)) == (1.0, 1.0)
    assert weighted.upper_bound(nothing, np.array([]), 0.05, smallest=0.1) == 1.0
    assert weighted.p_value(nothing, np.array([]), 0.01, smallest=0.1) == 1.0


def brute_capital(wrong: list[bool], propensities: list[float], alpha: float, smallest: float) -> float:
    largest = 1 / smallest
    capitals = []
    for fraction in weighted.FRACTIONS.tolist():
        bet = fraction / (largest * (1 - alpha))
        capitals.append(math.prod(1 + bet / p * (alpha - w) for w, p in zip(wrong, propensities, strict=True)))
    return sum(capitals) / len(capitals)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.25, 0.5, 1.0])), max_size=40), ALPHAS, DELTAS)
def test_the_weighted_p_value_is_one_over_the_capital_of_the_bets(rows, alpha: float, delta: float) -> None:
    wrong, propensities = [w for w, _ in rows], [p for _, p in rows]
    of = (np.array(wrong, dtype=np.bool_), np.array(propensities, dtype=np.float64))
    capital = brute_capital(wrong, propensities, alpha, 0.1)
    assert weighted.p_value(*of, alpha, smallest=0.1) == pytest.approx(min(1.0, 1 / capital), rel=1e-9)
    bound = weighted.upper_bound(*of, delta, smallest=0.1)
    assert weighted.p_value(*of, min(bound + 1e-9, 1), smallest=0.1) <= delta * (1 + 1e-6)
    if bound < 1:
        assert weighted.p_value(*of, bound - 1e-9, smallest=0.1) >= delta * (1 - 1e-6)


def test_the_weighted_bound_keeps_its_level_where_the_unweighted_one_does_not() -> None:
    """Half of the items are twice as often wrong, and seen ten times less often: the plain share is half the truth."""
    random, delta, runs = np.random.default_rng(20261127), 0.05, 150
    truth, missed, plain_missed = 0.06, 0, 0
    for _ in range(runs):
        hard = random.random(4000) < 0.5
        wrong = random.random(4000) < np.where(hard, 0.1, 0.02)
        propensities = np.where(hard, 0.05, 0.5)
        seen = random.random(4000) < propensities
        missed += weighted.upper_bound(wrong[seen], propensities[seen], delta, smallest=0.05) < truth
        plain_missed += bounds.upper_bound(int(wrong[seen].sum()), int(seen.sum()), delta) < truth
    assert missed / runs <= delta + 3 * math.sqrt(delta * (1 - delta) / runs)
    assert plain_missed / runs > 0.9


def test_the_weighted_bound_is_worth_something() -> None:
    random = np.random.default_rng(7)
    propensities = np.where(random.random(20_000) < 0.5, 0.1, 1.0)
    wrong = random.random(20_000) < 0.002
    assert weighted.upper_bound(wrong, propensities, 0.05, smallest=0.1) < 0.006


@pytest.mark.parametrize(("propensities", "smallest"), [([0.05], 0.1), ([1.5], 0.1), ([0.5], 0.0)])
def test_weights_beyond_the_stated_bound_are_refused(propensities: list[float], smallest: float) -> None:
    with pytest.raises(weighted.WeightsOutOfBounds):
        weighted.upper_bound(np.array([False]), np.array(propensities), 0.05, smallest=smallest)
