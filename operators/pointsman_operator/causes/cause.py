"""A cause: the reason, and the words that tell a user what to do. They hold no time and no pod's name, so they last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.api.reasons import Reason

Raw = Mapping[str, Any]
"""An object of the API, as it is."""

LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something does not serve. `passes`: it may end by itself, so nobody needs to act yet.

    `container` is the name of the one that is to blame; empty where it is the pod, or what should have made it.
    """

    reason: Reason
    message: str
    passes: bool = False
    container: str = ""


def last_line(text: str) -> str:
    """The last line of a log that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shortened(lines[-1]) if lines else ""


def shortened(text: str) -> str:
    """One line of at most LONGEST characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def items(raw: Raw, *path: str) -> Sequence[Raw]:
    """The list at a path, empty where there is none."""
    found: Any = raw
    for each in path:
        found = found.get(each) if found else None
    return found or ()


def condition(raw: Raw, type_: str) -> Raw:
    """The condition of a type in the object's status, empty where there is none."""
    return next((each for each in items(raw, "status", "conditions") if each.get("type") == type_), {})
