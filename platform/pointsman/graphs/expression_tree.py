"""An expression as a tree: its parts, where they stand in the text, and why a text may be none. Pure values.

`expression_syntax` makes trees, `expressions` gives them a meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf

Kind = OneOf["int", "double", "bool", "string", "timestamp"]
"""CEL's types, as far as they are known here."""


class InvalidExpression(ValueError):
    """An expression that cannot be used: what is wrong, where (`position` counts characters from 0), what to do."""

    def __init__(self, text: str, position: int, message: str, hint: str = "") -> None:
        self.text, self.position, self.message, self.hint = text, position, message, hint
        start = max(0, position - 30)
        around = f"{'…' if start else ''}{text[start : position + 30]}{'…' if position + 30 < len(text) else ''}"
        super().__init__(f'{message}: at character {position + 1}: "{around}"' + (f"; {hint}" if hint else ""))


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of an expression: where it begins, and how many levels it has."""

    at: int
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Literal(Node):
    """A value that is written out."""

    kind: Kind
    value: int | float | bool | str


@dataclass(frozen=True, kw_only=True)
class Name(Node):
    """`event.field` or `node.output`."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Unary(Node):
    """`-x` or `!x`."""

    operator: str
    operand: Node


@dataclass(frozen=True, kw_only=True)
class Binary(Node):
    """Arithmetic, a comparison, `&&` or `||`; `at` is where the operator stands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, kw_only=True)
class Membership(Node):
    """`x in [1, 2, 3]`."""

    operand: Node
    items: tuple[Literal, ...]


@dataclass(frozen=True, kw_only=True)
class Conditional(Node):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, kw_only=True)
class Call(Node):
    """A function; what a method is called on is its first argument."""

    function: str
    arguments: tuple[Node, ...]


def names_in(node: Node) -> Iterator[Name]:
    """Every name in the tree, in the order of the text."""
    match node:
        case Name():
            yield node
        case Unary(operand=operand) | Membership(operand=operand):
            yield from names_in(operand)
        case Binary(left=left, right=right):
            yield from names_in(left)
            yield from names_in(right)
        case Conditional(condition=condition, then=then, otherwise=otherwise):
            for part in (condition, then, otherwise):
                yield from names_in(part)
        case Call(arguments=arguments):
            for argument in arguments:
                yield from names_in(argument)
