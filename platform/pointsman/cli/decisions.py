"""`pointsman decisions`: what was decided."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format
from pointsman.cli.pages import Graph, Limit, Output, Watch, page, part, tell

commands = typer.Typer(help="What was decided.", no_args_is_help=True)


@commands.command("list")
@of_the_api
def list_decisions(
    api: Api,
    graph: Graph = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome.")] = None,
    band: Annotated[str | None, typer.Option(help="Only this band.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """The newest decisions."""
    name = api.graph(graph)

    def once() -> None:
        found = api.get("/v1/decisions", graph=name, outcome=outcome, band=band, reason=reason, limit=limit)
        page(found["items"], ("decision", "id", "outcome", "band", "score", "reasons", "decided_at"), output)

    watch(once, forever=watching)


@commands.command("show")
@of_the_api
def show_decision(
    api: Api,
    decision: Annotated[str, typer.Argument(help="A decision's id or its first digits, or its event's id.")],
    output: Output = Format.TABLE,
) -> None:
    """Everything behind one decision."""
    from pointsman.cli.explaining import told

    tell(api.get(f"/v1/decisions/{part(decision)}"), output, told)
