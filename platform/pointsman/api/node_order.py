"""The names that a graph's inputs and expressions mention, and the order in which its nodes can be computed. Pure.

Used when a DecisionGraph is loaded, and by the compiler.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

EVENT = "event"
"""The name under which a graph reaches the fields of its event."""

CEL_KEYWORDS = frozenset({"true", "false", "null", "in"})
CEL_RESERVED = CEL_KEYWORDS | frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)

_STRING = re.compile(r"""[rRbB]{0,2}("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_MENTION = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)(?!\w)(?!\s*\()")


@dataclass(frozen=True, kw_only=True)
class Mention:
    """`owner.output`: a node's output, or a field of the event."""

    owner: str
    output: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.output}"


def mention(reference: str) -> Mention:
    """`node.output` taken apart."""
    owner, _, output = reference.partition(".")
    return Mention(owner=owner, output=output)


def mentions(expression: str) -> tuple[Mention, ...]:
    """Every `owner.output` in a CEL expression, in order, each once; what stands in string literals is no mention."""
    bare = _STRING.sub('""', expression)
    found = (Mention(owner=owner, output=output) for owner, output in _MENTION.findall(bare))
    return tuple(dict.fromkeys(found))


class CyclicNodes(ValueError):
    """Nodes that need each other; `names` is one cycle, in order, starting and ending with the same node."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("nodes need each other: " + " → ".join(names))
        self.names = names


def topological_order(needs: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The nodes so that each comes after all it needs; among those that could come next, the order of `needs` decides.

    Names that are no key of `needs` are ignored. Raises CyclicNodes.
    """
    waiting = {name: {other for other in others if other in needs} for name, others in needs.items()}
    ordered: list[str] = []
    while waiting:
        free = next((name for name, others in waiting.items() if not others), None)
        if free is None:
            raise CyclicNodes(_cycle(waiting))
        ordered.append(free)
        del waiting[free]
        for others in waiting.values():
            others.discard(free)
    return tuple(ordered)


def _cycle(waiting: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    walked = [next(iter(waiting))]
    while True:
        following = min(waiting[walked[-1]])
        if following in walked:
            return (*walked[walked.index(following) :], following)
        walked.append(following)
