"""Expressions: what they mean, over columns as over one row at a time, and how those that are wrong are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.api.node_order import mentions
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.graphs.expressions import MAX_DEPTH, MAX_LENGTH, InvalidExpression, compile_expression, names

TYPES = {
    "event.amount": ColumnType(type=FieldType.DECIMAL, scale=2),
    "event.card": ColumnType(type=FieldType.STRING),
    "event.country": ColumnType(type=FieldType.STRING),
    "event.at": ColumnType(type=FieldType.TIMESTAMP),
    "event.online": ColumnType(type=FieldType.BOOLEAN),
    "card.count": ColumnType(type=FieldType.INTEGER),
    "card.limit": ColumnType(type=FieldType.INTEGER),
    "boosted.score": ColumnType(type=FieldType.DOUBLE),
    "plain.score": ColumnType(type=FieldType.DOUBLE),
}
DTYPES = {FieldType.STRING: object, FieldType.BOOLEAN: np.bool_, FieldType.DOUBLE: np.float64}
BLANK = {FieldType.STRING: "", FieldType.BOOLEAN: False}
EVENT = {
    "event.amount": 1250,
    "event.card": "card-7",
    "event.country": "FR",
    "event.at": 1_700_000_000_000_000,
    "event.online": True,
    "card.count": 7,
    "card.limit": 2,
    "boosted.score": 0.75,
    "plain.score": 0.5,
}
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def columns(rows: list[dict[str, object]]) -> dict[str, Column]:
    """Rows as columns; None is a missing value."""
    found = {}
    for name, type_ in TYPES.items():
        values = [row[name] for row in rows]
        missing = np.array([value is None for value in values], dtype=np.bool_)
        blank = BLANK.get(type_.type, 0)
        filled = np.array([blank if value is None else value for value in values], dtype=DTYPES.get(type_.type, "i8"))
        found[name] = Column(type=type_, values=filled, missing=missing if missing.any() else None)
    return found


def plain(column: Column) -> list[object]:
    """A column's values, None where missing."""
    missing = column.missing if column.missing is not None else np.zeros(len(column), dtype=np.bool_)
    return [None if gone else value for value, gone in zip(column.values.tolist(), missing.tolist(), strict=True)]


def value_of(text: str, **changed: object) -> object:
    """What an expression gives for one event; `event_amount=None` takes a value away."""
    row = EVENT | {name.replace("_", ".", 1): value for name, value in changed.items()}
    (value,) = plain(compile_expression(text, TYPES).evaluate(columns([row])))
    return value


MEANINGS = {
    "an int is an int": ("5", 5),
    "an int may be hexadecimal": ("0x1f", 31),
    "a double has a point": ("2.5", 2.5),
    "a double may begin with its point": (".5", 0.5),
    "a double may have an exponent": ("1e3", 1000.0),
    "a string may have either quote": ("'a' == \"a\"", True),
    "escapes stand for characters": (r'"\u00e9\x41\n" == "éA' + r'\n"', True),
    "a quote is escaped by a backslash": (r'size("\"") == 1', True),
    "a comment is no part": ("1 + // one\n 2", 3),
    "a decimal is in natural units": ("event.amount", 12.5),
    "a decimal equals its own literal": ("event.amount == 12.50", True),
    "products come before sums": ("1 + 2 * 3", 7),
    "brackets come first": ("(1 + 2) * 3", 9),
    "differences group to the left": ("10 - 3 - 2", 5),
    "quotients group to the left": ("100 / 10 / 5", 2),
    "a minus may follow an operator": ("3 - -2", 5),
    "a minus may stand before a name": ("-card.count", -7),
    "the lowest int can be written": ("-9223372036854775808 == -9223372036854775807 - 1", True),
    "ints divide toward zero": ("-7 / 2", -3),
    "ints divide toward zero on either side": ("7 / -2", -3),
    "a remainder has the sign of the left side": ("-7 % 2", -1),
    "a remainder ignores the sign of the right side": ("7 % -2", 1),
    "doubles divide": ("7.0 / 2.0", 3.5),
    "and binds tighter than or": ("true || false && false", True),
    "a comparison binds tighter than and": ("1 < 2 && 2 < 3", True),
    "not binds tightest": ("!false && true", True),
    "conditionals group to the right": ("false ? 1 : true ? 2 : 3", 2),
    "a condition may join others": ("card.count > 5 && event.amount > 10.0 ? 1.0 : 0.0", 1.0),
    "in finds a string": ('event.country in ["DE", "FR"]', True),
    "in does not find another": ('event.country in ["DE"]', False),
    "in takes negative numbers": ("-card.count in [-7, 3]", True),
    "in takes long lists": ("card.count in [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]", False),
    "in takes a comma at the end": ("card.count in [7,]", True),
    "size counts characters, not bytes": ('size("é€😀")', 3),
    "size is a method too": ("event.card.size()", 6),
    "a text starts with another": ('event.card.startsWith("card-")', True),
    "a text ends with another": ('event.card.endsWith("-8")', False),
    "a text contains another": ('event.card.contains(event.country) || event.card.contains("rd")', True),
    "strings are ordered by character": ('"Z" < "a"', True),
    "an int becomes a double": ("double(card.count) / 2.0", 3.5),
    "a double is cut to an int": ("int(-2.9)", -2),
    "a timestamp becomes seconds": ("int(event.at)", 1_700_000_000),
    "timestamps compare": ('event.at > timestamp("2023-11-14T22:13:19Z")', True),
    "the least of several": ("math.least(3, card.count, 5)", 3),
    "the greatest of several": ("math.greatest(event.amount, 20.0, boosted.score)", 20.0),
    "spaces do not matter": (" event . amount>1.0 ", True),
}


@pytest.mark.parametrize(("text", "expected"), MEANINGS.values(), ids=MEANINGS.keys())
def test_an_expression_means(text: str, expected: object) -> None:
    value = value_of(text)
    assert value == expected
    assert type(value) is type(expected)


MISSING = {
    "an int divided by zero": ("card.count / 0", {}),
    "a remainder by zero": ("card.count % 0", {}),
    "a double divided by zero": ("boosted.score / 0.0", {}),
    "zero divided by zero": ("0.0 / 0.0", {}),
    "a sum beyond 64 bits": ("card.count + 9223372036854775807", {}),
    "a difference beyond 64 bits": ("-9223372036854775808 - card.count", {}),
    "a product beyond 64 bits": ("9223372036854775807 * card.count", {}),
    "the lowest int times -1": ("-9223372036854775808 * -1", {}),
    "the lowest int divided by -1": ("-9223372036854775808 / -1", {}),
    "the lowest int turned around": ("-(-9223372036854775808)", {}),
    "a double beyond all doubles": ("boosted.score * 1e308 * 10.0", {}),
    "what became infinite on the way": ("1.0 / (boosted.score * 1e308 * 10.0)", {}),
    "a comparison with what became infinite": ("boosted.score * 1e308 * 10.0 > 0.0", {}),
    "an int from too large a double": ("int(1e19)", {}),
    "an int from too low a double": ("int(-1e19)", {}),
    "a name without a value": ("event.amount", {"event_amount": None}),
    "arithmetic on it": ("event.amount * 0.0", {"event_amount": None}),
    "a comparison with it": ("event.amount == event.amount", {"event_amount": None}),
    "a string comparison with it": ('event.country == ""', {"event_country": None}),
    "not of it": ("!event.online", {"event_online": None}),
    "in of it": ('event.country in [""]', {"event_country": None}),
    "the size of it": ("size(event.card)", {"event_card": None}),
    "its double": ("double(card.count)", {"card_count": None}),
    "the least of it and others": ("math.least(card.count, 1)", {"card_count": None}),
    "true and it": ("true && event.online", {"event_online": None}),
    "it or false": ("event.online || false", {"event_online": None}),
    "a conditional on it": ("event.online ? 1 : 1", {"event_online": None}),
    "the branch that is chosen": ("event.online ? event.amount : 1.0", {"event_amount": None}),
    "a score that is not a number": ("boosted.score", {"boosted_score": math.nan}),
    "a comparison with what is not a number": ("boosted.score != 0.5", {"boosted_score": math.nan}),
}


@pytest.mark.parametrize(("text", "changed"), MISSING.values(), ids=MISSING.keys())
def test_it_is_missing(text: str, changed: dict[str, object]) -> None:
    assert value_of(text, **changed) is None


THERE = {
    "false && missing is false": ("false && event.online", {"event_online": None}, False),
    "missing && false is false": ("event.online && false", {"event_online": None}, False),
    "true || missing is true": ("true || event.online", {"event_online": None}, True),
    "missing || true is true": ("event.online || true", {"event_online": None}, True),
    "a branch that is not chosen does not matter": ("event.online ? 1.0 : event.amount", {"event_amount": None}, 1.0),
    "a guard keeps zero from dividing": ("card.limit != 0 && 10 / card.limit > 1", {"card_limit": 0}, False),
    "has is false without a value": ("has(event.amount)", {"event_amount": None}, False),
    "has is true with a value": ("has(event.amount)", {}, True),
    "has is false of what is not a number": ("has(boosted.score)", {"boosted_score": math.inf}, False),
    "a default stands in": ("has(event.amount) ? event.amount : -1.0", {"event_amount": None}, -1.0),
}


@pytest.mark.parametrize(("text", "changed", "expected"), THERE.values(), ids=THERE.keys())
def test_a_missing_value_is_not_passed_on_where(text: str, changed: dict[str, object], expected: object) -> None:
    assert value_of(text, **changed) == expected


def test_one_row_without_a_value_leaves_its_neighbours_alone() -> None:
    rows = [EVENT | {"card.limit": divisor} for divisor in (2, 0, -2, None)]
    assert plain(compile_expression("card.count / card.limit", TYPES).evaluate(columns(rows))) == [3, None, -3, None]


def test_an_expression_without_names_has_a_value_for_every_row() -> None:
    column = compile_expression("1.0 / 4.0", TYPES).evaluate(columns([EVENT] * 3))
    assert plain(column) == [0.25] * 3
    assert column.missing is None


def test_no_rows_give_no_values() -> None:
    for text in ("event.amount > 1.0", '"a".contains(event.card)', "card.count in [1, 2]", "0.5", "1 / 0"):
        assert len(compile_expression(text, TYPES).evaluate(columns([]))) == 0


def test_every_decimal_equals_its_own_literal() -> None:
    rows = [EVENT | {"event.amount": minor} for minor in range(300)]
    natural = plain(compile_expression("event.amount", TYPES).evaluate(columns(rows)))
    assert natural == [float(f"{minor // 100}.{minor % 100:02}") for minor in range(300)]


def test_a_decimal_expression_is_a_double() -> None:
    assert compile_expression("event.amount", TYPES).type == ColumnType(type=FieldType.DOUBLE)


def test_a_batch_gives_what_its_rows_give_alone() -> None:
    score = compile_expression("0.9 * boosted.score + 0.1 * plain.score", TYPES)
    rows = [EVENT | {"boosted.score": i / 7, "plain.score": i / 13} for i in range(50)]
    alone = [plain(score.evaluate(columns([row])))[0] for row in rows]
    assert plain(score.evaluate(columns(rows))) == alone


REFUSED = {
    "an unknown name": ("event.amout > 1.0", 0, 'did you mean "event.amount"?'),
    "an unknown function": ("size(event.card) > sice(event.card)", 19, 'did you mean "size"?'),
    "matches, which is not in the subset": ('event.card.matches("a+")', 11, "no regular expressions"),
    "Python's min": ("min(1, 2)", 0, "math.least"),
    "an int literal with a double": ("event.amount > 5000", 13, 'write "5000.0"'),
    "an int column with a double": ("card.count * 0.5", 11, 'write "double(card.count)"'),
    "a remainder of doubles": ("1.0 % 2.0", 4, ""),
    "a sum of strings": ("event.card + event.card", 11, ""),
    "and of a number": ("true && card.count", 8, "compare first"),
    "not of a number": ("!card.count", 0, ""),
    "minus of a string": ("-event.card", 0, ""),
    "a condition that is no bool": ("card.count ? 1 : 2", 11, ""),
    "branches of two types": ("event.online ? 1 : 2.0", 13, 'write "1.0"'),
    "a list of another type": ("event.amount in [1, 2]", 17, 'write "1.0"'),
    "a list of names": ("card.count in [card.limit]", 15, "compare with =="),
    "an empty list": ("card.count in []", 14, ""),
    "timestamps in a list": ('event.at in ["a"]', 9, "compare with =="),
    "has of what is no name": ("has(1)", 0, "such as has(event.amount)"),
    "a timestamp that is none": ('timestamp("2023-02-30T00:00:00Z")', 10, ""),
    "a timestamp from a column": ("timestamp(event.card)", 10, "timestamp("),
    "too few arguments": ("math.least(1)", 0, "math.least(a, b"),
    "a bare name": ("amount > 1.0", 0, "names are event.field"),
    "a name of three parts": ("event.card.holder == ''", 11, "names have two parts"),
    "one equals sign": ("card.count = 1", 11, 'compare with "=="'),
    "the word and": ("event.online and true", 13, '"and" is "&&"'),
    "the word not": ("not event.online", 0, '"not" is "!"'),
    "Python's True": ("event.online == True", 16, 'write "true"'),
    "null": ("event.card == null", 14, "has("),
    "a reserved word": ("if.x == 1", 0, "reserved"),
    "one ampersand": ("event.online & true", 13, '"and" is "&&"'),
    "an open bracket": ("(1 + 2", 6, '")" is expected'),
    "a superfluous bracket": ("1 + 2)", 5, ""),
    "an open string": ('event.card == "a', 14, "close it"),
    "an unknown escape": (r'event.card == "\q"', 14, "backslash"),
    "half a surrogate pair": (r'event.card == "\ud800"', 14, "backslash"),
    "a suffix": ("card.count > 5u", 13, "no suffixes"),
    "an int beyond 64 bits": ("9223372036854775808", 0, "double"),
    "a double beyond all doubles": ("1e400", 0, ""),
    "an index": ("event.card[0]", 10, ""),
    "nothing": ("  ", 2, "a value is expected"),
    "an operator at the end": ("1 +", 3, "a value is expected"),
    "a conditional inside another without brackets": ("true ? true ? 1 : 2 : 3", 12, '":" is expected'),
    "half a conditional": ("event.online ? 1", 16, '":" is expected'),
    "a comma at the end of arguments": ("math.least(1, 2,)", 16, "another argument"),
    "Python's power": ("2.0 ** 2.0", 5, "a value is expected"),
}


@pytest.mark.parametrize(("text", "position", "hint"), REFUSED.values(), ids=REFUSED.keys())
def test_it_refuses(text: str, position: int, hint: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(text, TYPES)
    assert refused.value.position == position
    assert hint in refused.value.hint
    assert f"at character {position + 1}" in str(refused.value)


def test_an_expression_that_is_too_long_is_refused() -> None:
    compile_expression("1 +" + " " * (MAX_LENGTH - 4) + "1", TYPES)
    with pytest.raises(InvalidExpression, match="longer than"):
        compile_expression("1 +" + " " * (MAX_LENGTH - 3) + "1", TYPES)


@pytest.mark.parametrize("shape", ["({})", "-({})", "math.least({}, 1)", "true ? 1 : {}", "1 + {}", "{} + 1"])
def test_an_expression_that_is_too_deep_is_refused_and_does_no_harm(shape: str) -> None:
    def nested(levels: int) -> str:
        text = "1"
        for _ in range(levels):
            text = shape.replace("{}", text)
        return text

    compile_expression(nested(MAX_DEPTH // 4), TYPES).evaluate(columns([EVENT]))
    with pytest.raises(InvalidExpression, match="levels deep"):
        compile_expression(nested(MAX_DEPTH + 1), TYPES)


def test_names_are_listed_once_each_in_order_without_types() -> None:
    text = 'b.x > 1.0 && event.y in ["a.b"] ? has(b.x) : math.least(c.z, d.w) > size(event.y)'
    assert names(text) == ("b.x", "event.y", "c.z", "d.w")


# A second evaluator, one row at a time in plain Python, and expressions made at random with it.

Row = dict[str, object]


@dataclass(frozen=True)
class Made:
    """An expression's text, its type, and what it gives for a row (None where it is missing)."""

    text: str
    kind: str
    value: Callable[[Row], object]


def _number(value: object) -> object:
    """An int that fits, or a double that is finite, else nothing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | str) or INT_MIN <= value <= INT_MAX else None


def _apply(operation: Callable[..., object], *parts: object) -> object:
    if any(part is None for part in parts):
        return None
    try:
        return _number(operation(*parts))
    except ZeroDivisionError:
        return None


def _divide(a: object, b: object) -> object:
    if isinstance(a, float):
        return a / b
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int | None:
    return a - b * _divide(a, b) if _number(_divide(a, b)) is not None else 2**64


ARITHMETIC = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": _divide}
RELATIONS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
KINDS = {
    FieldType.STRING: "string",
    FieldType.INTEGER: "int",
    FieldType.DECIMAL: "double",
    FieldType.DOUBLE: "double",
    FieldType.BOOLEAN: "bool",
}


def _named(name: str, type_: ColumnType) -> Made:
    def value(row: Row) -> object:
        stored = row[name]
        if stored is not None and type_.type is FieldType.DECIMAL:
            return stored / 10**type_.scale
        return None if stored is None else _number(stored)

    return Made(name, KINDS[type_.type], value)


def _has(name: Made) -> Made:
    return Made(f"has({name.text})", "bool", lambda row: name.value(row) is not None)


def _binary(operator: str, left: Made, right: Made) -> Made:
    text = f"({left.text} {operator} {right.text})"
    if operator in RELATIONS:
        return Made(text, "bool", lambda row: _apply(RELATIONS[operator], left.value(row), right.value(row)))
    if operator == "%":
        return Made(text, "int", lambda row: _apply(_remainder, left.value(row), right.value(row)))
    return Made(text, left.kind, lambda row: _apply(ARITHMETIC[operator], left.value(row), right.value(row)))


def _logical(operator: str, left: Made, right: Made) -> Made:
    decisive = operator == "||"

    def value(row: Row) -> object:
        sides = (left.value(row), right.value(row))
        if decisive in sides:
            return decisive
        return None if None in sides else not decisive

    return Made(f"({left.text} {operator} {right.text})", "bool", value)


def _conditional(condition: Made, then: Made, otherwise: Made) -> Made:
    def value(row: Row) -> object:
        chosen = condition.value(row)
        return None if chosen is None else (then if chosen else otherwise).value(row)

    return Made(f"({condition.text} ? {then.text} : {otherwise.text})", then.kind, value)


def _unary(shape: str, kind: str, operation: Callable[[object], object], part: Made) -> Made:
    return Made(shape.replace("{}", part.text), kind, lambda row: _apply(operation, part.value(row)))


def _membership(part: Made, items: list[object]) -> Made:
    shown = ", ".join(f'"{item}"' if isinstance(item, str) else repr(item) for item in items)
    return Made(
        f"({part.text} in [{shown}])", "bool", lambda row: _apply(lambda value: value in items, part.value(row))
    )


INTS = st.one_of(
    st.integers(-9, 9), st.integers(INT_MIN, INT_MAX), st.sampled_from([INT_MIN, INT_MAX, 2**32, -(2**32)])
)
DOUBLES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e308, -1e308, 1e-308, 9.3e18, -9.3e18]),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.text(alphabet="abé😀", max_size=4)
NAMED = {
    kind: [_named(name, type_) for name, type_ in TYPES.items() if KINDS.get(type_.type) == kind]
    for kind in ("int", "double", "bool", "string")
}
LITERALS = {
    "int": INTS.map(lambda value: Made(str(value), "int", lambda row: value)),
    "double": DOUBLES.map(lambda value: Made(repr(value), "double", lambda row: value)),
    "bool": st.booleans().map(lambda value: Made(str(value).lower(), "bool", lambda row: value)),
    "string": TEXTS.map(lambda value: Made(f'"{value}"', "string", lambda row: value)),
}
ITEMS = {"int": INTS, "double": DOUBLES, "string": TEXTS}


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int = 3) -> Made:
    """An expression of a type, at most so deep."""

    def sub(of: str) -> Made:
        return draw(expressions(of, depth - 1))

    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.one_of(st.sampled_from(NAMED[kind]), LITERALS[kind]))
    ways = {
        "string": ["conditional"],
        "bool": ["relation", "relation", "logic", "logic", "not", "in", "has", "text", "conditional"],
        "int": ["arithmetic", "arithmetic", "remainder", "minus", "size", "int", "least", "conditional"],
        "double": ["arithmetic", "arithmetic", "arithmetic", "minus", "double", "greatest", "conditional"],
    }
    match draw(st.sampled_from(ways[kind])):
        case "conditional":
            return _conditional(sub("bool"), sub(kind), sub(kind))
        case "relation":
            of = draw(st.sampled_from(["int", "double", "double", "string", "bool"]))
            return _binary(draw(st.sampled_from(list(RELATIONS))), sub(of), sub(of))
        case "logic":
            return _logical(draw(st.sampled_from(["&&", "||"])), sub("bool"), sub("bool"))
        case "not":
            return _unary("!({})", "bool", lambda value: not value, sub("bool"))
        case "in":
            of = draw(st.sampled_from(list(ITEMS)))
            return _membership(sub(of), draw(st.lists(ITEMS[of], min_size=1, max_size=12)))
        case "has":
            return _has(draw(st.sampled_from([name for kind in NAMED.values() for name in kind])))
        case "text":
            test = draw(st.sampled_from(["startsWith", "endsWith", "contains"]))
            left, right = sub("string"), sub("string")
            asked = {"startsWith": str.startswith, "endsWith": str.endswith, "contains": str.__contains__}[test]
            text = f"({left.text}).{test}({right.text})"
            return Made(text, "bool", lambda row: _apply(asked, left.value(row), right.value(row)))
        case "arithmetic":
            return _binary(draw(st.sampled_from(list(ARITHMETIC))), sub(kind), sub(kind))
        case "remainder":
            return _binary("%", sub("int"), sub("int"))
        case "minus":
            return _unary("-({})", kind, lambda value: -value, sub(kind))
        case "size":
            return _unary("size({})", "int", len, sub("string"))
        case "int":
            return _unary("int({})", "int", int, sub("double"))
        case "double":
            return _unary("double({})", "double", float, sub("int"))
        case "least":
            left, right = sub("int"), sub("int")
            text = f"math.least({left.text}, {right.text})"
            return Made(text, "int", lambda row: _apply(min, left.value(row), right.value(row)))
        case "greatest":
            left, right = sub("double"), sub("double")
            text = f"math.greatest({left.text}, {right.text})"
            return Made(text, "double", lambda row: _apply(max, left.value(row), right.value(row)))
    raise AssertionError("unknown way")


ROWS = st.fixed_dictionaries(
    {
        "event.amount": st.none() | st.integers(-(10**12), 10**12),
        "event.card": st.none() | TEXTS,
        "event.country": st.none() | TEXTS,
        "event.at": st.just(0),
        "event.online": st.none() | st.booleans(),
        "card.count": st.none() | INTS,
        "card.limit": INTS,
        "boosted.score": st.none() | DOUBLES | st.sampled_from([math.nan, math.inf]),
        "plain.score": DOUBLES,
    }
)
ANY = st.sampled_from(["int", "double", "bool", "string"]).flatmap(expressions)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(made=ANY, rows=st.lists(ROWS, min_size=0, max_size=5))
def test_columns_give_what_an_evaluator_of_single_rows_gives(made: Made, rows: list[Row]) -> None:
    assert plain(compile_expression(made.text, TYPES).evaluate(columns(rows))) == [made.value(row) for row in rows]


@settings(max_examples=30, deadline=None)
@given(made=ANY)
def test_the_names_are_those_by_which_a_document_orders_its_nodes(made: Made) -> None:
    assert names(made.text) == tuple(map(str, mentions(made.text)))


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="event.card.count+-*/%<>=!&|?:()[],\"'\\ 019x.andot", max_size=40) | st.text(max_size=30))
def test_any_text_is_compiled_or_refused_by_name(text: str) -> None:
    position = 0
    try:
        compile_expression(text, TYPES)
    except InvalidExpression as error:
        position = error.position
    assert 0 <= position <= len(text)
