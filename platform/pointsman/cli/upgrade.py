"""`pointsman upgrade preview`: what this release's operator would restart on a cluster."""

from __future__ import annotations

import typer

from pointsman.cli.objects import Output
from pointsman.cli.output import Format, out, show, table
from pointsman.cli.worlds import Context, Kubeconfig, Place, cluster

commands = typer.Typer(help="Before this release's operator replaces another.", no_args_is_help=True)


@commands.command()
def preview(output: Output = Format.TABLE, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """List the pods that installing this release (its operator and its manifests) would restart. Changes nothing.

    Pods restart where what is written now makes other pods than what is there, and where a serving runtime of the release
    differs from the cluster's. A revision that has not served yet is not looked at. Of graphs: hosts, the API, the dispatcher,
    and the Job that brings the store to this release.
    """
    found = cluster(Place(context=context, kubeconfig=kubeconfig)).restarts()
    if output is not Format.TABLE:
        return show({"items": found}, output)
    if not found:
        out().print("nothing restarts", markup=False)
        return None
    table(
        ["namespace", "object", "pod", "message"],
        [
            [each["namespace"], each["object"], pod, each["because"]]
            for each in found
            for pod in each["pods"] or ["(no pod now)"]
        ],
    )
    return None
