"""What a contract demands of one field's values: a whole column at once, or one value with what is wrong with it. Pure.

Used by `pointsman.graphs.contract` alone. Each reader answers twice, and the answers agree: `all_of` is fast and gives
None where any value is broken or written in a rare form; `one` then says which and why. Values are what orjson makes of
JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pointsman.api.event_stream import ContractField
from pointsman.api.reasons import Reason
from pointsman.columns import FieldType
from pointsman.graphs import timestamps

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_EXACT = 10**15
"""Below this many minor units a JSON number names exactly one decimal; from there on two decimals can be one double."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?")
_SHOWN = 80


class Violation(ValueError):
    """A value that breaks its contract; the message does not hold the value, which may be personal."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Reader(Protocol):
    """Reads the values of one field; None never reaches it."""

    @property
    def dtype(self) -> npt.DTypeLike: ...
    @property
    def blank(self) -> object:
        """What stands under the mask of missing values."""

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        """All values as an array; None where `one` must be asked."""

    def one(self, value: object) -> object:
        """One value as it stands in the array. Raises Violation."""


def reader_of(field: ContractField, *, identifies: bool = False) -> Reader:
    """The reader of a field; one that `identifies` events is never empty and at most 256 characters long."""
    match field.type:
        case FieldType.STRING:
            return StringReader(field, identifies=identifies)
        case FieldType.INTEGER:
            return IntegerReader(field)
        case FieldType.DECIMAL:
            return DecimalReader(field)
        case FieldType.DOUBLE:
            return DoubleReader(field)
        case FieldType.BOOLEAN:
            return BooleanReader()
        case FieldType.TIMESTAMP:
            return TimestampReader()


def shown(value: object) -> str:
    """A value for a message: JSON, cut short, and printable."""
    text = value if isinstance(value, str) else repr(value)
    cut = text[:_SHOWN].encode("utf-8", "backslashreplace").decode() + ("…" if len(text) > _SHOWN else "")
    return json.dumps(cut, ensure_ascii=False)


def kind_of(value: object) -> str:
    """What a JSON value is, for a message."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", dict: "an object", list: "a list"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


class StringReader:
    """Text without the character U+0000, which databases do not store; length, values and pattern as declared."""

    MAX_ID_LENGTH = 256
    dtype, blank = object, ""

    def __init__(self, field: ContractField, *, identifies: bool) -> None:
        self._shortest = max(field.min_length or 0, 1 if identifies else 0)
        limits = [field.max_length, self.MAX_ID_LENGTH if identifies else None]
        self._longest = min((limit for limit in limits if limit is not None), default=None)
        self._values = frozenset(field.values) if field.values is not None else None
        self._pattern = field.pattern
        self._matches = re.compile(field.pattern).fullmatch if field.pattern is not None else None

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        try:
            joined = "".join(values)
        except TypeError:
            return None
        if "\0" in joined or not _is_unicode(joined):
            return None
        if self._longest is not None and max(map(len, values)) > self._longest:
            return None
        if self._shortest and min(map(len, values)) < self._shortest:
            return None
        if self._values is not None and not self._values.issuperset(values):
            return None
        if self._matches is not None and not all(map(self._matches, values)):
            return None
        return np.array(values, dtype=object)

    def one(self, value: object) -> str:
        if not isinstance(value, str):
            raise _wrong_type("text", value)
        if "\0" in value or not _is_unicode(value):
            raise Violation(Reason.PatternMismatch, "holds a character that cannot be stored")
        if self._longest is not None and len(value) > self._longest:
            raise Violation(Reason.TooLong, f"has {len(value)} characters, more than {self._longest}")
        if len(value) < self._shortest:
            raise Violation(Reason.TooShort, f"has {len(value)} characters, fewer than {self._shortest}")
        if self._values is not None and value not in self._values:
            raise Violation(Reason.UnknownValue, f"must be one of {', '.join(sorted(self._values)[:12])}")
        if self._matches is not None and self._matches(value) is None:
            raise Violation(Reason.PatternMismatch, f"does not match {self._pattern}")
        return value


class IntegerReader:
    """Whole JSON numbers of 64 bits; neither 5.0 nor true is one."""

    dtype, blank = np.int64, 0

    def __init__(self, field: ContractField) -> None:
        self._range = _Range(field, scale=0)

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        if set(map(type, values)) != {int}:
            return None
        return self._range.checked(values)

    def one(self, value: object) -> int:
        if isinstance(value, float) and not -(2.0**63) <= value < 2.0**63:
            raise Violation(Reason.OutOfRange, "does not fit 64 bits")
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type("a whole number", value)
        return self._range.holding(value)


class DecimalReader:
    """Exact decimals in minor units: JSON numbers, or texts such as "12.34".

    A JSON number with a point reaches us as a double. Below 10**15 minor units it stands for the one decimal with no
    more than `scale` places that has this double; where there is none it has more places. Beyond, it must be text.
    """

    dtype, blank = np.int64, 0

    def __init__(self, field: ContractField) -> None:
        self._scale: int = field.scale
        self._unit: int = 10**self._scale
        self._range = _Range(field, scale=field.scale)

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        types = set(map(type, values))
        if types <= {int, float}:
            return self._numbers(values)
        if types != {str}:
            return None
        try:
            return self._range.checked([self._text(value) for value in values])
        except Violation:
            return None

    def _numbers(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        try:
            doubles = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        with np.errstate(all="ignore"):
            minor = np.rint(doubles * self._unit)
            if not (np.abs(minor) < _EXACT).all() or (minor / self._unit != doubles).any():
                return None
        return self._range.checked(minor.astype(np.int64))

    def one(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _wrong_type("a decimal number", value)
        if isinstance(value, int):
            return self._range.holding(value * self._unit)
        return self._range.holding(self._text(value) if isinstance(value, str) else self._number(value))

    def _number(self, value: float) -> int:
        if not math.isfinite(value):
            raise _wrong_type("a decimal number", value)
        scaled = value * self._unit
        if abs(scaled) >= _EXACT or abs(minor := round(scaled)) >= _EXACT:
            raise Violation(Reason.OutOfRange, "is too large to be exact as a JSON number; send it as text, in quotes")
        if minor / self._unit != value:
            raise self._too_fine()
        return int(minor)

    def _text(self, value: str) -> int:
        found = _DECIMAL.fullmatch(value)
        if found is None:
            raise Violation(Reason.WrongType, 'must be a decimal number such as "12.34"')
        sign, whole, places = found.groups()
        places = (places or "").rstrip("0")
        if len(places) > self._scale:
            raise self._too_fine()
        return int(sign + whole + places.ljust(self._scale, "0"))

    def _too_fine(self) -> Violation:
        return Violation(Reason.TooManyDecimals, f"has more than {self._scale} decimal places")


class DoubleReader:
    """Finite JSON numbers, as the nearest double."""

    dtype, blank = np.float64, 0.0

    def __init__(self, field: ContractField) -> None:
        self._minimum, self._maximum = field.minimum, field.maximum
        self._lowest = -math.inf if field.minimum is None else float(field.minimum)
        self._highest = math.inf if field.maximum is None else float(field.maximum)

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        if not set(map(type, values)) <= {int, float}:
            return None
        try:
            doubles = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        if not np.isfinite(doubles).all() or doubles.min() < self._lowest or doubles.max() > self._highest:
            return None
        return doubles

    def one(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type("a number", value)
        try:
            double = float(value)
        except OverflowError:
            double = math.inf
        if not math.isfinite(double):
            raise Violation(Reason.WrongType, "must be a finite number")
        if double < self._lowest:
            raise Violation(Reason.OutOfRange, f"is below the minimum {self._minimum}")
        if double > self._highest:
            raise Violation(Reason.OutOfRange, f"is above the maximum {self._maximum}")
        return double


class BooleanReader:
    """true and false; neither 0 nor "true" is one."""

    dtype, blank = np.bool_, False

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        return np.array(values, dtype=np.bool_) if set(map(type, values)) == {bool} else None

    def one(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise _wrong_type("true or false", value)
        return value


class TimestampReader:
    """RFC 3339 texts with an offset, as microseconds since 1970 UTC."""

    dtype, blank = np.int64, 0

    def all_of(self, values: Sequence[Any]) -> npt.NDArray[Any] | None:
        try:
            return timestamps.microseconds_of(values)
        except TypeError:
            return None

    def one(self, value: object) -> int:
        if not isinstance(value, str):
            raise _wrong_type("a timestamp as text", value)
        try:
            return timestamps.microseconds(value)
        except timestamps.InvalidTimestamp as error:
            raise Violation(Reason.InvalidTimestamp, str(error)) from None


class _Range:
    """The inclusive limits of whole numbers: minor units of a Decimal, or an Integer's own."""

    def __init__(self, field: ContractField, *, scale: int) -> None:
        self._minimum, self._maximum = field.minimum, field.maximum
        self._lowest = _INT_MIN if field.minimum is None else max(_INT_MIN, math.ceil(_times(field.minimum, scale)))
        self._highest = _INT_MAX if field.maximum is None else min(_INT_MAX, math.floor(_times(field.maximum, scale)))

    def checked(self, values: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        try:
            numbers = np.asarray(values, dtype=np.int64)
        except OverflowError:
            return None
        inside = int(numbers.min()) >= self._lowest and int(numbers.max()) <= self._highest
        return numbers if inside else None

    def holding(self, number: int) -> int:
        if number < self._lowest and self._minimum is not None:
            raise Violation(Reason.OutOfRange, f"is below the minimum {self._minimum}")
        if number > self._highest and self._maximum is not None:
            raise Violation(Reason.OutOfRange, f"is above the maximum {self._maximum}")
        if not _INT_MIN <= number <= _INT_MAX:
            raise Violation(Reason.OutOfRange, "does not fit 64 bits")
        return number


def _times(limit: Decimal, scale: int) -> Fraction:
    return Fraction(limit) * Fraction(10**scale)


def _is_unicode(text: str) -> bool:
    """Whether the text can be encoded: one half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_type(wanted: str, value: object) -> Violation:
    return Violation(Reason.WrongType, f"must be {wanted}, not {kind_of(value)}")
