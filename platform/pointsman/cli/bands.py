"""`pointsman bands`: what audited items and drifting inputs say of each band, and letting a demoted one act again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format, out, show
from pointsman.cli.pages import Graph, Output, Watch, page, part

commands = typer.Typer(help="Bands under watch: monitors, drift, and re-arming.", no_args_is_help=True)


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


@commands.command("drift")
@of_the_api
def drift(
    api: Api,
    graph: Graph = None,
    newest: Annotated[int, typer.Option(min=200, max=5000, help="How many of the newest decisions to look at.")] = 2000,
    everything: Annotated[bool, typer.Option("--all", help="Inputs that have not changed too.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Whether what the graph decides on has changed since its last certificate, and which certificates that puts in doubt."""
    found = api.get(f"/v1/graphs/{part(api.graph(graph))}/drift", newest=newest)
    if output is not Format.TABLE:
        return show(found, output)
    rows: list[dict[str, Any]] = [each for each in found["inputs"] if each["changed"] or everything]
    if rows:
        page(rows, ("name", "psi", "ks", "missingBefore", "missingNow", "changed"), output)
    changed = sum(each["changed"] for each in found["inputs"])
    out().print(
        f"{changed} of {len(found['inputs'])} inputs have changed: {found['now']} decisions beside {found['before']} before",
        markup=False,
    )
    for name, events in found["unknownFields"].items():
        out().print(f'the contract does not know the field "{name}", which {events} events have', markup=False)
    for each in found["inDoubt"]:
        segment = f" ({each['segment']})" if each["segment"] else ""
        out().print(f'in doubt: the certificate of band "{each["band"]}"{segment}', markup=False)
    return None


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
