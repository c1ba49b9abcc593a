"""`pointsman test FOLDER`: the cases beside a graph's documents, run in this process in seconds, for one's own CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, out, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("test")(run)


def run(
    folder: Annotated[Path, typer.Argument(help="The folder with the documents; its cases lie in tests/*.yaml.")],
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
) -> None:
    """Run a graph's cases: events in, outcomes and reasons expected. Exit 1 where one fails."""
    from dataclasses import asdict

    from pointsman.api.documents import InvalidDocuments
    from pointsman.casebook import FOLDER, InvalidCase, run_cases
    from pointsman.graphs.compile import InvalidGraph
    from pointsman.library import CannotLoad
    from pointsman.models.artifact import ArtifactRefused

    try:
        verdicts = list(run_cases(folder))
    except (InvalidCase, InvalidDocuments, InvalidGraph, CannotLoad, ArtifactRefused) as error:
        raise Failure(str(error), hint="nothing was tested") from error
    if not verdicts:
        raise Failure(f"no case: {folder / FOLDER}/*.yaml", hint="`pointsman test --help`", code=Exit.NOT_FOUND)
    failed = [each for each in verdicts if each.differences]
    if output is not Format.TABLE:
        show([asdict(each) for each in verdicts], output)
    else:
        for each in verdicts:
            style = "red" if each.differences else "green"
            out().print(f"{each.result}  {each.case}  ({each.place})", style=style, markup=False)
            for difference in each.differences:
                out().print(f"        {difference}", markup=False)
    if failed:
        raise Failure(f"{len(failed)} of {len(verdicts)} cases failed")
    if output is Format.TABLE:
        out().print(f"{len(verdicts)} cases passed", markup=False)
