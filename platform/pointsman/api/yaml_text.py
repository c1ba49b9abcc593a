"""YAML text to plain values, with the line of each. Only what JSON could say: no objects, no tags, no surprises.

Built from the parser's events with a stack of our own, so that depth, size and aliases are bounded while reading and a
hostile file costs no more than a friendly one. Used by `documents`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

MAX_BYTES = 1 << 20
"""The largest text that is read: 1 MiB."""
MAX_DOCUMENTS = 500
"""The most documents in one text."""
MAX_DEPTH = 40
"""The deepest nesting in one document."""
MAX_VALUES = 50_000
"""The most values in one document, each use of an alias counted with all that it stands for."""

_TRUE = frozenset(["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"])
_FALSE = frozenset(["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"])
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNCLEAR = re.compile(r"[-+]?(0[0-9_]+|0[xXoObB][0-9a-fA-F_]+|[1-9][0-9]*_[0-9_]*)")
_TAGS = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:map": dict,
    "tag:yaml.org,2002:seq": list,
}

_LOADER: type[yaml.CSafeLoader] | type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


@dataclass(kw_only=True)
class Located:
    """A value and the line on which it is written, counted from 1; a mapping's lines are those of its keys."""

    line: int
    value: str | int | float | bool | list[Located] | dict[str, Located] | None = None
    size: int = 1
    key_lines: dict[str, int] = field(default_factory=dict)

    def plain(self) -> Plain:
        """The value without lines. What an alias stands for is copied, never shared."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of the value at `path`, or of the nearest thing above it that is there."""
        here, line = self, self.line
        for step in path:
            if isinstance(here.value, dict) and isinstance(step, str) and step in here.value:
                line = here.key_lines.get(step, line)
                here = here.value[step]
            elif isinstance(here.value, list) and isinstance(step, int) and 0 <= step < len(here.value):
                here = here.value[step]
                line = here.line
            else:
                break
        return line


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a text, or one document of it, is not read."""

    line: int | None
    message: str
    hint: str | None = None


class _Stop(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


@dataclass(kw_only=True)
class _Open:
    """A mapping or sequence that is being read."""

    node: Located
    anchor: str | None
    key: str | None = None
    key_line: int = 0
    skipping: bool = False
    merging: bool = False
    merged: list[Located] = field(default_factory=list)


def read(text: str) -> Iterator[Located | Refusal]:
    """Each document that is not empty, and a refusal for each thing that is wrong; bad syntax ends the reading."""
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        yield Refusal(line=None, message=f"larger than {MAX_BYTES >> 10} KiB", hint="split it into several files")
        return
    reader = _Reader()
    count = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                count += 1
                if count > MAX_DOCUMENTS:
                    raise _Stop(Refusal(line=_line(event), message=f"more than {MAX_DOCUMENTS} documents"))
                reader = _Reader()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield from reader.refusals
                if reader.root is not None and reader.root.value is not None:
                    yield reader.root
            else:
                reader.take(event)
    except UnicodeError:
        yield Refusal(line=None, message="not Unicode text")
    except yaml.YAMLError as error:
        yield from reader.refusals
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        yield Refusal(line=mark.line + 1 if mark else None, message=f"not YAML: {problem}")
    except _Stop as stop:
        yield from reader.refusals
        yield stop.refusal


class _Reader:
    """One document, event by event."""

    def __init__(self) -> None:
        self.root: Located | None = None
        self.refusals: list[Refusal] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Located] = {}
        self._unfinished: set[str] = set()
        self._values = 0

    def take(self, event: yaml.Event) -> None:
        line = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._start(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event.tag, dict if is_mapping else list, line)
        if self._expects_key():
            raise _Stop(Refusal(line=line, message="a key must be text, not a list or a mapping"))
        if len(self._open) >= MAX_DEPTH:
            raise _Stop(Refusal(line=line, message=f"nested deeper than {MAX_DEPTH}"))
        self._count(1, line)
        if event.anchor is not None:
            self._unfinished.add(event.anchor)
        self._open.append(_Open(node=Located(line=line, value={} if is_mapping else []), anchor=event.anchor))

    def _end(self) -> None:
        closed = self._open.pop()
        for other in closed.merged:
            _merge(closed.node, other)
        if closed.anchor is not None:
            self._unfinished.discard(closed.anchor)
            self._anchors[closed.anchor] = closed.node
        self._place(closed.node)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self._check_tag(event.tag, str, line)
        plain = event.implicit[0] and event.tag is None
        if self._expects_key():
            self._key(event.value, line, self._resolve(event.value, line) if plain else event.value)
            self._open[-1].merging = plain and event.value == "<<"
            return
        self._count(1, line)
        node = Located(line=line, value=self._resolve(event.value, line) if plain else event.value)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._place(node)

    def _alias(self, anchor: str, line: int) -> None:
        if self._expects_key():
            raise _Stop(Refusal(line=line, message="a key must be text, not an alias"))
        if anchor in self._unfinished:
            raise _Stop(Refusal(line=line, message=f'the alias "*{anchor}" refers to a block that contains it'))
        if anchor not in self._anchors:
            raise _Stop(Refusal(line=line, message=f'no anchor "&{anchor}" stands before the alias "*{anchor}"'))
        node = self._anchors[anchor]
        self._count(node.size, line)
        if len(self._open) + _depth(node) > MAX_DEPTH:
            raise _Stop(Refusal(line=line, message=f"nested deeper than {MAX_DEPTH}"))
        self._place(node)

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node.value, dict) and self._open[-1].key is None

    def _key(self, text: str, line: int, resolved: object) -> None:
        if not isinstance(resolved, str):
            message = f"a key must be text, not {text or 'nothing'}"
            self.refusals.append(Refusal(line=line, message=message, hint="put it in quotes"))
        within = self._open[-1]
        within.key, within.key_line = text, line
        within.skipping = isinstance(within.node.value, dict) and text in within.node.value
        if within.skipping:
            first = within.node.key_lines[text]
            self.refusals.append(Refusal(line=line, message=f'the key "{text}" is already on line {first}'))

    def _place(self, node: Located) -> None:
        if not self._open:
            self.root = node
            return
        within = self._open[-1]
        within.node.size += node.size
        if isinstance(within.node.value, list):
            within.node.value.append(node)
        elif isinstance(within.node.value, dict) and within.key is not None:
            if within.merging:
                within.merged += self._mappings(node)
            elif not within.skipping:
                within.node.value[within.key] = node
                within.node.key_lines[within.key] = within.key_line
            within.key, within.merging = None, False

    def _mappings(self, node: Located) -> list[Located]:
        """What a merge key may be given: a mapping, or a list of them."""
        given = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(item.value, dict) for item in given):
            raise _Stop(Refusal(line=node.line, message='"<<" takes a mapping, or a list of mappings'))
        return given

    def _count(self, more: int, line: int) -> None:
        self._values += more
        if self._values > MAX_VALUES:
            raise _Stop(Refusal(line=line, message=f"more than {MAX_VALUES} values in one document, aliases counted"))

    def _check_tag(self, tag: str | None, kind: type, line: int) -> None:
        if tag is not None and tag != "!" and _TAGS.get(tag) is not kind:
            shown = tag.removeprefix("tag:yaml.org,2002:")
            raise _Stop(Refusal(line=line, message=f'tags are not read: "{shown}"', hint="remove the tag"))

    def _resolve(self, text: str, line: int) -> str | int | float | bool | None:
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        if text in _NULL:
            return None
        if _INTEGER.fullmatch(text):
            if len(text) <= 20 and -(2**63) <= int(text) < 2**63:
                return int(text)
            self.refusals.append(Refusal(line=line, message="a number with too many digits", hint="put it in quotes"))
        elif _UNCLEAR.fullmatch(text):
            hint = "put it in quotes, or write it in plain decimal digits"
            self.refusals.append(Refusal(line=line, message=f"not clear which number this is: {text}", hint=hint))
        elif _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text


def _merge(into: Located, other: Located) -> None:
    """Add the keys that are not there yet; what is written out wins over what is merged."""
    if isinstance(into.value, dict) and isinstance(other.value, dict):
        for key, item in other.value.items():
            if key not in into.value:
                into.value[key] = item
                into.key_lines[key] = other.key_lines[key]


def _depth(node: Located) -> int:
    if isinstance(node.value, dict):
        return 1 + max((_depth(item) for item in node.value.values()), default=0)
    if isinstance(node.value, list):
        return 1 + max((_depth(item) for item in node.value), default=0)
    return 0


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
