"""Timestamps: which texts are taken, what they mean, and that many at once mean what each means alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.graphs.timestamps import FEW, InvalidTimestamp, microseconds, microseconds_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TAKEN = {
    "the epoch": ("1970-01-01T00:00:00Z", 0),
    "milliseconds": ("1970-01-01T00:00:01.5Z", 1_500_000),
    "microseconds": ("1970-01-01T00:00:00.000001Z", 1),
    "nanoseconds, cut off and not rounded": ("1970-01-01T00:00:00.000001999Z", 1),
    "seven places": ("1970-01-01T00:00:00.1234567Z", 123_456),
    "an offset of zero": ("1970-01-01T00:00:00+00:00", 0),
    "an offset of zero with a minus": ("1970-01-01T00:00:00-00:00", 0),
    "an offset to the east": ("1970-01-01T02:30:00+02:30", 0),
    "an offset to the west": ("1969-12-31T19:00:00.25-05:00", 250_000),
    "small letters": ("1970-01-01t00:00:00z", 0),
    "a leap day": ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
    "the last moment": ("2261-12-31T23:59:59.999999Z", 9_214_646_399_999_999),
    "the last moment, told in the west": ("2261-12-31T18:59:59.999999-05:00", 9_214_646_399_999_999),
    "the last moment, told in the east": ("2262-01-01T04:59:59.999999+05:00", 9_214_646_399_999_999),
}

REFUSED = {
    "no offset": ("2024-01-01T00:00:00", "no offset"),
    "no offset, with places": ("2024-01-01T00:00:00.123456", "no offset"),
    "a date alone": ("2024-01-01", "must be a timestamp"),
    "a space instead of T": ("2024-01-01 00:00:00Z", "must be a timestamp"),
    "no seconds": ("2024-01-01T00:00Z", "must be a timestamp"),
    "no dashes": ("20240101T000000Z", "must be a timestamp"),
    "a week date": ("2024-W01-1T00:00:00Z", "must be a timestamp"),
    "a comma": ("2024-01-01T00:00:00,5Z", "must be a timestamp"),
    "a point without places": ("2024-01-01T00:00:00.Z", "must be a timestamp"),
    "ten places": ("2024-01-01T00:00:00.1234567891Z", "must be a timestamp"),
    "letters after six places": ("2024-01-01T00:00:00.123456abZ", "must be a timestamp"),
    "an offset without a colon": ("2024-01-01T00:00:00+0100", "must be a timestamp"),
    "spaces around": (" 2024-01-01T00:00:00Z", "must be a timestamp"),
    "a line's end": ("2024-01-01T00:00:00Z\n", "must be a timestamp"),
    "other digits": ("２０２４-01-01T00:00:00Z", "must be a timestamp"),
    "nothing": ("", "must be a timestamp"),
    "a leap second": ("2016-12-31T23:59:60Z", "leap second"),
    "the hour 24": ("2024-01-01T24:00:00Z", "time of day"),
    "the minute 60": ("2024-01-01T00:60:00Z", "time of day"),
    "the second 61": ("2024-01-01T00:00:61Z", "time of day"),
    "the month 13": ("2024-13-01T00:00:00Z", "no such month"),
    "the month 0": ("2024-00-01T00:00:00Z", "no such month"),
    "the day 0": ("2024-01-00T00:00:00Z", "no such day"),
    "a leap day in another year": ("2023-02-29T00:00:00Z", "no such day"),
    "a leap day of a whole century": ("2100-02-29T00:00:00Z", "no such day"),
    "the offset 24": ("2024-01-01T00:00:00+24:00", "no such offset"),
    "the offset minute 60": ("2024-01-01T00:00:00+01:60", "no such offset"),
    "before the first year": ("1969-12-31T23:59:59Z", "1970 to 2261"),
    "before the first year by its offset": ("1970-01-01T00:00:00+01:00", "1970 to 2261"),
    "after the last year": ("2262-01-01T00:00:00Z", "1970 to 2261"),
    "after the last year by its offset": ("2261-12-31T23:00:00-01:00", "1970 to 2261"),
    "far from all years": ("0001-01-01T00:00:00Z", "1970 to 2261"),
}


@pytest.mark.parametrize(("text", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_it_takes(text: str, expected: int) -> None:
    assert microseconds(text) == expected
    few = microseconds_of([text, text])
    assert few is not None
    assert few.tolist() == [expected, expected]
    many = microseconds_of([text] * FEW)
    assert many is None or many.tolist() == [expected] * FEW


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_it_refuses(text: str, why: str) -> None:
    with pytest.raises(InvalidTimestamp, match=why):
        microseconds(text)
    assert microseconds_of([text]) is None
    assert microseconds_of([text] * FEW) is None
    assert microseconds_of(["2024-01-01T00:00:00Z", text] * FEW) is None


def test_common_forms_are_read_at_once_though_their_lengths_differ() -> None:
    texts = ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00+00:00", "2024-01-01T01:00:00-01:30"]
    found = microseconds_of(texts * FEW)
    assert found is not None
    assert found.dtype == np.int64
    assert found.tolist() == [microseconds(text) for text in texts] * FEW


def test_what_is_no_text_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        microseconds_of([None])  # type: ignore[list-item]


MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2261, 1, 1))  # noqa: DTZ001 (hypothesis adds the zone)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    moments=st.lists(st.builds(lambda at, zone: at.replace(tzinfo=zone), MOMENTS, OFFSETS), min_size=1),
    zulu=st.booleans(),
)
def test_many_moments_are_read_as_the_standard_library_reads_them(moments: list[datetime], zulu: bool) -> None:
    if zulu:
        moments = [moment.replace(tzinfo=UTC) for moment in moments]
    texts = [moment.isoformat().replace("+00:00", "Z") if zulu else moment.isoformat() for moment in moments]
    expected = [(moment - EPOCH) // timedelta(microseconds=1) for moment in moments]
    assert [microseconds(text) for text in texts] == expected
    found = microseconds_of(texts * FEW)
    assert found is not None
    assert found.tolist() == expected * FEW


@given(
    st.lists(
        st.from_regex(
            r"\A[12][09][0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?([Zz]|[-+][0-2][0-9]:[0-6][0-9])?\Z"
        ),
        min_size=1,
        max_size=4,
    )
)
def test_reading_at_once_never_takes_what_reading_alone_refuses(texts: list[str]) -> None:
    found = microseconds_of(texts * FEW)
    if found is not None:
        assert found.tolist() == [microseconds(text) for text in texts] * FEW
