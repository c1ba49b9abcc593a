"""`pointsman events send FILE`: sends a file of events to a graph, in order, and says what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out, show

events = typer.Typer(help="Events for a graph.", no_args_is_help=True)

READERS = {".json": "a list of events, or one", ".jsonl": "an event a line", ".ndjson": "an event a line",
           ".csv": "a heading, then an event a line", ".parquet": "needs polars: pip install 'pointsman[train]'"}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(events, name="events")


@events.callback()
def group() -> None:
    """Events for a graph."""


@events.command()
@of_the_api
def send(
    api: Api,
    file: Annotated[Path, typer.Argument(help="JSON, JSON lines, CSV or Parquet, by its ending.")],
    graph: Annotated[str | None, typer.Option("--graph", "-g", help="The graph, where there are several.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=5000, help="Events in one request.")] = 500,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
) -> None:
    """Send the events of a file; exit 1 where any of them went to the dead letters. Sending it again is safe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from pointsman.demo.streaming import StreamRefused
    from pointsman.demo.streaming import send as stream

    lines = list(_lines(file))
    name = api.graph(graph)
    door = api.door(name)
    url = f"{door.address}/v1/graphs/{name}/decisions"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True) as progress:
        task = progress.add_task(f"sending {file.name}", total=len(lines))
        try:
            sent = stream(
                url,
                lines,
                headers=door.headers,
                trust=door.trust,
                batch=batch,
                on_sent=lambda done: progress.advance(task, done),
            )
        except StreamRefused as error:
            raise Failure(f"the events were not taken: {error}", hint="those sent before are decided") from error
    counts: dict[str, Any] = {
        "received": sent.received,
        "decided": sent.decided,
        "duplicates": sent.duplicates,
        "deadLetters": sent.dead_letters,
    }
    if output is not Format.TABLE:
        show(counts, output)
    else:
        words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        out().print(f"{words} in {sent.seconds:.1f} s ({sent.rate:,.0f} a second)", markup=False)
    if sent.dead_letters:
        raise Failure(f"{sent.dead_letters:,} events broke the contract", hint="`pointsman deadletters list` says how")


def _lines(file: Path) -> Iterator[bytes]:
    """Every event of a file as a line of JSON. Raises Failure where the file cannot be read."""
    import orjson

    if file.suffix not in READERS:
        known = ", ".join(READERS)
        raise Failure(f'no way to read "{file.suffix}": {file}', hint=f"these are read: {known}", code=Exit.USAGE)
    try:
        if file.suffix in (".jsonl", ".ndjson"):
            yield from (line for line in file.read_bytes().splitlines() if line.strip())
        elif file.suffix == ".json":
            found = orjson.loads(file.read_bytes())
            yield from map(orjson.dumps, found if isinstance(found, list) else [found])
        elif file.suffix == ".csv":
            import csv

            with file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    yield orjson.dumps({name: value for name, value in row.items() if value != ""})
        else:
            import polars

            yield from map(orjson.dumps, polars.read_parquet(file).to_dicts())
    except (OSError, UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise Failure(f"it cannot be read: {file}: {error}", hint=READERS[file.suffix], code=Exit.USAGE) from error
    except ModuleNotFoundError as error:
        raise Failure(f"{error}: {file}", hint=READERS[file.suffix], code=Exit.USAGE) from error
