"""Prints for people and for programs: tables, JSON, YAML. No colour when piped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@cache
def out() -> Console:
    """Standard output. Rich is imported when something is printed: `--help` needs none of it."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


STYLES = {"True": "green", "False": "red", "Unknown": "yellow"}


def show(value: Any, format_: Format) -> None:
    """Print a value as JSON or YAML on standard output."""
    if format_ is Format.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True))
    else:
        import orjson

        sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under upper-case headings, as kubectl does."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column.upper(), no_wrap=column.lower() != "message", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False, width=out().width if out().is_terminal else 400).print(made)


def tree(value: Any, indent: int = 0) -> None:
    """Print nested values as indented `key: value` lines."""
    from rich.text import Text

    pad = "  " * indent
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, (Mapping, list)) and each:
                out().print(Text(f"{pad}{key}:", style="bold"))
                tree(each, indent + 1)
            else:
                out().print(Text.assemble((f"{pad}{key}: ", "bold"), _word(each)))
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, (Mapping, list)):
                out().print(Text(f"{pad}-"))
                tree(each, indent + 1)
            else:
                out().print(Text(f"{pad}- {_word(each)}"))
    else:
        out().print(Text(f"{pad}{_word(value)}"))


def _word(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
