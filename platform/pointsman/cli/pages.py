"""What the commands that speak to the API share: options, pages as tables, and single things as trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, show, table, tree

Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Graph = Annotated[str | None, typer.Option("--graph", "-g", help="The graph; may be left out where there is one.")]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Show again every two seconds, until Ctrl-C.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="The most rows.")]


def page(items: Sequence[dict[str, Any]], columns: Sequence[str], output: Format) -> None:
    """Print items: these columns of them, or all as JSON or YAML."""
    if output is not Format.TABLE:
        return show(list(items), output)
    headings = [column.removesuffix("_id").removesuffix("_at").removesuffix("_key") for column in columns]
    return table(headings, [[_cell(each.get(column)) for column in columns] for each in items])


def tell(
    value: dict[str, Any], output: Format, order: Callable[[dict[str, Any]], dict[str, Any]] = lambda value: value
) -> None:
    """Print one thing as indented lines, in the order in which a reader asks, or as JSON or YAML."""
    if output is not Format.TABLE:
        return show(value, output)
    return tree(order(value))


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def part(text: str) -> str:
    """Text as one part of a path."""
    from urllib.parse import quote

    return quote(text, safe="")


def ahead(duration: str | None) -> str | None:
    """The moment that lies so far ahead. Raises Failure."""
    if duration is None:
        return None
    from datetime import timedelta

    return (datetime.now(UTC) + timedelta(seconds=seconds("--expires", duration))).isoformat()


def seconds(option: str, duration: str) -> int:
    """An option's duration, such as 24h, in whole seconds. Raises Failure."""
    from pointsman.api.values import Duration

    try:
        return round(Duration(duration).seconds)
    except ValueError as error:
        raise Failure(f"{option}: {error}", code=Exit.USAGE) from error
