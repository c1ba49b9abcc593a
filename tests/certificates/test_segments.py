"""Segments: the same part for who certifies and for who decides, a column at a time."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.certificates.live import LiveBands
from pointsman.certificates.segments import segmentation
from pointsman.columns import Column, ColumnType, FieldType

AMOUNT = ColumnType(type=FieldType.DECIMAL, scale=2)
GONE = np.array([False, False, False, True])


def column(type_: FieldType | ColumnType, values: list, missing=None) -> Column:
    of = type_ if isinstance(type_, ColumnType) else ColumnType(type=type_)
    dtype = {FieldType.STRING: object, FieldType.BOOLEAN: np.bool_, FieldType.DOUBLE: np.float64}
    return Column(type=of, values=np.array(values, dtype=dtype.get(of.type, np.int64)), missing=missing)


@pytest.mark.parametrize(
    ("text", "given", "plain", "named"),
    [
        ("event.country", column(FieldType.STRING, ["at", "b 1", "", "x"], GONE), ["at", "b 1", "", None], None),
        ("event.code", column(FieldType.INTEGER, [7, -7, 0, 0], GONE), [7, -7, 0, None], ["7", "-7", "0", None]),
        ("event.new", column(FieldType.BOOLEAN, [True, False, True, True]), [True, False, True, True],
         ["true", "false", "true", "true"]),
        ("event.amount:50,500", column(AMOUNT, [4999, 5000, 50000, 0], GONE), ["49.99", "50.00", 500, None],
         ["below 50", "50 to 500", "from 500", None]),
        ("card.mean:0.5", column(FieldType.DOUBLE, [0.5, np.nextafter(0.5, 0), -1.0, 9.0], GONE),
         [0.5, 0.49999999999999994, -1.0, None], ["from 0.5", "below 0.5", "below 0.5", None]),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)  # fmt: skip
def test_who_certifies_and_who_decides_place_an_item_in_the_same_segment(text, given, plain, named) -> None:
    segments = segmentation(text)
    named = plain if named is None else named
    assert segments.texts(given) == named
    assert segments.of(plain) == named
    for name in {each for each in named if each is not None}:
        assert segments.are_in(given, frozenset({name})).tolist() == [each == name for each in named]
    everywhere = frozenset(each for each in named if each is not None)
    assert segments.are_in(given, everywhere).tolist() == [each is not None for each in named]


def test_a_segmentation_has_one_name_however_its_edges_are_written() -> None:
    assert str(segmentation("event.amount:50.0,5E2")) == "event.amount:50,500"
    assert segmentation(str(segmentation("event.amount:0.5,50"))) == segmentation("event.amount:0.50,50")


@pytest.mark.parametrize("text", ["event.amount:", "event.amount:a", "event.amount:5,5", "event.amount:9,1", "a.b:NaN"])
def test_classes_are_ascending_numbers(text) -> None:
    with pytest.raises(ValueError, match="numbers that ascend"):
        segmentation(text)


def test_a_field_that_became_another_or_went_holds_nothing_and_harms_nobody() -> None:
    live = LiveBands(by_segment={0: ("event.amount:50", frozenset({"below 50"}))})
    band = np.array([0, 0])
    assert live.covers(band, {"event.amount": column(AMOUNT, [4999, 5000])}).tolist() == [True, False]
    assert live.covers(band, {"event.amount": column(FieldType.STRING, ["1", "2"])}).tolist() == [False, False]
    assert live.covers(band, {}).tolist() == [False, False]
