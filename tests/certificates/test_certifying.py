"""From labelled decisions to certificates: what holds is certified, what does not says what it takes."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from pointsman.certificates import choose
from pointsman.certificates.certify import AS_LABELLED, EVERY_DECISION, MATURED, Candidates, certify
from pointsman.certificates.costs import Scales
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import promises
from pointsman.certificates.weighted import WeightsOutOfBounds


def history(n: int, seed: int = 1, sharpness: float = 9.0) -> Labelled:
    """Decisions of which 5 % are fraud, with scores that tell most of them apart."""
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.05
    scores = 1 / (1 + np.exp(-(random.normal(size=n) + sharpness * (labels - 0.5))))
    ids = [hashlib.sha256(f"{seed} {at}".encode()).digest()[:16] for at in range(n)]
    return Labelled(ids=ids, scores=scores, labels=labels)


@pytest.fixture(scope="module")
def of(required):
    return promises(required)


def test_the_halves_are_disjoint_whole_and_the_same_every_time() -> None:
    items = history(4000)
    chosen, tested = halves(items)
    assert sorted([*chosen.ids, *tested.ids]) == sorted(items.ids)
    assert 1850 < len(tested) < 2150
    few = items.take(np.arange(4000) < 100)
    assert halves(few)[1].ids == [id_ for id_ in few.ids if id_ in set(tested.ids)]


def test_bands_that_keep_their_promise_are_certified_on_the_half_that_tests(of) -> None:
    items = history(60_000)
    approve, freeze = certify(items, of)
    assert (approve.certified, freeze.certified) == (True, True)
    _, tested = halves(items)
    inside = tested.scores < 0.06
    assert (approve.test.labelled, approve.test.wrong) == (int(inside.sum()), int(tested.labels[inside].sum()))
    assert approve.test.bound <= 0.001
    assert freeze.test.wrong == int((~tested.labels[tested.scores >= 0.85]).sum())
    assert (approve.method, approve.population, approve.what_is_needed()) == ("ClopperPearson", AS_LABELLED, "")


def test_too_few_items_are_told_how_many_more_it_takes_and_those_are_enough(of) -> None:
    few = certify(history(2000), of)[0]
    assert (few.certified, few.test.wrong) == (False, 0)
    assert "2,995 do" in few.what_is_needed()
    assert few.needed == 2 * (2995 - few.test.labelled)
    assert few.what_is_needed(10.0).endswith(
        f"; at the {2 * few.test.labelled / 10:,.0f} a day that came so far it takes "
        f"{math.ceil(few.needed * 10 / (2 * few.test.labelled))} days"
    )


def test_a_band_that_breaks_its_promise_is_not_certified_by_more_items(of) -> None:
    bad = certify(history(20_000, sharpness=0.0), of)[0]
    assert (bad.certified, bad.needed) == (False, None)
    assert "more items do not help" in bad.what_is_needed()


def test_segments_are_certified_by_themselves_where_the_data_suffices(of) -> None:
    items = history(60_000)
    segments = np.where(np.arange(60_000) % 20 == 0, "b", "a").astype(object)
    found = certify(replace(items, segment_field="event.card_id", segments=segments), of[:1])
    assert [(each.segment, each.certified) for each in found] == [("a", True), ("b", False)]


def test_other_propensities_are_weighted_and_the_certificate_is_about_every_decision(of) -> None:
    items = history(200_000, seed=3)
    propensities = np.where(items.scores < 0.01, 0.25, 1.0)
    seen = np.random.default_rng(4).random(len(items)) < propensities
    weighted = replace(items.take(seen), propensities=propensities[seen], smallest_propensity=0.2)
    (approve, _) = certify(weighted, of)
    assert (approve.certified, approve.method, approve.population) == (True, "Betting", EVERY_DECISION)
    with pytest.raises(WeightsOutOfBounds):
        certify(replace(weighted, smallest_propensity=0.5), of)
    with pytest.raises(WeightsOutOfBounds, match="not stated"):
        certify(replace(weighted, smallest_propensity=None), of)


def test_how_items_of_another_band_came_to_be_labelled_is_nothing_to_a_band(of) -> None:
    items = history(60_000)
    alone = replace(items, propensities=np.ones(len(items)), smallest_propensity=0.01)
    audited = replace(alone, propensities=np.where(items.scores >= 0.5, 0.01, 1.0))
    (approve, _), (before, _) = certify(audited, of), certify(alone, of)
    assert (approve.method, approve.test) == ("ClopperPearson", before.test)


def test_a_few_new_items_that_stand_for_many_do_not_drown_the_old_ones_whose_labels_are_all_known(of) -> None:
    items = history(60_000)
    new = np.arange(len(items)) % 100 == 0
    mixed = replace(items, propensities=np.where(new, 0.01, 1.0), smallest_propensity=0.01)
    (drowned, _), (approve, _) = certify(mixed, of), certify(replace(mixed, matured=~new), of)
    assert (drowned.certified, drowned.method) == (False, "Betting")
    assert (approve.certified, approve.method, approve.population) == (True, "ClopperPearson", MATURED)
    assert approve.test == certify(items.take(~new), of)[0].test


def test_while_hardly_anything_is_old_the_sample_of_the_new_ones_is_taken(of) -> None:
    items = history(60_000)
    new = np.arange(len(items)) % 1000 != 0
    mixed = replace(items, propensities=np.where(new, 0.05, 1.0), smallest_propensity=0.05, matured=~new)
    (approve, _) = certify(mixed, of)
    assert (approve.certified, approve.population) == (True, EVERY_DECISION)


def test_selected_labels_alone_would_promise_too_much(of) -> None:
    """Wrong items that are seldom seen: plainly counted the band passes, weighted it does not."""
    random = np.random.default_rng(5)
    n = 120_000
    labels = random.random(n) < 0.004
    propensities = np.where(labels, 0.02, 1.0)
    seen = random.random(n) < propensities
    ids = [hashlib.sha256(str(at).encode()).digest()[:16] for at in range(n)]
    plain = Labelled(ids=ids, scores=np.zeros(n), labels=labels).take(seen)
    weighted = replace(plain, propensities=propensities[seen], smallest_propensity=0.02)
    assert certify(plain, of[:1])[0].certified
    assert not certify(weighted, of[:1])[0].certified


def test_what_was_certified_on_has_one_digest_whatever_the_order() -> None:
    items = history(50)
    order = np.random.default_rng(0).permutation(50)
    again = Labelled(ids=[items.ids[at] for at in order], scores=items.scores[order], labels=items.labels[order])
    assert again.digest() == items.digest()
    assert replace(items, labels=~items.labels).digest() != items.digest()


def proposed(items: Labelled, of) -> Candidates:
    return choose.propose(Scales.plain(halves(items)[0]), of).by_band()


def test_thresholds_are_chosen_on_the_half_that_does_not_test(of) -> None:
    items = history(60_000)
    of_tested = set(halves(items)[1].ids)
    found = proposed(items, of)
    flipped = replace(items, labels=items.labels ^ np.array([id_ in of_tested for id_ in items.ids]))
    assert proposed(flipped, of) == found
    assert all(1 <= len(each) <= 5 for each in found.values())
    assert all(low == -math.inf for low, _ in found["approve"])
    assert (-math.inf, 0.06) in found["approve"]


def test_chosen_thresholds_automate_more_than_a_careful_guess_and_still_hold(of) -> None:
    items = history(60_000)
    chosen = {each.band.name: each for each in certify(items, of, proposed(items, of))}
    stated = {each.band.name: each for each in certify(items, of)}
    assert chosen["approve"].certified
    assert chosen["approve"].test.high > stated["approve"].test.high
    assert chosen["freeze"].certified
    truth = history(300_000, seed=99)
    inside = truth.scores < chosen["approve"].test.high
    assert truth.labels[inside].mean() <= 0.001


def test_a_band_that_nothing_can_certify_does_not_keep_the_other_from_better_thresholds(of) -> None:
    items = history(60_000)
    impossible = [of[0], replace(of[1], alpha=1e-6)]
    found = proposed(items, impossible)
    assert found["freeze"] == [(0.85, math.inf)]
    assert len(found["approve"]) > 1
