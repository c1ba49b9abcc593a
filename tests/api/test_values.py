"""Values that are strings in YAML and exact in Python."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pointsman.api.values import DecimalString, Duration, Percent, Quantity


class Holder(BaseModel):
    duration: Duration | None = None
    percent: Percent | None = None
    decimal: DecimalString | None = None
    quantity: Quantity | None = None


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("50ms", 50_000), ("10m", 600_000_000), ("1h30m", 5_400_000_000), ("720h", 2_592_000_000_000), ("0s", 0)],
)
def test_a_duration_knows_its_microseconds(text: str, microseconds: int) -> None:
    assert Duration(text).microseconds == microseconds
    assert Duration(text).seconds == microseconds / 1e6


@pytest.mark.parametrize(
    "text", ["", "10", "1.5h", "-1h", "1d", "1h 30m", "100000h", "1h1h1h1h1h", "10us", "1H", "1h\n"]
)
def test_what_gateway_api_does_not_call_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="a duration is written like"):
        Holder.model_validate({"duration": text})


def test_durations_are_equal_when_equally_long_and_keep_their_spelling() -> None:
    assert Duration("60m") == Duration("1h")
    assert hash(Duration("60m")) == hash(Duration("1h"))
    assert Duration("59m") < Duration("1h") <= Duration("60m")
    assert str(Duration("60m")) == "60m"


def test_a_duration_and_a_percentage_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Duration("1h").microseconds = 1
    with pytest.raises(AttributeError):
        Percent("1%").fraction = Decimal(1)


def test_durations_and_percentages_survive_a_copy() -> None:
    for value in (Duration("1h30m"), Percent("0.1%")):
        again = copy.deepcopy(value)
        assert again == value
        assert str(again) == str(value)


@given(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"]))
def test_every_duration_reads_back_what_it_writes(count: int, unit: str) -> None:
    holder = Holder(duration=Duration(f"{count}{unit}"))
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


@pytest.mark.parametrize(
    ("text", "fraction"), [("0.1%", "0.001"), ("95%", "0.95"), ("100%", "1"), ("99.999%", "0.99999")]
)
def test_a_percentage_is_an_exact_fraction(text: str, fraction: str) -> None:
    assert Percent(text).fraction == Decimal(fraction)


@pytest.mark.parametrize("text", ["101%", "100.1%", "-1%", "1", "0,1%", ".5%", "1 %"])
def test_what_is_no_share_of_a_whole_is_no_percentage(text: str) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"percent": text})


def test_a_decimal_comes_from_text_only() -> None:
    assert Holder.model_validate({"decimal": "0.05"}).decimal == Decimal("0.05")
    for value in (0.05, 5, True, "1e3", "NaN", "", "0x1", "１"):
        with pytest.raises(ValidationError, match="decimal number in quotes"):
            Holder.model_validate({"decimal": value})


def test_a_small_decimal_is_written_without_an_exponent() -> None:
    assert Holder(decimal=Decimal("0.00000001")).model_dump(mode="json")["decimal"] == "0.00000001"


@pytest.mark.parametrize(
    ("written", "value"),
    [("500m", "0.5"), ("1Gi", 2**30), ("1G", 10**9), ("2", 2), (2, 2), ("1.5Ki", 1536), ("1E", 10**18), ("3k", 3000)],
)
def test_a_quantity_has_an_exact_value(written: object, value: object) -> None:
    quantity = Holder.model_validate({"quantity": written}).quantity
    assert quantity is not None
    assert quantity.value == Decimal(str(value))
    assert quantity == str(written)


@pytest.mark.parametrize("written", [0.5, True, "1GB", "-1", "", "1 Gi", None.__class__])
def test_what_kubernetes_would_not_read_is_no_quantity(written: object) -> None:
    with pytest.raises(ValidationError, match="must be a quantity"):
        Holder.model_validate({"quantity": written})
