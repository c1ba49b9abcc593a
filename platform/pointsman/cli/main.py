"""The entry point of `pointsman`. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from pointsman import __version__
from pointsman.cli import (
    approvals,
    bands,
    cases,
    certificates,
    certify,
    deadletters,
    decisions,
    demo,
    events,
    explaining,
    history,
    keys,
    labels,
    lifecycle,
    lists,
    objects,
    policies,
    retention,
    reviews,
    upgrade,
)
from pointsman.cli.errors import EXIT_CODES, Exit, Failure
from pointsman.cli.worlds import runs_as_plugin

app = typer.Typer(
    name="pointsman",
    help="Serve models, and turn their scores into decisions that people can trust.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

lifecycle.register(app)
objects.register(app)
explaining.register(app)
history.register(app)
for name, group in (
    ("decisions", decisions),
    ("reviews", reviews),
    ("approvals", approvals),
    ("deadletters", deadletters),
    ("lists", lists),
    ("certificates", certificates),
    ("labels", labels),
    ("bands", bands),
    ("keys", keys),
    ("policies", policies),
    ("retention", retention),
    ("upgrade", upgrade),
):
    app.add_typer(group.commands, name=name)
events.register(app)
cases.register(app)
certify.register(app)
demo.register(app)


@app.callback()
def settings(
    home: Annotated[
        str | None, typer.Option(help="The state folder.  [default: $POINTSMAN_HOME or ~/.pointsman]", metavar="DIR")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where a command fails.")] = False,
) -> None:
    """Options of every command."""
    if home is not None:
        os.environ["POINTSMAN_HOME"] = home
    if debug:
        os.environ["POINTSMAN_DEBUG"] = "1"


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"pointsman {__version__}")


def run() -> None:
    """Run a command; every failure is one line on standard error and a documented exit code."""
    from pointsman.cli.output import err

    try:
        app(prog_name="kubectl pointsman" if runs_as_plugin() else None)
    except Failure as failure:
        if os.environ.get("POINTSMAN_DEBUG"):
            raise
        err().print(f"error: {failure}", style="red", markup=False)
        if failure.hint:
            err().print(f"hint: {failure.hint}", markup=False)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except Exception as error:
        if os.environ.get("POINTSMAN_DEBUG"):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        err().print(f"error: {text}", style="red", markup=False)
        err().print("hint: this is not expected; --debug shows where it happened", markup=False)
        sys.exit(Exit.FAILED)
