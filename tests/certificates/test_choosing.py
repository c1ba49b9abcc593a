"""Of the thresholds that are certified the cheapest pair within the reviewers' hours, and how it is written down."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml

from pointsman.api.decision_graph import Band
from pointsman.certificates.certify import certify
from pointsman.certificates.choose import Choice, choose, propose
from pointsman.certificates.costs import Scales, Wanted
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import promises
from pointsman.certificates.thresholds import are_sound, changed_lines, with_thresholds

N = 20_000


@pytest.fixture(scope="module")
def items() -> Labelled:
    """Decisions of which 5 % are fraud, with scores that tell most of them apart."""
    random = np.random.default_rng(1)
    labels = random.random(N) < 0.05
    scores = 1 / (1 + np.exp(-(random.normal(size=N) + 5.0 * (labels - 0.5))))
    ids = [hashlib.sha256(f"1 {at}".encode()).digest()[:16] for at in range(N)]
    return Labelled(ids=ids, scores=scores, labels=labels)


@pytest.fixture(scope="module")
def of(required):
    """The example's bands, with promises that these few items can keep."""
    approve, freeze = promises(required)
    return [replace(approve, alpha=0.01), replace(freeze, alpha=0.05)]


@pytest.fixture(scope="module")
def bands(required):
    return required.graph.spec.bands


@pytest.fixture(scope="module")
def weighed(items, of, bands):
    """What is chosen where a missed and a stopped item, and a person's look, cost so much."""

    def chosen(missed=0.0, stopped=0.0, promised=of, **how) -> Choice:
        half = halves(items)[0]
        costs = np.where(half.labels, missed, stopped)
        scales = replace(Scales.plain(half), costs=costs, a_day=1000.0, **how)
        proposed = propose(scales, promised, partial(are_sound, bands))
        return choose(certify(items, promised, proposed.by_band()), proposed, scales)[0]

    return chosen


def test_what_is_chosen_is_certified_and_the_cheapest_of_all_that_are(weighed) -> None:
    choice = weighed(missed=50.0, stopped=20.0, review=2.0)
    assert choice.chosen is not None
    assert choice.chosen.certified
    costs = [each.expected.cost for each in choice.considered if each.certified]
    assert choice.chosen.expected.cost == min(costs)
    stated = next(each for each in choice.considered if each.pair == (0.06, 0.85))
    assert choice.chosen.expected.cost < stated.expected.cost


def test_the_dearer_a_missed_item_the_lower_the_threshold_below_which_all_pass(weighed) -> None:
    cheap, dear = weighed(missed=1.0).chosen, weighed(missed=100_000.0).chosen
    assert dear.pair[0] < cheap.pair[0]
    assert dear.expected.reviewed > cheap.expected.reviewed


def test_reviewers_without_hours_get_fewer_items_although_that_costs_more(weighed) -> None:
    dear = {"missed": 100_000.0, "stopped": 100_000.0}
    freely = weighed(**dear)
    bounded = weighed(**dear, most_reviewed=freely.chosen.expected.reviewed * 0.9)
    assert bounded.is_within_hours
    assert bounded.chosen.expected.reviewed <= bounded.most_reviewed
    assert bounded.chosen.expected.cost > freely.chosen.expected.cost


def test_where_no_pair_leaves_people_few_enough_items_the_fewest_are_left_and_that_is_said(weighed) -> None:
    choice = weighed(missed=100_000.0, most_reviewed=0.1)
    assert not choice.is_within_hours
    assert choice.chosen.expected.reviewed == min(e.expected.reviewed for e in choice.considered if e.certified)


def test_a_band_without_a_certified_threshold_leaves_its_items_to_people(weighed, of) -> None:
    choice = weighed(promised=[of[0], replace(of[1], alpha=1e-6)])
    assert (choice.chosen.low.certified, choice.chosen.high, choice.chosen.pair[1]) == (True, None, math.inf)
    assert choice.chosen in choice.considered


def test_costs_and_people_are_those_of_a_day_with_the_audited_ones(items) -> None:
    small = items.take(np.arange(N) < 1000)
    scales = Scales(
        labelled=replace(small, scores=np.full(1000, 0.01), labels=np.arange(1000) < 5),
        costs=np.full(1000, 30.0),
        scores=np.array([0.01] * 80 + [0.5] * 20),
        a_day=500.0,
        review=2.0,
        audited=0.1,
    )
    found = scales.expected(0.06, math.inf)
    assert found.reviewed == pytest.approx(500 * (0.2 + 0.8 * 0.1))
    assert found.missed == pytest.approx(500 * 0.8 * 0.005 * 30)
    assert found.cost == pytest.approx(found.missed + 2 * found.reviewed)
    seldom = replace(small, scores=np.full(1000, 0.01), labels=np.arange(1000) < 5)
    weighted = replace(seldom, propensities=np.where(seldom.labels, 0.5, 1.0), smallest_propensity=0.5)
    assert replace(scales, labelled=weighted).expected(0.06, math.inf).missed == pytest.approx(
        500 * 0.8 * 10 / 1005 * 30
    )


def test_hours_are_items_by_the_minutes_that_one_takes() -> None:
    assert Wanted(minutes=4, hours=16).most_reviewed == 240
    assert Wanted().most_reviewed == math.inf


def test_the_lines_are_those_that_make_the_graph_have_the_thresholds(bands) -> None:
    lines = changed_lines(bands, 0.031, 0.912345)
    assert yaml.safe_load("\n".join(lines)) == [
        {"name": "approve", "below": "0.031"},
        {"name": "freeze", "atLeast": "0.912345"},
    ]
    assert changed_lines(bands, 0.06, 0.85) == []
    assert changed_lines(bands, -math.inf, 0.8) == ["- name: freeze", '  atLeast: "0.8"']


def test_a_neighbour_that_names_the_edge_moves_with_it_and_unsound_thresholds_are_refused() -> None:
    promise = {"maxError": "1%"}
    listed = [
        Band.model_validate({"name": "low", "below": "0.1", "outcome": "a", "promise": promise}),
        Band.model_validate({"name": "mid", "atLeast": "0.1", "below": "0.5", "outcome": "review"}),
        Band.model_validate({"name": "high", "atLeast": "0.5", "outcome": "b", "promise": promise}),
    ]
    low, mid, high = with_thresholds(listed, 0.2, 0.6)
    assert (f"{low.below}", f"{mid.at_least}", f"{mid.below}", f"{high.at_least}") == ("0.2", "0.2", "0.6", "0.6")
    assert are_sound(listed, 0.2, 0.6)
    assert not are_sound(listed, 0.6, 0.6)
    assert not are_sound(listed, 0.5, 0.4)
    assert not are_sound([listed[0], listed[2].model_copy(update={"at_least": listed[0].below})], 0.2, 0.3)
