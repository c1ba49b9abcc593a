"""`pointsman up`, `down`, `status` and `logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pointsman.cli.connection import open_home, supervisor
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out, show, table

if TYPE_CHECKING:
    from pointsman.local.home import Home


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(logs)


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop on Ctrl-C.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything applied is Ready.")] = 180,
) -> None:
    """Start the local runtime; return when all that is applied is Ready. Does nothing where it runs already."""
    from pointsman.local.up import up as start

    home = open_home()
    had_key = _first_key(home) is not None
    with err().status("starting", spinner="dots") as spinner:
        ready = start(home, foreground=foreground, timeout=timeout, on_change=lambda text: spinner.update(text))
    if foreground:
        return
    if not ready:
        raise Failure(
            f"it runs, but not everything was Ready within {timeout:.0f} s",
            hint="`pointsman get` says what waits, `pointsman explain KIND NAME` why",
            code=Exit.NOT_READY,
        )
    with supervisor() as client:
        addresses = {each["name"]: each["address"] for each in client.status()["components"]}
    out().print(f"pointsman is up: {home.root}", markup=False)
    out().print(f"decisions and everything else: {addresses.get('pointsman-gateway')}", markup=False)
    if not had_key:
        out().print(f"API key of role admin, shown this once: {_first_key(home)}", markup=False)
        out().print("the commands here find it by themselves; elsewhere set POINTSMAN_API_KEY", markup=False)


def _first_key(home: Home) -> str | None:
    from pointsman.local.secrets import FIRST_KEY, SecretStore

    return SecretStore(home.secrets).get(*FIRST_KEY)


def down() -> None:
    """Stop the local runtime and everything it started. Nothing that was recorded is lost."""
    from pointsman.local.up import down as stop

    home = open_home()
    with err().status("stopping", spinner="dots"):
        stopped = stop(home)
    out().print("stopped" if stopped else "nothing was running", markup=False)


def status(output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE) -> None:
    """Show the processes of the local runtime."""
    with supervisor() as client:
        state = client.status()
    if output is not Format.TABLE:
        return show(state, output)
    table(
        ["process", "state", "pid", "restarts", "address", "message"],
        [
            [str(each.get(key) if each.get(key) is not None else "-") for key in
             ("name", "state", "pid", "restarts", "address", "message")]
            for each in state["components"]
        ],
    )  # fmt: skip
    return None


def logs(
    process: Annotated[str | None, typer.Argument(help="The process, as `pointsman status` names it.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many of the last lines to begin with.")] = 50,
) -> None:
    """Print a process's log; without a name, list the logs there are."""
    home = open_home()
    files = {path.stem: path for path in sorted(home.logs.glob("*.log"))}
    if process is None:
        return table(["log", "bytes"], [[name, str(path.stat().st_size)] for name, path in files.items()])
    if process not in files:
        raise Failure(
            f'no process called "{process}" has a log: {home.logs}',
            hint=f"there are: {', '.join(files) or 'none'}",
            code=Exit.NOT_FOUND,
        )
    from pointsman.cli.tailing import tail

    for line in tail(files[process], lines=lines, follow=follow):
        typer.echo(line)
    return None
