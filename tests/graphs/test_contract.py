"""Contracts: which events hold them, what the columns then are, and what is said about the others."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.api.event_stream import EventStream
from pointsman.api.reasons import Reason
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.graphs.contract import Contract, ContractBatch, InvalidContract, compile_contract

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "transactions.yaml"

FIELDS: list[dict[str, object]] = [
    {"name": "id", "type": "String"},
    {"name": "at", "type": "Timestamp"},
    {"name": "known", "type": "Timestamp", "optional": True},
    {"name": "amount", "type": "Decimal", "scale": 2, "minimum": "0", "maximum": "1000000"},
    {"name": "count", "type": "Integer", "minimum": "-5", "maximum": "100", "optional": True},
    {"name": "ratio", "type": "Double", "minimum": "-0.5", "maximum": "2.5", "optional": True},
    {"name": "online", "type": "Boolean", "optional": True},
    {"name": "card", "type": "String", "minLength": 2, "maxLength": 8, "pattern": "[a-z0-9-]+", "optional": True},
    {"name": "country", "type": "String", "values": ["DE", "FR"], "optional": True},
    {"name": "holder", "type": "String", "personal": True, "maxLength": 8, "optional": True},
]
GOOD: dict[str, object] = {
    "id": "e-1",
    "at": "2024-05-01T12:00:00Z",
    "known": "2024-05-01T12:00:05Z",
    "amount": 12.5,
    "count": 7,
    "ratio": 0.25,
    "online": True,
    "card": "card-7",
    "country": "FR",
    "holder": "Ada",
}
AT = 1_714_564_800_000_000
ABSENT = object()


def stream(fields: list[dict[str, object]] = FIELDS, **changed: object) -> EventStream:
    spec = {"source": {"type": "HTTP"}, "id": "id", "time": "at", "knownAt": "known", "contract": {"fields": fields}}
    spec |= changed
    kept = {name: value for name, value in spec.items() if value is not None}
    return EventStream.model_validate({"kind": "EventStream", "metadata": {"name": "events"}, "spec": kept})


CONTRACT = compile_contract(stream())


def but(**changed: object) -> dict[str, object]:
    """A good event, as it arrives in JSON, with some fields changed or taken away."""
    event = {name: value for name, value in (GOOD | changed).items() if value is not ABSENT}
    return orjson.loads(orjson.dumps(event))  # type: ignore[no-any-return]


def plain(column: Column) -> list[object]:
    missing = column.missing if column.missing is not None else np.zeros(len(column), dtype=np.bool_)
    return [None if gone else value for value, gone in zip(column.values.tolist(), missing.tolist(), strict=True)]


def columns(batch: ContractBatch) -> dict[str, list[object]]:
    return {name: plain(column) for name, column in batch.columns.items()}


def value_of(field: str, value: object, contract: Contract = CONTRACT) -> object:
    """What becomes of one value, as part of a good event; it must be taken."""
    batch = contract.read([but(**{field: value})])
    assert batch.broken == ()
    return plain(batch.columns[field])[0]


def test_a_good_event_becomes_a_row_of_every_column() -> None:
    batch = CONTRACT.read([but()])
    assert columns(batch) == {
        "id": ["e-1"],
        "at": [AT],
        "known": [AT + 5_000_000],
        "amount": [1250],
        "count": [7],
        "ratio": [0.25],
        "online": [True],
        "card": ["card-7"],
        "country": ["FR"],
        "holder": ["Ada"],
    }
    assert all(column.missing is None for column in batch.columns.values())
    assert batch.good.tolist() == [0]
    assert batch.broken == ()


def test_columns_have_the_types_of_the_contract() -> None:
    batch = CONTRACT.read([but(), but(count=None, card=ABSENT)])
    assert {name: column.type for name, column in batch.columns.items()} == CONTRACT.types
    assert CONTRACT.types["amount"] == ColumnType(type=FieldType.DECIMAL, scale=2)
    dtypes = {name: column.values.dtype for name, column in batch.columns.items()}
    assert [dtypes[name] for name in ("id", "at", "amount", "count")] == [object, np.int64, np.int64, np.int64]
    assert [dtypes[name] for name in ("ratio", "online", "card")] == [np.float64, np.bool_, object]


def test_an_optional_field_may_be_absent_or_null() -> None:
    batch = CONTRACT.read([but(count=None), but(count=3), but(count=ABSENT)])
    assert plain(batch.columns["count"]) == [None, 3, None]
    assert plain(CONTRACT.read([but(card=None)]).columns["card"]) == [None]


def test_fields_that_are_not_declared_are_not_looked_at() -> None:
    assert columns(CONTRACT.read([but(extra={"deep": [1]})])) == columns(CONTRACT.read([but()]))


TAKEN = {
    "a number with fewer places": ("amount", 7.1, 710),
    "a whole number": ("amount", 7, 700),
    "a number that binary cannot hold": ("amount", 0.29, 29),
    "zero": ("amount", 0, 0),
    "less than zero by nothing": ("amount", -0.0, 0),
    "the maximum": ("amount", 1_000_000, 100_000_000),
    "text": ("amount", "12.34", 1234),
    "text with zeros behind": ("amount", "12.34000", 1234),
    "text with fewer places": ("amount", "12.3", 1230),
    "text without places": ("amount", "12", 1200),
    "text with zeros before": ("amount", "007.5", 750),
    "the smallest count": ("count", -5, -5),
    "a double that is whole": ("ratio", 1, 1.0),
    "the largest double": ("ratio", 2.5, 2.5),
    "the smallest double": ("ratio", -0.5, -0.5),
    "false": ("online", False, False),
    "the shortest text": ("card", "ab", "ab"),
    "the longest text, by characters": ("holder", "éé😀éééé!", "éé😀éééé!"),
    "text of no length where none is asked": ("holder", "", ""),
    "a moment elsewhere": ("at", "2024-05-01T14:00:00+02:00", AT),
    "a moment with places": ("at", "2024-05-01T12:00:00.000001Z", AT + 1),
}


@pytest.mark.parametrize(("field", "value", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_it_takes(field: str, value: object, expected: object) -> None:
    found = value_of(field, value)
    assert found == expected
    assert type(found) is type(expected)


BROKEN = {
    "a field that is not there": ("amount", ABSENT, Reason.MissingField, "is not there"),
    "a field that is null": ("amount", None, Reason.MissingField, "is null"),
    "an id that is not there": ("id", ABSENT, Reason.MissingField, "is not there"),
    "an id of no length": ("id", "", Reason.TooShort, 'has 0 characters, fewer than 1: ""'),
    "an id that is a number": ("id", 5, Reason.WrongType, 'must be text, not a number: "5"'),
    "an id that no index holds": ("id", "x" * 257, Reason.TooLong, "has 257 characters, more than 256"),
    "a third decimal place": ("amount", 1.234, Reason.TooManyDecimals, 'has more than 2 decimal places: "1.234"'),
    "a third decimal place in text": ("amount", "1.234", Reason.TooManyDecimals, "more than 2 decimal places"),
    "a place far behind in text": ("amount", "1.00000000000000001", Reason.TooManyDecimals, "more than 2"),
    "a decimal below its minimum": ("amount", -0.01, Reason.OutOfRange, 'is below the minimum 0: "-0.01"'),
    "a decimal above its maximum": ("amount", 1000000.01, Reason.OutOfRange, "is above the maximum 1000000"),
    "a decimal above its maximum in text": ("amount", "1000000.01", Reason.OutOfRange, "is above the maximum"),
    "a number too large to be exact": ("amount", 1e13, Reason.OutOfRange, "send it as text"),
    "a decimal that is a boolean": ("amount", True, Reason.WrongType, "must be a decimal number, not a boolean"),
    "a decimal that is a list": ("amount", [1], Reason.WrongType, "must be a decimal number, not a list"),
    "a decimal with an exponent in text": ("amount", "1e3", Reason.WrongType, "must be a decimal number such as"),
    "a decimal with a comma": ("amount", "1,50", Reason.WrongType, "must be a decimal number such as"),
    "a decimal with spaces": ("amount", " 1", Reason.WrongType, "must be a decimal number such as"),
    "a decimal in other digits": ("amount", "１２", Reason.WrongType, "must be a decimal number such as"),
    "a decimal with a line's end": ("amount", "1\n", Reason.WrongType, "must be a decimal number such as"),
    "no number as text": ("amount", "NaN", Reason.WrongType, "must be a decimal number such as"),
    "a count that is a boolean": ("count", True, Reason.WrongType, "must be a whole number, not a boolean"),
    "a count with a point": ("count", 5.0, Reason.WrongType, "must be a whole number, not a number"),
    "a count as text": ("count", "5", Reason.WrongType, "must be a whole number, not text"),
    "a count below its minimum": ("count", -6, Reason.OutOfRange, "is below the minimum -5"),
    "a count above its maximum": ("count", 101, Reason.OutOfRange, "is above the maximum 100"),
    "a double above its maximum": ("ratio", 2.5000001, Reason.OutOfRange, "is above the maximum 2.5"),
    "a double below its minimum": ("ratio", -1, Reason.OutOfRange, "is below the minimum -0.5"),
    "a double as text": ("ratio", "0.5", Reason.WrongType, "must be a number, not text"),
    "a double that is a boolean": ("ratio", False, Reason.WrongType, "must be a number, not a boolean"),
    "a boolean that is a number": ("online", 1, Reason.WrongType, "must be true or false, not a number"),
    "a boolean as text": ("online", "true", Reason.WrongType, "must be true or false, not text"),
    "a text that is too long": ("card", "card-1234", Reason.TooLong, 'has 9 characters, more than 8: "card-1234"'),
    "a text that is too short": ("card", "a", Reason.TooShort, "has 1 characters, fewer than 2"),
    "a text of another pattern": ("card", "Card", Reason.PatternMismatch, "does not match [a-z0-9-]+"),
    "a text of which a part has the pattern": ("card", "card!", Reason.PatternMismatch, "does not match"),
    "a text with a line's end after the pattern": ("card", "card\n", Reason.PatternMismatch, "does not match"),
    "a text that is not among the values": ("country", "IT", Reason.UnknownValue, 'must be one of DE, FR: "IT"'),
    "a text with the character zero": ("holder", "a\0b", Reason.PatternMismatch, "cannot be stored"),
    "a moment without an offset": ("at", "2024-05-01T12:00:00", Reason.InvalidTimestamp, "has no offset"),
    "a moment that is a number": ("at", 1714564800, Reason.WrongType, "must be a timestamp as text, not a number"),
    "a moment that never was": ("at", "2024-02-30T12:00:00Z", Reason.InvalidTimestamp, "has no such day"),
    "an optional moment that is none": ("known", "soon", Reason.InvalidTimestamp, "must be a timestamp"),
    "a future event": ("at", "2024-05-01T12:05:05.000001Z", Reason.FutureEvent, "more than 5 minutes"),
}


@pytest.mark.parametrize(("field", "value", "reason", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_it_breaks_on(field: str, value: object, reason: Reason, message: str) -> None:
    batch = CONTRACT.read([but(), but(**{field: value}), but()])
    (broken,) = batch.broken
    assert (broken.row, broken.reason, broken.place) == (1, reason, field)
    assert message in broken.message
    assert batch.good.tolist() == [0, 2]
    assert columns(batch) == columns(CONTRACT.read([but(), but()]))


@pytest.mark.parametrize("row", [None, 5, "text", True, [1, 2], 1.5])
def test_what_is_no_object_is_broken_as_a_whole(row: object) -> None:
    batch = CONTRACT.read([row, but()])
    (broken,) = batch.broken
    assert (broken.row, broken.reason, broken.place) == (0, Reason.NotAnObject, "")
    assert batch.good.tolist() == [1]


def test_a_batch_of_nothing_and_one_of_nothing_good_have_empty_columns() -> None:
    for rows in ([], [None], [{}], [but(amount="x")]):
        batch = CONTRACT.read(rows)
        assert len(batch.broken) == len(rows)
        assert [len(column) for column in batch.columns.values()] == [0] * len(FIELDS)


def test_the_first_violation_in_the_order_of_fields_is_the_one_reported() -> None:
    (broken,) = CONTRACT.read([but(holder="far too long", count="5", amount=-1)]).broken
    assert (broken.place, broken.reason) == ("amount", Reason.OutOfRange)


def test_a_personal_value_is_not_shown() -> None:
    (broken,) = CONTRACT.read([but(holder="Ada Lovelace")]).broken
    assert broken.message == "has 12 characters, more than 8"


def test_a_long_or_unprintable_value_is_shown_cut_and_escaped() -> None:
    (broken,) = CONTRACT.read([but(country="\0\n" + "x" * 500)]).broken
    assert "\0" not in broken.message
    (broken,) = CONTRACT.read([but(country="\n" + "x" * 500)]).broken
    assert "\n" not in broken.message
    assert len(broken.message) < 150


class TestFutureEvents:
    """An event far ahead of the moment at which it became known would carry the watermark with it."""

    def test_five_minutes_are_tolerated(self) -> None:
        assert CONTRACT.read([but(at="2024-05-01T12:05:05Z")]).broken == ()

    def test_without_a_known_time_nothing_is_said(self) -> None:
        assert CONTRACT.read([but(at="2100-01-01T00:00:00Z", known=None)]).broken == ()

    def test_the_time_of_arrival_stands_in(self) -> None:
        later = but(at="2024-05-01T13:00:00Z", known="2024-05-01T13:00:00Z")
        rows = [but(at="2100-01-01T00:00:00Z", known=None), but(known=None), later]
        (broken,) = CONTRACT.read(rows, arrived=AT).broken
        assert (broken.row, broken.reason) == (0, Reason.FutureEvent)

    def test_the_time_of_arrival_stands_in_where_the_stream_has_no_known_time(self) -> None:
        contract = compile_contract(stream(knownAt=None))
        rows = [but(), but(at="2100-01-01T00:00:00Z")]
        assert [broken.row for broken in contract.read(rows, arrived=AT).broken] == [1]
        assert contract.read(rows).broken == ()

    def test_the_known_time_of_the_event_goes_before_that_of_arrival(self) -> None:
        assert CONTRACT.read([but()], arrived=0).broken == ()

    def test_an_event_that_is_broken_otherwise_says_so(self) -> None:
        (broken,) = CONTRACT.read([but(at="2100-01-01T00:00:00Z", holder=5)]).broken
        assert broken.reason is Reason.WrongType


class TestVersion:
    """The version names what a contract demands, and nothing else."""

    def test_is_a_digest(self) -> None:
        assert CONTRACT.version.startswith("sha256:")
        assert len(CONTRACT.version) == 71

    @pytest.mark.parametrize(
        "same",
        [
            stream(list(reversed(FIELDS))),
            stream([field | {"description": "told"} for field in FIELDS]),
            stream([field | {"minimum": "0.00"} if field["name"] == "amount" else field for field in FIELDS]),
            stream(source={"type": "HTTP", "maxInFlight": 5}),
        ],
        ids=["the order of fields", "descriptions", "zeros behind a limit", "the source"],
    )
    def test_does_not_change_with(self, same: EventStream) -> None:
        assert compile_contract(same).version == CONTRACT.version

    @pytest.mark.parametrize(
        "other",
        [
            stream([*FIELDS, {"name": "more", "type": "String"}]),
            stream([field | {"maximum": "5"} if field["name"] == "amount" else field for field in FIELDS]),
            stream([field | {"values": ["DE"]} if field["name"] == "country" else field for field in FIELDS]),
            stream(knownAt=None),
            stream(orderingKey="card"),
        ],
        ids=["a field", "a limit", "a value", "the known time", "the ordering key"],
    )
    def test_changes_with(self, other: EventStream) -> None:
        assert compile_contract(other).version != CONTRACT.version


def test_a_stream_identified_by_an_integer_is_refused() -> None:
    fields = [field | {"type": "Integer"} if field["name"] == "id" else field for field in FIELDS]
    with pytest.raises(InvalidContract, match="declare it as String"):
        compile_contract(stream(fields))


def test_the_example_is_read_whole() -> None:
    contract = compile_contract(EventStream.model_validate(yaml.safe_load(EXAMPLE.read_text())))
    assert (contract.id, contract.time, contract.known_at) == ("transaction_id", "occurred_at", "known_at")
    event = {"transaction_id": "t", "occurred_at": "2024-05-01T12:00:00Z", "amount": 1, "card_id": "c"}
    batch = contract.read([event | {"terminal_id": "x", "card_account": "a"}])
    assert batch.good.tolist() == [0]
    assert list(contract.types) == [field.name for field in contract.fields]


# One row at a time, by other means: what a value becomes, or None where it must be broken.

START, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)


def _decimal(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not all(c in "0123456789.-" for c in value):
        return None
    try:
        exact = Decimal(repr(value) if isinstance(value, float) else value) * 100
    except InvalidOperation:
        return None
    if exact != exact.to_integral_value() or not 0 <= exact <= 100_000_000:
        return None
    return int(exact)


def _expected(field: str, value: object) -> object:
    match field:
        case "amount":
            return _decimal(value)
        case "count":
            return value if type(value) is int and -5 <= value <= 100 else None
        case "ratio":
            return float(value) if type(value) in (int, float) and -0.5 <= value <= 2.5 else None
        case "online":
            return value if type(value) is bool else None
        case "country":
            return value if value in ("DE", "FR") and isinstance(value, str) else None
        case "at":
            try:
                moment = datetime.fromisoformat(value) if isinstance(value, str) else None
            except ValueError:
                return None
            if moment is None or moment.tzinfo is None or not START <= moment < END:
                return None
            return (moment - START) // timedelta(microseconds=1)
    raise AssertionError(field)


JUNK = st.sampled_from([None, True, False, 0, 1, -1, 10**19, 1e300, "", "x", "1", "DE", "NaN", [], {}, [1]])
AMOUNTS = (
    st.integers(-100, 200_000_000).map(lambda minor: minor / 100)
    | st.integers(-1, 2_000_000)
    | st.decimals(min_value=-1, max_value=1_000_001, places=3).map(float)
    | st.decimals(min_value=-1, max_value=1_000_001, places=2).map(str)
    | st.floats(allow_nan=False, allow_infinity=False)
)
MOMENTS = st.datetimes(min_value=datetime(1960, 1, 1), timezones=st.sampled_from([UTC, None]))  # noqa: DTZ001 (hypothesis adds the zone)
VALUES = {
    "amount": AMOUNTS | JUNK,
    "count": st.integers(-10, 110) | JUNK,
    "ratio": st.floats(-1, 3) | st.integers(-1, 3) | JUNK,
    "online": st.booleans() | JUNK,
    "country": st.sampled_from(["DE", "FR", "IT"]) | JUNK,
    "at": MOMENTS.map(lambda moment: moment.isoformat()) | JUNK,
}


@pytest.mark.parametrize("field", VALUES)
def test_values_become_what_reading_them_by_other_means_gives(field: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(values=st.lists(VALUES[field], max_size=8))
    def reads(values: list[object]) -> None:
        batch = CONTRACT.read([but(known=None, **{field: value}) for value in values])
        optional = field not in ("amount", "at")
        expected = [_expected(field, value) for value in values]
        held = [at for at, value in enumerate(values) if expected[at] is not None or (optional and value is None)]
        assert batch.good.tolist() == held
        assert plain(batch.columns[field]) == [expected[at] for at in held]

    reads()


EVENTS = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=3) | JUNK,
        "amount": VALUES["amount"],
        "at": VALUES["at"] | st.just(GOOD["at"]),
    },
    optional={"count": VALUES["count"], "known": st.just(GOOD["known"]) | JUNK, "country": VALUES["country"]},
)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(EVENTS | st.just(GOOD) | JUNK, max_size=8))
def test_an_event_is_read_as_if_it_were_alone(rows: list[object]) -> None:
    together = CONTRACT.read(rows)
    alone = [CONTRACT.read([row]) for row in rows]
    assert together.good.tolist() == [at for at, batch in enumerate(alone) if not batch.broken]
    assert [(each.row, each.reason, each.place, each.message) for each in together.broken] == [
        (at, each.reason, each.place, each.message) for at, batch in enumerate(alone) for each in batch.broken
    ]
    for name, column in together.columns.items():
        assert plain(column) == [value for batch in alone for value in plain(batch.columns[name])]
        assert column.missing is None or column.missing.any()


@given(minor=st.integers(-(10**15) + 1, 10**15 - 1), scale=st.integers(0, 12))
def test_a_json_number_below_its_limit_is_exact(minor: int, scale: int) -> None:
    fields = [{"name": "id", "type": "String"}, {"name": "at", "type": "Timestamp"}]
    fields.append({"name": "amount", "type": "Decimal", "scale": scale})  # type: ignore[dict-item]
    contract = compile_contract(stream(fields, knownAt=None))
    text = f"{Decimal(minor).scaleb(-scale):f}"
    event = {"id": "e", "at": GOOD["at"], "amount": orjson.loads(text)}
    assert contract.read([event]).columns["amount"].values.tolist() == [minor]
    assert contract.read([event | {"amount": text}]).columns["amount"].values.tolist() == [minor]


def test_a_whole_number_or_text_is_exact_up_to_64_bits() -> None:
    contract = compile_contract(stream([*FIELDS, {"name": "wide", "type": "Decimal", "scale": 1, "optional": True}]))
    assert value_of("wide", (2**63 - 1) // 10, contract) == (2**63 - 1) // 10 * 10
    assert value_of("wide", "922337203685477580.7", contract) == 2**63 - 1
    assert value_of("wide", "-922337203685477580.8", contract) == -(2**63)
    (broken,) = contract.read([but(wide="922337203685477580.8")]).broken
    assert broken.reason is Reason.OutOfRange
    (broken,) = contract.read([but(wide=2**63)]).broken
    assert broken.reason is Reason.OutOfRange


def test_numbers_that_are_not_finite_are_broken_though_json_has_none() -> None:
    for field in ("amount", "ratio"):
        for value in (math.nan, math.inf, -math.inf):
            (broken,) = CONTRACT.read([GOOD | {field: value}]).broken
            assert (broken.place, broken.reason) == (field, Reason.WrongType)


def test_half_a_surrogate_pair_is_broken_though_json_has_none() -> None:
    (broken,) = CONTRACT.read([GOOD | {"id": "\ud800"}]).broken
    assert broken.reason is Reason.PatternMismatch
    broken.message.encode()
