"""`pointsman approvals`: actions that wait for people."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Graph, Limit, Output, Watch, page, part, tell

commands = typer.Typer(help="Actions that people have to approve before they are sent.", no_args_is_help=True)
Action = Annotated[str, typer.Argument(help="The action's id.")]
Digest = Annotated[str, typer.Option(help="The digest of what you have looked at: `pointsman approvals show ID`.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is recorded.")]


@commands.command("list")
@of_the_api
def list_approvals(
    api: Api, graph: Graph = None, limit: Limit = 20, watching: Watch = False, output: Output = Format.TABLE
) -> None:
    """What waits, the oldest first."""
    name = api.graph(graph)

    def once() -> None:
        found = api.get("/v1/approvals", graph=name, limit=limit)["items"]
        columns = ("action_id", "name", "target", "parameters", "proposer", "people", "expires_at")
        page(found, columns, output)

    watch(once, forever=watching)


@commands.command("show")
@of_the_api
def show_approval(api: Api, action: Action, output: Output = Format.TABLE) -> None:
    """What the action would do, who has asked for it, and what was said of it; `pointsman explain` tells of its decision."""
    tell(api.get(f"/v1/approvals/{part(action)}"), output, dict)


@commands.command("approve")
@of_the_api
def approve(api: Api, action: Action, reason: Reason, digest: Digest) -> None:
    """Let an action go that somebody else has asked for."""
    _say(api, action, {"approve": True, "reason": reason, "digest": digest})


@commands.command("deny")
@of_the_api
def deny(api: Api, action: Action, reason: Reason, digest: Digest) -> None:
    """Refuse an action: it is not sent."""
    _say(api, action, {"approve": False, "reason": reason, "digest": digest})


def _say(api: Api, action: str, body: dict[str, Any]) -> None:
    found = api.post(f"/v1/approvals/{part(action)}", body)
    agreed = sum(each["approved"] for each in found["said"])
    out().print(f"{found['state']}: {agreed} of {found['people']} have approved it", markup=False)
