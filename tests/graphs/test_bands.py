"""Bands: every score falls in exactly one, borders are exact, and what is unsound is named with the scores it harms."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.decision_graph import Band
from pointsman.graphs.bands import check, compile_bands, label_problems, promised_labels


def band(name: str, *, at_least: str | None = None, below: str | None = None) -> Band:
    bounds = {"atLeast": at_least, "below": below}
    return Band.model_validate({"name": name, "outcome": "review"} | {k: v for k, v in bounds.items() if v is not None})


EXAMPLE = [band("approve", below="0.05"), band("review"), band("freeze", at_least="0.7")]


def placed(bands: list[Band], *scores: float) -> list[int]:
    return compile_bands(bands).place(np.array(scores)).tolist()


def test_a_score_below_a_threshold_and_one_at_it_are_in_different_bands() -> None:
    below, at = math.nextafter(0.05, 0), 0.05
    assert placed(EXAMPLE, below, at) == [0, 1]
    below, at = math.nextafter(0.7, 0), 0.7
    assert placed(EXAMPLE, below, at) == [1, 2]


def test_the_numbers_of_bands_are_those_of_the_document_whatever_their_order() -> None:
    shuffled = [EXAMPLE[2], EXAMPLE[0], EXAMPLE[1]]
    assert placed(shuffled, 0.0, 0.5, 0.9) == [1, 2, 0]


def test_scores_outside_zero_to_one_and_infinite_ones_have_their_band() -> None:
    assert placed(EXAMPLE, -math.inf, -3.0, 17.0, math.inf) == [0, 0, 2, 2]


def test_what_is_not_a_number_is_in_no_band() -> None:
    assert placed(EXAMPLE, math.nan, 0.5, math.nan) == [-1, 1, -1]
    assert placed([band("all")], math.nan, 0.5) == [-1, 0]


def test_an_automatic_band_promises_the_label_that_its_place_says_or_names_it() -> None:
    def automatic(name: str, label: bool | None = None, **bounds: str) -> Band:
        promise = {"maxError": "1%"} | ({} if label is None else {"label": label})
        return Band.model_validate({"name": name, "outcome": "act", "promise": promise} | bounds)

    low, high = automatic("low", below="0.1"), automatic("high", atLeast="0.9")
    assert promised_labels([low, band("rest"), high]) == (False, None, True)
    assert promised_labels([automatic("step", atLeast="0.8", below="0.9"), band("rest"), high]) == (True, None, True)
    assert promised_labels([automatic("low", label=True, below="0.1"), band("rest")]) == (True, None)
    between = [band("a", below="0.3"), automatic("between", atLeast="0.3", below="0.5"), band("b", at_least="0.5")]
    (problem,) = label_problems(between)
    assert problem.path == "spec.bands[between].promise.label"
    with pytest.raises(ValueError, match="does not follow from its place"):
        promised_labels(between)


def test_thresholds_may_be_negative_and_large() -> None:
    bands = [band("low", below="-2.5"), band("mid", at_least="-2.5", below="1000"), band("high", at_least="1000")]
    assert placed(bands, -3.0, -2.5, 999.9, 1000.0) == [0, 1, 1, 2]


def test_a_threshold_is_the_double_nearest_to_its_text() -> None:
    bands = [band("low", below="0.1000000000000000056"[:20]), band("high", at_least="0.1")]
    assert check(bands) == ()
    assert placed(bands, 0.1) == [1]


def test_no_scores_are_placed_nowhere() -> None:
    assert placed(EXAMPLE) == []


UNSOUND = {
    "a score in no band": (
        [band("low", below="0.2"), band("high", at_least="0.5")],
        "spec.bands",
        "scores of at least 0.2 and below 0.5 are in no band",
    ),
    "no band for low scores": (
        [band("high", at_least="0.5")],
        "spec.bands",
        "scores below 0.5 are in no band",
    ),
    "no band for high scores": ([band("low", below="0.50")], "spec.bands", "scores of at least 0.50 are in no band"),
    "a score in two bands": (
        [band("low", below="0.5"), band("high", at_least="0.2")],
        "spec.bands[high]",
        'scores of at least 0.2 and below 0.5 are in both "low" and "high"',
    ),
    "one band inside another": (
        [band("low", below="0.9"), band("mid", at_least="0.2", below="0.3"), band("high", at_least="0.9")],
        "spec.bands[mid]",
        'scores of at least 0.2 and below 0.3 are in both "low" and "mid"',
    ),
    "twice the same band": (
        [band("low", below="0.5"), band("also", below="0.5"), band("rest")],
        "spec.bands[also]",
        'scores below 0.5 are in both "low" and "also"',
    ),
    "two bands without bounds": (
        [band("a"), band("b"), band("high", at_least="0.5")],
        "spec.bands[b]",
        '"a" and "b" both have no bounds, so scores below 0.5 are in both',
    ),
    "nothing left for the band without bounds": (
        [band("low", below="0.5"), band("rest"), band("high", at_least="0.5")],
        "spec.bands[rest]",
        'no score is left for "rest": the other bands hold all scores',
    ),
    "a rest in two parts": (
        [band("low", below="0.1"), band("mid", at_least="0.4", below="0.5"), band("rest")],
        "spec.bands[rest]",
        '"rest" has no bounds and would be torn apart: '
        "scores of at least 0.1 and below 0.4, and scores of at least 0.5",
    ),
    "thresholds the wrong way round": (
        [band("mid", at_least="0.5", below="0.2"), band("rest")],
        "spec.bands[mid]",
        'no score is in "mid": none is at least 0.5 and below 0.2',
    ),
    "thresholds that are equal": (
        [band("mid", at_least="0.5", below="0.5"), band("rest")],
        "spec.bands[mid]",
        'no score is in "mid": none is at least 0.5 and below 0.5',
    ),
    "thresholds that no double lies between": (
        [band("mid", at_least="0.1", below="0.100000000000000001"), band("rest")],
        "spec.bands[mid]",
        'no score is in "mid": none is at least 0.1 and below 0.100000000000000001',
    ),
    "a name used twice": (
        [band("a", below="0.5"), band("a", at_least="0.5")],
        "spec.bands[1].name",
        'the name "a" is already used by spec.bands[0]',
    ),
}


@pytest.mark.parametrize(("bands", "path", "message"), UNSOUND.values(), ids=UNSOUND.keys())
def test_it_finds(bands: list[Band], path: str, message: str) -> None:
    (problem,) = check(bands)
    assert (problem.path, problem.message) == (path, message)
    assert problem.hint
    with pytest.raises(ValueError, match="bands"):
        compile_bands(bands)


THRESHOLDS = st.decimals(min_value=-100, max_value=100, places=3, allow_nan=False).map(lambda value: f"{value:f}")
SCORES = st.lists(st.floats(allow_nan=False), max_size=30)


def has_bounds(each: Band) -> bool:
    return each.below is not None or each.at_least is not None


def holds(each: Band, score: float) -> bool:
    """Whether the score is within the bounds of a band that has any."""
    low = -math.inf if each.at_least is None else float(each.at_least)
    return has_bounds(each) and low <= score and (each.below is None or score < float(each.below))


def borders(bands: list[Band]) -> list[float]:
    """All thresholds, the double before each, and both infinities, in order: some score of every interval."""
    edges = [float(edge) for each in bands for edge in (each.below, each.at_least) if edge is not None]
    return sorted({-math.inf, math.inf, *edges, *(math.nextafter(edge, -math.inf) for edge in edges)})


def is_sound(bands: list[Band]) -> bool:
    """What `check` says, found by trying one score of every interval."""
    holders = [[each.name for each in bands if holds(each, score)] for score in borders(bands)]
    left = "".join("." if names else "x" for names in holders)
    unbounded = [each for each in bands if not has_bounds(each)]
    one_stretch = "x" in left and "." not in left.strip(".")
    return (
        all(len(names) <= 1 for names in holders)
        and all([each.name] in holders for each in bands if has_bounds(each))
        and (one_stretch if unbounded else "x" not in left)
        and len(unbounded) <= 1
    )


@st.composite
def partitions(draw: st.DrawFn) -> list[Band]:
    """Sound bands in any order; sometimes one of them is written without its bounds."""
    edges = sorted(draw(st.lists(THRESHOLDS, unique_by=Decimal, min_size=1, max_size=5)), key=Decimal)
    ends = list(zip([None, *edges], [*edges, None], strict=True))
    rest = draw(st.none() | st.integers(0, len(edges)))
    bands = [
        band(f"band-{i}") if i == rest else band(f"band-{i}", at_least=low, below=high)
        for i, (low, high) in enumerate(ends)
    ]
    return draw(st.permutations(bands))


@given(bands=partitions(), scores=SCORES)
def test_every_score_is_in_exactly_the_band_whose_bounds_hold_it(bands: list[Band], scores: list[float]) -> None:
    assert check(bands) == ()
    assert is_sound(bands)
    unbounded = [i for i, each in enumerate(bands) if not has_bounds(each)]
    scores = [*scores, *borders(bands)]
    for score, position in zip(scores, placed(bands, *scores), strict=True):
        assert [position] == ([i for i, each in enumerate(bands) if holds(each, score)] or unbounded)


COARSE = st.none() | st.sampled_from(["-1", "0", "0.00", "0.5", "1"])


@given(bounds=st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=5))
def test_bands_are_sound_only_where_every_score_is_in_exactly_one(bounds: list[tuple[str | None, str | None]]) -> None:
    bands = [band(f"band-{i}", at_least=low, below=high) for i, (low, high) in enumerate(bounds)]
    assert (check(bands) == ()) == is_sound(bands)
