"""RFC 3339 timestamps to microseconds since 1970-01-01 UTC: many texts at once, or one with the reason why not. Pure.

Used by contracts and expressions. Years 1970 to 2261 (what 64 bits of nanoseconds hold, so that every tool a timestamp
may reach can hold it), an offset from UTC is needed, up to nine decimal places of a second of which those after the
sixth are cut off, no leap seconds, no 24:00.
"""

from __future__ import annotations

import calendar
import functools
import re
from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

FIRST_YEAR, LAST_YEAR = 1970, 2261

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_EPOCH = date(1970, 1, 1).toordinal()
_END = (date(LAST_YEAR + 1, 1, 1).toordinal() - _EPOCH) * _DAY

# a local time may lie up to a day outside the years, so the tables reach one year further on both sides
_TABLE_START, _TABLE_END = FIRST_YEAR - 1, LAST_YEAR + 1
_MONTHS = [(year, month) for year in range(_TABLE_START, _TABLE_END + 1) for month in range(1, 13)]
_BEFORE = np.array([date(year, month, 1).toordinal() - _EPOCH for year, month in _MONTHS], dtype=np.int64)
_LENGTH = np.array([calendar.monthrange(year, month)[1] for year, month in _MONTHS], dtype=np.int64)

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_NO_OFFSET = re.compile(r"[-\d]{10}[Tt ][:.\d]+")
_EXAMPLE = "2026-01-31T12:00:00Z"
_MANY_LENGTHS = 16
FEW = 16
"""Fewer timestamps than these are read faster one by one."""


class InvalidTimestamp(ValueError):
    """A text that is no timestamp; the message says why and does not hold the text."""


def microseconds(text: str) -> int:
    """One timestamp. Raises InvalidTimestamp."""
    form = _FORM.fullmatch(text)
    if form is None:
        if _NO_OFFSET.fullmatch(text):
            raise InvalidTimestamp("has no offset from UTC; end it with Z or, for example, +01:00")
        raise InvalidTimestamp(f'must be a timestamp like "{_EXAMPLE}"')
    year, month, day, hour, minute, second = map(int, form.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = form.group(7, 8, 9, 10)
    if not _TABLE_START <= year <= _TABLE_END:
        raise InvalidTimestamp(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    if not 1 <= month <= 12:
        raise InvalidTimestamp("has no such month")
    at = (year - _TABLE_START) * 12 + month - 1
    if not 1 <= day <= _LENGTH[at]:
        raise InvalidTimestamp("has no such day")
    if second == 60:
        raise InvalidTimestamp("is a leap second, which is not taken")
    if hour > 23 or minute > 59 or second > 59:
        raise InvalidTimestamp("has no such time of day")
    result = (int(_BEFORE[at]) + day - 1) * _DAY + ((hour * 60 + minute) * 60 + second) * _SECOND
    if fraction is not None:
        result += int(fraction[:6].ljust(6, "0"))
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise InvalidTimestamp("has no such offset from UTC")
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60 * _SECOND
        result -= offset if sign == "+" else -offset
    if not 0 <= result < _END:
        raise InvalidTimestamp(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return result


def microseconds_of(texts: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """All timestamps, in order; None where any of them is not valid or is written in a rare form.

    The answer, where there is one, is that of `microseconds`. Raises TypeError where any is no text.
    """
    joined = "".join(texts)
    if len(texts) < FEW:
        try:
            return np.array([microseconds(text) for text in texts], dtype=np.int64)
        except InvalidTimestamp:
            return None
    if not joined.isascii():
        return None
    lengths = set(map(len, texts))
    if len(lengths) == 1:
        return _same_length(joined, lengths.pop())
    if len(lengths) > _MANY_LENGTHS:
        return None
    result = np.empty(len(texts), dtype=np.int64)
    length_of = np.fromiter(map(len, texts), np.intp, count=len(texts))
    for length in lengths:
        rows = np.flatnonzero(length_of == length)
        found = _same_length("".join([texts[row] for row in rows.tolist()]), length)
        if found is None:
            return None
        result[rows] = found
    return result


def _same_length(joined: str, length: int) -> npt.NDArray[np.int64] | None:
    if length < len(_EXAMPLE):
        return None
    characters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8).reshape(-1, length)
    zulu = bool((characters[:, -1] == ord("Z")).all())
    form = _form(length, zulu)
    if form is None:
        return None
    digits = characters - np.uint8(ord("0"))
    if (characters[:, form.sign_at] != form.signs).any() or (digits[:, form.digit_at] > 9).any():
        return None
    # one product of small whole numbers, which float64 holds exactly
    parts = (digits[:, form.digit_at].astype(np.float64) @ form.weights).astype(np.int64).T
    year, month, day, hour, minute, second, micro, offset_hour, offset_minute = parts
    in_order = (year >= _TABLE_START) & (year <= _TABLE_END) & (month >= 1) & (month <= 12) & (day >= 1)
    in_order &= (hour <= 23) & (minute <= 59) & (second <= 59) & (offset_hour <= 23) & (offset_minute <= 59)
    if not in_order.all():
        return None
    at = (year - _TABLE_START) * 12 + month - 1
    if (day > _LENGTH[at]).any():
        return None
    seconds = (hour * 60 + minute) * 60 + second
    if not zulu:
        plus = characters[:, -6] == ord("+")
        if not (plus | (characters[:, -6] == ord("-"))).all():
            return None
        seconds -= np.where(plus, 1, -1) * (offset_hour * 60 + offset_minute) * 60
    result: npt.NDArray[np.int64] = (_BEFORE[at] + day - 1) * _DAY + seconds * _SECOND + micro
    if ((result < 0) | (result >= _END)).any():
        return None
    return result


class _Form:
    """Where the signs and digits of timestamps of one length stand, and which part each digit counts toward."""

    def __init__(self, length: int, zulu: bool) -> None:
        body = length - (1 if zulu else 6)
        signs = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":"}
        parts = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19), (20, min(body, 26))]
        if body > 19:
            signs[19] = "."
        if zulu:
            signs[length - 1] = "Z"
        else:
            signs[length - 3] = ":"
            parts += [(length - 5, length - 3), (length - 2, length)]
        every = {*range(20, body)}.union(*(range(start, end) for start, end in parts))
        self.digit_at = np.array(sorted(every), dtype=np.intp)
        self.sign_at = np.array(list(signs), dtype=np.intp)
        self.signs = np.frombuffer("".join(signs.values()).encode(), dtype=np.uint8)
        self.weights = np.zeros((len(self.digit_at), 9))
        for part, (start, end) in enumerate(parts):
            for place in range(start, end):
                power = 25 - place if part == 6 else end - 1 - place
                self.weights[np.searchsorted(self.digit_at, place), part] = 10**power


@functools.lru_cache(maxsize=64)
def _form(length: int, zulu: bool) -> _Form | None:
    fraction = length - (20 if zulu else 25)
    return _Form(length, zulu) if fraction == 0 or 2 <= fraction <= 10 else None
