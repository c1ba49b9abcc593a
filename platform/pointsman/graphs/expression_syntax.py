"""The grammar of expressions: text to a tree, by a lexer and a Pratt parser of our own. Pure.

`pointsman.graphs.expressions` states the subset and gives the tree a meaning; nobody else comes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pointsman.api.node_order import CEL_RESERVED
from pointsman.graphs.expression_tree import (
    Binary,
    Call,
    Conditional,
    InvalidExpression,
    Literal,
    Membership,
    Name,
    Node,
    Unary,
)

MAX_LENGTH = 2048
"""Characters of an expression."""

MAX_DEPTH = 100
"""Levels of an expression's tree; each bracket, and each further term of a sum or a chain of conditions, is a level."""


def parse(text: str) -> Node:
    """The tree of an expression. Raises InvalidExpression."""
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(text, MAX_LENGTH, f"longer than {MAX_LENGTH} characters", "split it over several nodes")
    return _Parser(text).whole()


@dataclass(frozen=True, kw_only=True)
class _Token:
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""
      (?P<space> (?: [ \t\r\n\f]+ | //[^\n]* )+ )
    | (?P<double> (?: [0-9]*\.[0-9]+ (?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ ) (?![A-Za-z0-9_]) )
    | (?P<int> (?: 0x[0-9a-fA-F]+ | [0-9]+ ) (?![A-Za-z0-9_]) )
    | (?P<string> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<sign> && | \|\| | == | != | <= | >= | [-+*/%<>!?:(),.\[\]] )
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))")
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {c: c for c in "\\?\"'`"}
_SIGN_HINTS = {"=": 'compare with "=="', "&": '"and" is "&&"', "|": '"or" is "||"', "{": "maps are not in the subset"}
_WORD_HINTS = {
    "and": '"and" is "&&"',
    "or": '"or" is "||"',
    "not": '"not" is "!"',
    "True": 'write "true"',
    "False": 'write "false"',
    "None": "ask with has(…) whether a value is there",
    "null": "ask with has(…) whether a value is there",
}
_POWER = {"||": 2, "&&": 3} | dict.fromkeys(["==", "!=", "<", "<=", ">", ">=", "in"], 4)
_POWER |= {"+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "?": 1}
_OR, _UNARY = 2, 7
_INT_MAX = 2**63 - 1


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            shown = text[at]
            hint = _SIGN_HINTS.get(shown, "")
            if shown in "\"'":
                raise InvalidExpression(text, at, "a string is not closed", "close it with the same quote")
            if shown.isdigit():
                raise InvalidExpression(text, at, "not a number", "there are no suffixes: write 5 or 5.0")
            raise InvalidExpression(text, at, f'"{shown}" has no meaning here', hint)
        kind = str(found.lastgroup)
        if kind != "space":
            yield _Token(kind=kind, text=found.group(), at=at)
        at = found.end()
    yield _Token(kind="end", text="", at=len(text))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0
        self._nested = 0

    def whole(self) -> Node:
        node = self._expression(0)
        if self._here.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._here
        self._next += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._here.kind in ("sign", "word") and self._here.text in texts

    def _expect(self, text: str) -> _Token:
        if not self._is(text):
            raise self._unexpected(f'"{text}" is expected')
        return self._take()

    def _error(self, at: int, message: str, hint: str = "") -> InvalidExpression:
        return InvalidExpression(self._text, at, message, hint)

    def _unexpected(self, expected: str = "") -> InvalidExpression:
        token = self._here
        hint = _WORD_HINTS.get(token.text, expected)
        if token.kind == "end":
            return self._error(token.at, "the expression ends too early", expected)
        return self._error(token.at, f'"{token.text}" does not fit here', hint)

    def _level(self, at: int, *parts: Node) -> int:
        depth = 1 + max(part.depth for part in parts)
        if depth > MAX_DEPTH:
            raise self._error(at, f"more than {MAX_DEPTH} levels deep", "split it over several nodes")
        return depth

    def _expression(self, power: int) -> Node:
        """What binds at least as tightly as `power`."""
        self._nested += 1
        if self._nested > MAX_DEPTH:
            raise self._error(self._here.at, f"more than {MAX_DEPTH} levels deep", "split it over several nodes")
        left = self._operand()
        while self._here.kind in ("sign", "word") and _POWER.get(self._here.text, -1) >= max(power, 1):
            left = self._after(left)
        self._nested -= 1
        return left

    def _after(self, left: Node) -> Node:
        token = self._take()
        operator, at = token.text, token.at
        if operator == "?":
            then = self._expression(_OR)
            self._expect(":")
            otherwise = self._expression(0)
            depth = self._level(at, left, then, otherwise)
            return Conditional(at=at, depth=depth, condition=left, then=then, otherwise=otherwise)
        if operator == "in":
            return Membership(at=at, depth=self._level(at, left), operand=left, items=self._items())
        right = self._expression(_POWER[operator] + 1)
        return Binary(at=at, depth=self._level(at, left, right), operator=operator, left=left, right=right)

    def _items(self) -> tuple[Literal, ...]:
        opening = self._expect("[")
        items = list[Literal]()
        while not self._is("]"):
            at, item = self._here.at, self._expression(_UNARY)
            if not isinstance(item, Literal):
                raise self._error(at, "a list holds literals only", "compare with == and join with ||")
            items.append(item)
            if not self._is("]"):
                self._expect(",")
        self._take()
        if not items:
            raise self._error(opening.at, "the list is empty, so nothing is in it")
        return tuple(items)

    def _operand(self) -> Node:
        token = self._here
        if self._is("!"):
            self._take()
            operand = self._expression(_UNARY)
            return Unary(at=token.at, depth=self._level(token.at, operand), operator="!", operand=operand)
        if self._is("-"):
            return self._negative()
        if self._is("("):
            self._take()
            node = self._expression(0)
            self._expect(")")
        elif token.kind == "word":
            node = self._word()
        elif token.kind in ("int", "double", "string"):
            node = self._literal(self._take(), "")
        else:
            raise self._unexpected("a value is expected")
        while self._is("."):
            node = self._method(node)
        if self._is("["):
            raise self._error(self._here.at, "there are no lists to index into")
        return node

    def _negative(self) -> Node:
        minus = self._take()
        number = self._here
        if number.kind in ("int", "double"):
            literal = self._literal(self._take(), "-")
            if self._is("."):
                raise self._unexpected()
            return literal
        operand = self._expression(_UNARY)
        return Unary(at=minus.at, depth=self._level(minus.at, operand), operator="-", operand=operand)

    def _literal(self, token: _Token, sign: str) -> Literal:
        if token.kind == "string":
            return Literal(at=token.at, kind="string", value=self._unquoted(token))
        if token.kind == "double":
            value = float(sign + token.text)
            if value in (float("inf"), float("-inf")):
                raise self._error(token.at, "too large for a double")
            return Literal(at=token.at, kind="double", value=value)
        number = int(sign + token.text, 16 if token.text.startswith("0x") else 10)
        if not -_INT_MAX - 1 <= number <= _INT_MAX:
            raise self._error(token.at, "too large for an int of 64 bits", "write it as a double, with .0")
        return Literal(at=token.at, kind="int", value=number)

    def _unquoted(self, token: _Token) -> str:
        def character(found: re.Match[str]) -> str:
            *coded, short = found.groups()
            if short is None:
                number, base = next((code, 16 if i < 3 else 8) for i, code in enumerate(coded) if code is not None)
                point = int(number, base)
                if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
                    return chr(point)
            elif short in _SHORT:
                return _SHORT[short]
            raise self._error(token.at, f'"{found.group()}" is no escape', 'a backslash is written "\\\\"')

        return _ESCAPE.sub(character, token.text[1:-1])

    def _word(self) -> Node:
        token = self._take()
        if token.text in ("true", "false"):
            return Literal(at=token.at, kind="bool", value=token.text == "true")
        if token.text in CEL_RESERVED or token.text in _WORD_HINTS:
            self._next -= 1
            raise self._unexpected("the word is reserved")
        if self._is("("):
            return self._call(token.text, token.at, ())
        if not self._is("."):
            raise self._error(token.at, f'"{token.text}" is no name', "names are event.field and node.output")
        self._take()
        if self._here.kind != "word":
            raise self._unexpected("the name of a field or an output is expected")
        name = f"{token.text}.{self._take().text}"
        if self._is("("):
            return self._call(name, token.at, ())
        return Name(at=token.at, text=name)

    def _method(self, target: Node) -> Node:
        self._take()
        token = self._take()
        if token.kind != "word":
            self._next -= 1
            raise self._unexpected("a function is expected")
        if not self._is("("):
            raise self._error(token.at, f'".{token.text}": values have no members', "names have two parts")
        return self._call(token.text, token.at, (target,))

    def _call(self, function: str, at: int, before: tuple[Node, ...]) -> Node:
        self._expect("(")
        arguments = list(before)
        while not self._is(")"):
            arguments.append(self._expression(0))
            if self._is(")"):
                break
            self._expect(",")
            if self._is(")"):
                raise self._unexpected("another argument is expected")
        self._take()
        depth = self._level(at, *arguments) if arguments else 1
        return Call(at=at, depth=depth, function=function, arguments=tuple(arguments))
