"""`pointsman lists`: block and allow lists, changed while everything runs."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Graph, Output, Watch, ahead, page, part

commands = typer.Typer(help="Block and allow lists; in effect within seconds.", no_args_is_help=True)


@commands.command("show")
@of_the_api
def show_lists(
    api: Api,
    name: Annotated[str | None, typer.Argument(help="Only this list.")] = None,
    graph: Graph = None,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """What stands in a graph's lists."""
    path = f"/v1/graphs/{part(api.graph(graph))}/lists"

    def once() -> None:
        found = api.get(path, name=name)["lists"]
        rows = [{"list": each["name"], "type": each["type"], **entry} for each in found for entry in each["entries"]]
        page(rows, ("list", "type", "value", "author", "expiresAt", "comment"), output)

    watch(once, forever=watching)


@commands.command("add")
@of_the_api
def add_to_list(
    api: Api,
    name: Annotated[str, typer.Argument(help="The list.")],
    value: Annotated[str, typer.Argument(help="The value.")],
    graph: Graph = None,
    expires: Annotated[str | None, typer.Option(help="After how long it counts no more, such as 24h.")] = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; it is recorded.")] = "",
) -> None:
    """Put a value in a list."""
    body = {"value": value, "comment": comment, "expiresAt": ahead(expires)}
    answer = api.post(f"/v1/graphs/{part(api.graph(graph))}/lists/{part(name)}", body)
    out().print("added" if answer["changed"] else "it stands there already", markup=False)


@commands.command("remove")
@of_the_api
def remove_from_list(
    api: Api,
    name: Annotated[str, typer.Argument(help="The list.")],
    value: Annotated[str, typer.Argument(help="The value.")],
    graph: Graph = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; it is recorded.")] = "",
) -> None:
    """Take a value out of a list."""
    api.delete(f"/v1/graphs/{part(api.graph(graph))}/lists/{part(name)}", value=value, comment=comment)
    out().print("removed", markup=False)
