"""`pointsman keys`: API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.api import Api, of_the_api
from pointsman.cli.output import Format, out, show
from pointsman.cli.pages import Output, ahead, page, part, seconds

commands = typer.Typer(help="API keys.", no_args_is_help=True)


@commands.command("list")
@of_the_api
def list_keys(api: Api, output: Output = Format.TABLE) -> None:
    """All keys; their text is not kept."""
    columns = ("key_id", "name", "subject", "role", "created_at", "expires_at", "revoked_at")
    page(api.get("/v1/keys")["items"], columns, output)


@commands.command("create")
@of_the_api
def create_key(
    api: Api,
    name: Annotated[str, typer.Argument(help="The key's name.")],
    role: Annotated[str, typer.Option(help="viewer, service, reviewer, operator, auditor or admin.")],
    subject: Annotated[
        str | None, typer.Option(help="Who holds it: a person is one, whatever keys they hold.  [default: NAME]")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="After how long it opens nothing, such as 720h.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key; it is shown this once."""
    made = api.post("/v1/keys", {"name": name, "subject": subject, "role": role, "expiresAt": ahead(expires)})
    if output is not Format.TABLE:
        return show(made, output)
    out().print(made["key"], markup=False)
    return None


@commands.command("rotate")
@of_the_api
def rotate_key(
    api: Api,
    name: Annotated[str, typer.Argument(help="The name of a valid key.")],
    overlap: Annotated[str, typer.Option(help="How long the key before it opens yet, such as 24h.")] = "24h",
    output: Output = Format.TABLE,
) -> None:
    """Make a key's successor; it is shown this once. At most two keys of a name open anything."""
    made = api.post(f"/v1/keys/{part(name)}/rotate", {"overlapSeconds": seconds("--overlap", overlap)})
    if output is not Format.TABLE:
        return show(made, output)
    out().print(made["key"], markup=False)
    return None


@commands.command("revoke")
@of_the_api
def revoke_key(api: Api, key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]) -> None:
    """End a key; it opens nothing from two seconds later on."""
    api.delete(f"/v1/keys/{part(key_id)}")
    out().print("revoked", markup=False)
