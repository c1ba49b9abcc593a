"""Values that are strings in YAML and exact in Python: durations, decimals, percentages, quantities, names.

Every kind uses these; nothing in a spec is ever a float.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer, Strict, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
PERCENT_PATTERN = r"^(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)%$"
DECIMAL_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
QUANTITY_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
IDENTIFIER_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
REASON_PATTERN = r"^[A-Z][A-Za-z0-9]{0,62}$"
REFERENCE_PATTERN = r"^[a-z][a-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"

_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(r"([0-9]+)(ms|h|m|s)")
_PERCENT = re.compile(PERCENT_PATTERN)
_DECIMAL = re.compile(DECIMAL_PATTERN)
_QUANTITY = re.compile(QUANTITY_PATTERN)
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_SUFFIX = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{suffix + "i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


@functools.total_ordering
class Duration:
    """A length of time as Gateway API writes it (GEP-2257): `50ms`, `10m`, `1h30m`. Equal when equally long."""

    __slots__ = ("microseconds", "text")

    text: str
    microseconds: int

    def __init__(self, text: str) -> None:
        if _DURATION.fullmatch(text) is None:
            raise ValueError(f'a duration is written like "50ms", "10m" or "1h30m", not "{text}"')
        total = sum(int(count) * _MICROSECONDS[unit] for count, unit in _DURATION_PART.findall(text))
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "microseconds", total)

    @property
    def seconds(self) -> float:
        return self.microseconds / 1_000_000

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Duration does not change")

    def __reduce__(self) -> tuple[type[Duration], tuple[str]]:
        return (Duration, (self.text,))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Duration({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.microseconds == self.microseconds

    def __lt__(self, other: Duration) -> bool:
        return self.microseconds < other.microseconds

    def __hash__(self) -> int:
        return hash(self.microseconds)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _text_schema(cls, DURATION_PATTERN)


class Percent:
    """A share of the whole, `"0.1%"`; `fraction` is exact: Decimal("0.001")."""

    __slots__ = ("fraction", "text")

    text: str
    fraction: Decimal

    def __init__(self, text: str) -> None:
        if _PERCENT.fullmatch(text) is None:
            raise ValueError(f'a percentage is written like "0.1%" or "95%", from 0% to 100%, not "{text}"')
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "fraction", Decimal(text[:-1]) / 100)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Percent does not change")

    def __reduce__(self) -> tuple[type[Percent], tuple[str]]:
        return (Percent, (self.text,))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Percent({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Percent) and other.fraction == self.fraction

    def __hash__(self) -> int:
        return hash(self.fraction)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _text_schema(cls, PERCENT_PATTERN)


def _text_schema(value_type: type[Duration] | type[Percent], pattern: str) -> core_schema.CoreSchema:
    def accept(value: object) -> object:
        if isinstance(value, value_type):
            return value
        if not isinstance(value, str):
            message = f"must be text in quotes, not {_shown(value)}"
            raise PydanticCustomError("not_text", "{message}", {"message": message})
        return value_type(value)

    return core_schema.no_info_plain_validator_function(
        accept,
        serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: {"type": "string", "pattern": pattern}]},
    )


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value[:80]}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return names.get(type(value), str(value))


def _exact_decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    shown = _shown(value)
    raise PydanticCustomError(
        "not_decimal",
        "{message}",
        {
            "message": f"must be a decimal number in quotes, not {shown}",
            "hint": 'write it as text, such as "0.05"; binary floating point cannot hold it exactly',
        },
    )


DecimalString = Annotated[
    Decimal,
    BeforeValidator(_exact_decimal),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": DECIMAL_PATTERN}),
]


class Quantity(str):
    """An amount as Kubernetes writes it, kept as written; `value` is exact: 0.5 for "500m"."""

    __slots__ = ()

    @property
    def value(self) -> Decimal:
        number = self.rstrip("mkMGTPEKi")
        return Decimal(number) * _SUFFIX[self[len(number) :]]

    @classmethod
    def of(cls, value: object) -> Self:
        """Text or a whole number; ValueError for anything else, floats included."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and _QUANTITY.fullmatch(value):
            return cls(value)
        shown = _shown(value)
        raise PydanticCustomError(
            "not_quantity",
            "{message}",
            {"message": f"must be a quantity, not {shown}", "hint": 'write it as text, such as "1", "500m" or "1Gi"'},
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.of,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
            metadata={
                "pydantic_js_functions": [
                    lambda _schema, _handler: {"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN}
                ]
            },
        )


Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]
ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME_PATTERN, max_length=63)]
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN, max_length=63)]
ReasonCode = Annotated[str, StringConstraints(pattern=REASON_PATTERN, max_length=63)]
Reference = Annotated[str, StringConstraints(pattern=REFERENCE_PATTERN, max_length=127)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN, max_length=71)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Url = Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=2048)]
Image = Annotated[str, StringConstraints(pattern=r"^[^\s]+$", max_length=511)]
