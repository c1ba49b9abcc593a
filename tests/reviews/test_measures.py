"""Agreement against worked examples that were published, and handling times by their definition."""

from __future__ import annotations

import pytest

from pointsman.reviews.measures import Given, anchoring, cohen_kappa, krippendorff_alpha, measures, percentile

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section A: two observers, ten units, binary.
MEG = list("0100000010")
OWEN = list("1110010000")

# The same, section C: four observers, twelve units, five values, with gaps. Alpha is 0.743.
FOUR = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def test_alpha_of_two_observers_is_that_of_the_published_example() -> None:
    assert krippendorff_alpha(list(zip(MEG, OWEN, strict=True))) == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_many_with_gaps_is_that_of_the_published_example() -> None:
    rows = [each.split() for each in FOUR]
    units = [[value for value in unit if value != "."] for unit in zip(*rows, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_kappa_is_that_of_cohens_own_example() -> None:
    # Cohen (1960), table 1, as proportions of 200 cases: kappa 0.492.
    table = {("a", "a"): 88, ("a", "b"): 14, ("a", "c"): 18, ("b", "a"): 10, ("b", "b"): 40, ("b", "c"): 10}
    table |= {("c", "a"): 2, ("c", "b"): 6, ("c", "c"): 12}
    answers = [pair for pair, count in table.items() for _ in range(count)]
    assert cohen_kappa(answers) == pytest.approx(0.492, abs=5e-4)


def test_where_all_say_one_thing_nothing_is_said_of_agreement_beyond_chance() -> None:
    assert cohen_kappa([("a", "a")] * 5) is None
    assert krippendorff_alpha([("a", "a")] * 5) is None
    assert cohen_kappa([]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([30, 10, 20, 40], 0.5) == 20
    assert percentile(list(range(1, 101)), 0.95) == 95
    assert percentile([7], 0.95) == 7
    assert percentile([], 0.5) is None


def test_pairs_are_those_who_saw_the_same_and_golden_items_are_counted_by_reviewer() -> None:
    found = measures(
        [
            Given(decision="1", reviewer="ann", verdict="fraud", seconds=10),
            Given(decision="1", reviewer="bob", verdict="fraud", seconds=40),
            Given(decision="2", reviewer="bob", verdict="fraud", seconds=20),
            Given(decision="2", reviewer="ann", verdict="legitimate", seconds=30),
            Given(decision="3", reviewer="cid", verdict="fraud", known="fraud"),
            Given(decision="4", reviewer="cid", verdict="fraud", known="legitimate"),
        ]
    )
    (pair,) = found.pairs
    assert (pair.reviewers, pair.items, pair.agreed, pair.kappa) == (("ann", "bob"), 2, 1, 0)
    assert found.items_seen_twice == 2
    ann, _, cid = found.reviewers
    assert (ann.verdicts, ann.p50_seconds, ann.p95_seconds) == (2, 10, 30)
    assert (cid.golden, cid.golden_right, cid.p50_seconds) == (2, 1, None)


def test_how_far_verdicts_follow_the_score_is_told_before_and_after_it_is_shown() -> None:
    said = [
        Given(decision="a", reviewer="ann", verdict="fraud", first_call="legitimate", score=0.9),
        Given(decision="b", reviewer="ann", verdict="legitimate", first_call="fraud", score=0.1),
        Given(decision="c", reviewer="bob", verdict="fraud", score=0.5),
        Given(decision="d", reviewer="bob", verdict="legitimate", score=0.5),
        Given(decision="e", reviewer="bob", verdict="legitimate", score=None),
    ]
    found = anchoring(said, "fraud")
    assert (found.items, found.kept) == (2, 0)
    assert (found.follow_before, found.follow_after, found.follow_shown) == (0.0, 1.0, 0.5)
    assert anchoring(said, None).follow_after is None
