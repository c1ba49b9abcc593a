"""`pointsman history`: which version of a model served from when to when, and when its alias moved."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.errors import Exit, Failure
from pointsman.cli.objects import Output
from pointsman.cli.output import Format, out, show, table
from pointsman.cli.worlds import Context, Kubeconfig, Namespace, Place, object_of, world

COLUMNS = {
    "version": "version",
    "revision": "revision",
    "proposed": "proposedAt",
    "served from": "servedFrom",
    "until": "servedUntil",
    "failed for": "failedFor",
    "model": "uri",
}
"""Heading → field of an entry"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(history)


def history(
    what: Annotated[str, typer.Argument(help="modeldeployment/NAME")],
    name: Annotated[str | None, typer.Argument(help="The name, where only the kind stands before.")] = None,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show when which version was proposed (its alias moved to it), and which served from when to when, the newest first.

    Whose ModelDeployment it is (the local runtime's, a cluster's) is decided as for `pointsman explain`.
    """
    found = object_of(what, name)
    if found is None or found[0] != "ModelDeployment":
        raise Failure(f'"{what}" has no history', hint="pointsman history modeldeployment/NAME", code=Exit.USAGE)
    with world(Place(context=context, namespace=namespace, kubeconfig=kubeconfig)) as asked:
        status = asked.get(*found).get("status", {})
    from pointsman.deployments.versions import versions

    entries = versions(status)
    if output is not Format.TABLE:
        return show({"items": entries}, output)
    if not entries:
        out().print(f"{found[0]}/{found[1]} has served nothing yet: pointsman explain says why", markup=False)
        return None
    table([*COLUMNS], [[_cell(entry, field) for field in COLUMNS.values()] for entry in entries])
    return None


def _cell(entry: dict[str, Any], field: str) -> str:
    if field == "servedUntil" and "servedFrom" in entry:
        return str(entry[field] or "now")
    return str(entry.get(field) or "-")
