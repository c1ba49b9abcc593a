"""Waiting for a fact, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotSeen(AssertionError):
    """A fact that a test waited for did not come; the message holds what was seen last."""


def wait_for(what: str, fact: Callable[[], T | None], *, seconds: float = 30, every: float = 0.1) -> T:
    """The first result of `fact` that is true; `NotSeen` with the last one when time is up."""
    deadline = time.monotonic() + seconds
    while not (seen := fact()):
        if time.monotonic() > deadline:
            raise NotSeen(f"not in {seconds:g} s: {what}; last seen: {seen!r}")
        time.sleep(every)
    return seen
