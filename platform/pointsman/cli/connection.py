"""The connection from a command to the supervisor, with its failures in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pointsman.cli.errors import Exit, Failure

if TYPE_CHECKING:
    from pointsman.local.client import ControlClient
    from pointsman.local.home import Home


def open_home() -> Home:
    """The state folder that the options and the environment name."""
    from pointsman.local.home import Home

    return Home()


@contextmanager
def supervisor() -> Iterator[ControlClient]:
    """A client of the running supervisor. Raises Failure where nothing runs, or where it refuses."""
    from pointsman.local.client import ControlClient, ControlError, NotRunning

    home = open_home()
    try:
        yield ControlClient(home)
    except NotRunning as error:
        raise Failure(
            f"nothing is running: {home.root}", hint="start it with `pointsman up`", code=Exit.NOT_RUNNING
        ) from error
    except ControlError as error:
        code = Exit.NOT_FOUND if error.status == 404 else Exit.FAILED
        raise Failure(str(error), hint=error.hint, code=code) from error


def is_running() -> bool:
    """Whether a supervisor answers in the state folder."""
    from pointsman.local.client import ControlClient

    return ControlClient(open_home()).is_running()
