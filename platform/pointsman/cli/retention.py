"""`pointsman retention`: the days that the local decision store keeps, and dropping old ones."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer

from pointsman.cli.errors import Failure
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Output, page
from pointsman.cli.store import store

commands = typer.Typer(help="Days that the decision store keeps.", no_args_is_help=True)


@commands.command("show")
def show_days(output: Output = Format.TABLE) -> None:
    """What each day holds."""
    from pointsman.store.retention import days

    with store(owner=True) as connection:
        found = days(connection)
    rows = [{"day": str(each.day), "decisions": each.decisions, "megabytes": each.size // 10**6} for each in found]
    page(rows, ("day", "decisions", "megabytes"), output)


@commands.command("drop")
def drop_days(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The first day that is kept.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop all days before one, for good. Ids of decisions and the ledger's leaves stay."""
    from pointsman.store.retention import RetentionRefused, days, drop_before

    first: date = before.date()
    with store(owner=True) as connection:
        gone = [each for each in days(connection) if each.day < first]
        if not gone:
            out().print(f"nothing is kept from before {first}", markup=False)
            return
        if not yes:
            typer.confirm(f"drop {len(gone)} days, {gone[0].day} to {gone[-1].day}, for good?", abort=True)
        try:
            dropped = drop_before(connection, first)
        except RetentionRefused as error:
            raise Failure(str(error)) from error
    out().print(f"dropped {len(dropped)} days, {sum(each.size for each in dropped) // 10**6} MB", markup=False)
