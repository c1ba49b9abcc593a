"""Expressions of a graph: a subset of CEL, checked when a graph is applied, run over columns when it decides.

`compile_graph` compiles `score` and rules here. The subset:

- literals: int `5` `0x1f`, double `5.0` `1e3`, string `"a"` `'a'`, `true`, `false`; comments from `//`;
- names: `event.field` and `node.output`, nothing else;
- `+ - * /` on two doubles or two ints, `%` on ints, `-x`; `== != < <= > >=` on two values of one type; `&& || !`;
  `condition ? then : otherwise` with branches of one type; `x in [literals]`;
- `size(text)`, `text.startsWith(text)`, `text.endsWith(text)`, `text.contains(text)`, `double(int)`, `int(double)`,
  `int(timestamp)` (seconds), `timestamp("2026-01-31T12:00:00Z")`, `math.least(a, b, …)`, `math.greatest(a, b, …)`,
  `has(name)`. There is no `matches`: its regular expressions do not run over columns.

As in CEL, int and double never mix (write `double(x)`), and ints divide toward zero. A Decimal counts as a double in
natural units. What is an error in CEL is a missing value here, for that row alone: division by zero, an int beyond 64
bits, whatever has a missing operand; so is a double that is not finite. Three things do not pass it on:
`false && missing` is false, `true || missing` is true, and a conditional looks only at the branch that it chooses.
`has(x)` says whether x is there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pointsman.columns import Column, ColumnType, FieldType
from pointsman.graphs import expression_operators as run
from pointsman.graphs.expression_operators import Operand
from pointsman.graphs.expression_syntax import MAX_DEPTH, MAX_LENGTH, parse
from pointsman.graphs.expression_tree import (
    Binary,
    Call,
    Conditional,
    InvalidExpression,
    Kind,
    Literal,
    Membership,
    Name,
    Node,
    Unary,
    names_in,
)
from pointsman.graphs.timestamps import InvalidTimestamp, microseconds

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "Expression", "InvalidExpression", "compile_expression", "names"]

Program = Callable[[Sequence[Operand]], Operand]
"""What is run for a batch: the columns that the expression names, in its order, to its values."""

_KIND: dict[FieldType, Kind] = {
    FieldType.STRING: "string",
    FieldType.INTEGER: "int",
    FieldType.DECIMAL: "double",
    FieldType.DOUBLE: "double",
    FieldType.BOOLEAN: "bool",
    FieldType.TIMESTAMP: "timestamp",
}
_FIELD: dict[Kind, FieldType] = {
    "string": FieldType.STRING,
    "int": FieldType.INTEGER,
    "double": FieldType.DOUBLE,
    "bool": FieldType.BOOLEAN,
    "timestamp": FieldType.TIMESTAMP,
}
_DTYPE: dict[Kind, type] = {"string": object, "int": np.int64, "double": np.float64, "bool": np.bool_}
_DTYPE["timestamp"] = np.int64

_DOUBLES = {"+": run.add, "-": run.subtract, "*": run.multiply, "/": run.divide}
_HAND_ON = (run.add, run.subtract, run.multiply, run.negate)
"""What keeps a double that is not finite so, whatever the other side is."""
_INTS = {
    "+": run.add_int,
    "-": run.subtract_int,
    "*": run.multiply_int,
    "/": run.divide_int,
    "%": run.remainder_int,
}
_COMPARISONS = {
    "==": run.comparison(np.equal),
    "!=": run.comparison(np.not_equal),
    "<": run.comparison(np.less),
    "<=": run.comparison(np.less_equal),
    ">": run.comparison(np.greater),
    ">=": run.comparison(np.greater_equal),
}
_LOGIC = {"&&": run.conjunction, "||": run.disjunction}
_TEXT_TESTS = {"startsWith": run.starts_with, "endsWith": run.ends_with, "contains": run.contains}
_EXTREMES = {"math.least": run.least, "math.greatest": run.greatest}
_FUNCTIONS = ("double", "has", "int", "size", "timestamp", *_TEXT_TESTS, *_EXTREMES)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A compiled expression: the type of its values, and the names that it needs, each once, in order."""

    text: str
    type: ColumnType
    names: tuple[str, ...]
    _program: Program = field(repr=False)

    def evaluate(self, columns: Mapping[str, Column]) -> Column:
        """Its value for every row; `columns` holds at least `names`, of the types that it was compiled with.

        An expression without names has as many rows as the first of `columns`.
        """
        with np.errstate(all="ignore"):
            values, missing = self._program([run.load(columns[name]) for name in self.names])
        rows = len(columns[self.names[0]]) if self.names else len(next(iter(columns.values())))
        if len(values) != rows:
            values = np.broadcast_to(values, rows).copy()
        if missing is not None:
            missing = np.broadcast_to(missing, rows).copy() if len(missing) != rows else missing
            missing = missing if missing.any() else None
        return Column(type=self.type, values=values, missing=missing)


def names(text: str) -> tuple[str, ...]:
    """The names that an expression mentions, each once, in order. Raises InvalidExpression where it cannot be read."""
    return tuple(dict.fromkeys(name.text for name in names_in(parse(text))))


def compile_expression(text: str, types: Mapping[str, ColumnType]) -> Expression:
    """Check an expression against the names that there are, and make it runnable. Raises InvalidExpression."""
    tree = parse(text)
    used = tuple(dict.fromkeys(name.text for name in names_in(tree)))
    compiled = _Compiler(text, types, used).compile(tree)
    type_ = ColumnType(type=_FIELD[compiled.kind])
    return Expression(text=text, type=type_, names=used, _program=_settled(compiled))


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    """A part with its type; `settled` is whether its doubles are known to be finite where they are not missing."""

    kind: Kind
    program: Program
    node: Node
    settled: bool = True


def _settled(part: _Compiled) -> Program:
    if part.settled:
        return part.program
    program = part.program
    return lambda columns: run.finite(program(columns))


class _Compiler:
    def __init__(self, text: str, types: Mapping[str, ColumnType], used: Sequence[str]) -> None:
        self._text, self._types = text, types
        self._slots = {name: slot for slot, name in enumerate(used)}

    def compile(self, node: Node) -> _Compiled:
        match node:
            case Literal():
                return self._constant(node, node.kind, node.value)
            case Name():
                return self._name(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Membership():
                return self._membership(node)
            case Conditional():
                return self._conditional(node)
            case Call():
                return self._call(node)
        raise TypeError(f"no meaning for {node}")

    def _error(self, at: int, message: str, hint: str = "") -> InvalidExpression:
        return InvalidExpression(self._text, at, message, hint)

    def _constant(self, node: Node, kind: Kind, value: object) -> _Compiled:
        operand: Operand = (np.array([value], dtype=_DTYPE[kind]), None)
        return _Compiled(kind=kind, program=lambda _: operand, node=node)

    def _name(self, node: Name) -> _Compiled:
        if node.text not in self._types:
            raise self._error(node.at, f'nothing is called "{node.text}"', self._nearest(node.text, self._types))
        slot, field_type = self._slots[node.text], self._types[node.text].type
        settled = field_type is not FieldType.DOUBLE
        return _Compiled(kind=_KIND[field_type], program=lambda columns: columns[slot], node=node, settled=settled)

    def _nearest(self, name: str, known: Mapping[str, object] | Sequence[str]) -> str:
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            return f'did you mean "{close[0]}"?'
        several = sorted(known)
        return f"known: {', '.join(several[:12])}{', …' if len(several) > 12 else ''}" if several else ""

    def _applied(self, kind: Kind, node: Node, operator: Callable[..., Operand], *operands: _Compiled) -> _Compiled:
        hands_on = operator in _HAND_ON
        program: Program
        match [operand.program if hands_on else _settled(operand) for operand in operands]:
            case [only]:
                program = lambda columns: operator(only(columns))  # noqa: E731
            case [left, right]:
                program = lambda columns: operator(left(columns), right(columns))  # noqa: E731
            case programs:
                program = lambda columns: operator(*[each(columns) for each in programs])  # noqa: E731
        return _Compiled(kind=kind, program=program, node=node, settled=not hands_on)

    def _unary(self, node: Unary) -> _Compiled:
        operand = self.compile(node.operand)
        if node.operator == "!":
            if operand.kind != "bool":
                raise self._error(node.at, f'"!" takes a bool, not {operand.kind}')
            return self._applied("bool", node, run.negation, operand)
        if operand.kind not in ("int", "double"):
            raise self._error(node.at, f'"-" takes a number, not {operand.kind}')
        return self._applied(operand.kind, node, run.negate if operand.kind == "double" else run.negate_int, operand)

    def _binary(self, node: Binary) -> _Compiled:
        left, right, sign = self.compile(node.left), self.compile(node.right), node.operator
        if sign in _LOGIC:
            for side in (left, right):
                if side.kind != "bool":
                    raise self._error(side.node.at, f'"{sign}" joins bools, and this is {side.kind}', "compare first")
            return self._applied("bool", node, _LOGIC[sign], left, right)
        if left.kind != right.kind:
            message = f'"{sign}" needs two values of one type, not {left.kind} and {right.kind}'
            raise self._error(node.at, message, self._conversion(left, right))
        if sign in _COMPARISONS:
            return self._applied("bool", node, _COMPARISONS[sign], left, right)
        if left.kind == "int":
            return self._applied("int", node, _INTS[sign], left, right)
        if left.kind == "double" and sign in _DOUBLES:
            return self._applied("double", node, _DOUBLES[sign], left, right)
        takes = "ints" if sign == "%" else "numbers"
        raise self._error(node.at, f'"{sign}" takes {takes}, not {left.kind}')

    def _conversion(self, left: _Compiled, right: _Compiled) -> str:
        """How to make an int and a double meet, as one would write it."""
        if {left.kind, right.kind} != {"int", "double"}:
            return ""
        whole = left.node if left.kind == "int" else right.node
        if isinstance(whole, Literal):
            return f'write "{whole.value}.0"'
        return f'write "double({whole.text if isinstance(whole, Name) else "…"})"'

    def _membership(self, node: Membership) -> _Compiled:
        operand = self.compile(node.operand)
        if operand.kind == "timestamp":
            raise self._error(node.at, '"in" does not take timestamps', "compare with ==")
        for item in node.items:
            if item.kind != operand.kind:
                message = f"the list holds {item.kind}, and what is looked up is {operand.kind}"
                item_ = self._constant(item, item.kind, item.value)
                raise self._error(item.at, message, self._conversion(operand, item_))
        operator = run.membership(tuple(item.value for item in node.items), operand.kind == "string")
        return self._applied("bool", node, operator, operand)

    def _conditional(self, node: Conditional) -> _Compiled:
        condition, then, otherwise = map(self.compile, (node.condition, node.then, node.otherwise))
        if condition.kind != "bool":
            raise self._error(node.at, f'what stands before "?" is a bool, and this is {condition.kind}')
        if then.kind != otherwise.kind:
            message = f"both branches have one type, not {then.kind} and {otherwise.kind}"
            raise self._error(node.at, message, self._conversion(then, otherwise))
        return self._applied(then.kind, node, run.conditional, condition, then, otherwise)

    def _call(self, node: Call) -> _Compiled:
        name = node.function
        if name not in _FUNCTIONS:
            hint = _INSTEAD.get(name) or self._nearest(name, _FUNCTIONS)
            raise self._error(node.at, f'no function is called "{name}"', hint)
        if name == "has":
            return self._has(node)
        given = [self.compile(argument) for argument in node.arguments]
        kinds = [each.kind for each in given]
        if name in _TEXT_TESTS and kinds == ["string", "string"]:
            return self._applied("bool", node, _TEXT_TESTS[name], *given)
        if name in _EXTREMES and len(given) > 1 and (kinds == ["int"] * len(kinds) or set(kinds) == {"double"}):
            result = given[0]
            for each in given[1:]:
                result = self._applied(result.kind, node, _EXTREMES[name], result, each)
            return result
        match name, kinds:
            case "size", ["string"]:
                return self._applied("int", node, run.size, given[0])
            case "double", ["int"]:
                return self._applied("double", node, run.to_double, given[0])
            case "int", ["double"]:
                return self._applied("int", node, run.to_int, given[0])
            case "int", ["timestamp"]:
                return self._applied("int", node, run.to_seconds, given[0])
            case ("int", ["int"]) | ("double", ["double"]):
                return given[0]
            case "timestamp", ["string"]:
                return self._timestamp(node)
        raise self._error(node.at, f'"{name}" does not take ({", ".join(kinds)})', _TAKES.get(name, ""))

    def _has(self, node: Call) -> _Compiled:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Name):
            raise self._error(node.at, '"has" takes one name', "such as has(event.amount)")
        return self._applied("bool", node, run.presence, self.compile(node.arguments[0]))

    def _timestamp(self, node: Call) -> _Compiled:
        (argument,) = node.arguments
        if not isinstance(argument, Literal):
            raise self._error(argument.at, '"timestamp" takes a text that is written out', _TAKES["timestamp"])
        try:
            return self._constant(node, "timestamp", microseconds(str(argument.value)))
        except InvalidTimestamp as error:
            raise self._error(argument.at, str(error)) from None


_INSTEAD = {
    "matches": "there are no regular expressions: use startsWith, endsWith or contains",
    "min": 'write "math.least"',
    "max": 'write "math.greatest"',
    "float": 'write "double"',
    "len": 'write "size"',
}
_TAKES = {
    "double": "double(int)",
    "int": "int(double) or int(timestamp)",
    "size": "size(string)",
    "timestamp": 'timestamp("2026-01-31T12:00:00Z")',
    **{name: f"string.{name}(string)" for name in _TEXT_TESTS},
    **{name: f"{name}(a, b, …) with all ints or all doubles" for name in _EXTREMES},
}
