"""`pointsman policies`: who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api
from pointsman.cli.errors import Failure
from pointsman.cli.output import Format, out, show
from pointsman.cli.pages import Output

commands = typer.Typer(
    help="Who may do what, as Cedar policies. Yours take the place of the release's: locally policies.cedar in the state folder, "
    'on a cluster the key policies.cedar of the ConfigMap "pointsman-policies".',
    no_args_is_help=True,
)


@commands.command("show")
@of_the_api
def show_policies(
    api: Api,
    schema: Annotated[bool, typer.Option("--schema", help="Show what policies may speak of instead.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """The policies in force: a text to begin your own with."""
    found = api.get("/v1/policies")
    if output is not Format.TABLE:
        return show(found, output)
    typer.echo(found["schema" if schema else "policies"], nl=False)
    return None


@commands.command("check")
def check_policies(file: Annotated[Path, typer.Argument(help="A file with policies.", exists=True)]) -> None:
    """Whether they could be in force; nothing is changed."""
    from pointsman.governance.policies import PolicyRefused, policies_of

    try:
        policies_of(file.read_text())
    except PolicyRefused as error:
        raise Failure(
            f"{file}: {error}", hint="`pointsman policies show --schema`: what policies may speak of"
        ) from error
    out().print("they could be in force", markup=False)
