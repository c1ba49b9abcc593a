"""How a command ends. One line says what went wrong, where, and what to do; `--debug` shows the traceback."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, as `pointsman --help` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NOT_FOUND = 4
    NOT_READY = 5


EXIT_CODES = (
    "Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 nothing is running · 4 not found · "
    "5 not ready in time"
)


class Failure(Exception):
    """Ends a command with a message, a hint and an exit code."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.hint, self.code = hint, code
