"""A cause: the reason, and the words that tell a user what to do. They hold no time and no pod's name, so they last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.api.reasons import Reason

Raw = Mapping[str, Any]
"""An object of the API, as it is."""

LONGEST = 300
_MOMENT = re.compile(
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?\]?:?\s*"
    r"|^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ "
)
"""As most logs write it, and as Kubernetes' own programs do"""


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
    """The last line of a log that says something, shortened, and without the moment: the next crash says the same."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shortened(_MOMENT.sub("", _worded(lines[-1]))) if lines else ""


def _worded(line: str) -> str:
    """What a line of a structured log says happened, and why; any other line as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    said = [record.get("event") or record.get("message") or record.get("msg"), record.get("error")]
    return ": ".join(str(each) for each in said if each) or line


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
