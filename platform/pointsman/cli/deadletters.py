"""`pointsman deadletters`: what broke its contract; sent again, corrected or not, or set aside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Graph, Limit, Output, Watch, page, part, tell

commands = typer.Typer(help="What broke its contract.", no_args_is_help=True)


@commands.command("list")
@of_the_api
def list_dead_letters(
    api: Api,
    graph: Graph = None,
    state: Annotated[str, typer.Option(help="open, replayed or discarded.")] = "open",
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """The newest dead letters."""
    name = api.graph(graph)

    def once() -> None:
        found = api.get("/v1/deadletters", graph=name, state=state, reason=reason, limit=limit)
        page(found["items"], ("id", "event_id", "source", "offset", "reason", "place", "at", "message"), output)

    watch(once, forever=watching)


@commands.command("show")
@of_the_api
def show_dead_letter(
    api: Api, letter: Annotated[str, typer.Argument(help="Its id.")], output: Output = Format.TABLE
) -> None:
    """A dead letter with the event as it came in."""
    tell(api.get(f"/v1/deadletters/{part(letter)}"), output)


@commands.command("replay")
@of_the_api
def replay_dead_letter(
    api: Api,
    letter: Annotated[str, typer.Argument(help="Its id.")],
    event: Annotated[Path | None, typer.Option("--event", help="A JSON file with the event, corrected.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Send a dead letter again, as it is or corrected."""
    body: dict[str, object] = {}
    if event is not None:
        import orjson

        try:
            body["event"] = orjson.loads(event.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise Failure(f"not a JSON file: {event}: {error}", code=Exit.USAGE) from error
    tell(api.post(f"/v1/deadletters/{part(letter)}/replay", body), output)


@commands.command("discard")
@of_the_api
def discard_dead_letter(api: Api, letter: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Set a dead letter aside; it stays stored and counted."""
    out().print(api.post(f"/v1/deadletters/{part(letter)}/discard")["state"], markup=False)
