"""`pointsman bands`: what audited items say of each band, and letting a demoted one act again."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Graph, Output, Watch, page, part

commands = typer.Typer(help="Bands under watch: monitors, and re-arming.", no_args_is_help=True)


@commands.command("list")
@of_the_api
def list_bands(api: Api, graph: Graph = None, watching: Watch = False, output: Output = Format.TABLE) -> None:
    """What audited labels say of each band; a band whose evidence reaches 20 is demoted."""
    path = f"/v1/graphs/{part(api.graph(graph))}/monitors"

    def once() -> None:
        found = api.get(path)
        demoted = {(each["band"], each["segment"]): each["at"] for each in found["demoted"]}
        monitors = {(each["band"], each["segment"]): each for each in found["items"]}
        rows = [
            {
                "band": band,
                "segment": segment,
                **monitors.get((band, segment), {}),
                "demoted": demoted.get((band, segment)),
            }
            for band, segment in sorted({*demoted, *monitors}, key=str)
        ]
        page(rows, ("band", "segment", "labelled", "wrong", "promised", "evidence", "demoted"), output)

    watch(once, forever=watching)


@commands.command("rearm")
@of_the_api
def rearm_band(
    api: Api,
    band: Annotated[str, typer.Argument(help="The band.")],
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; it is recorded.")],
    graph: Graph = None,
    segment: Annotated[str | None, typer.Option(help="The segment, where one was demoted.")] = None,
) -> None:
    """Let a demoted band act again. Takes a certificate that somebody else has issued since."""
    body = {"comment": comment, "segment": segment}
    api.post(f"/v1/graphs/{part(api.graph(graph))}/bands/{part(band)}/rearm", body)
    out().print(f'band "{band}" is armed again', markup=False)
