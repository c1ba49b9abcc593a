"""What one part of a reconcile comes to: the processes that it wants, and what the objects' statuses are to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from pointsman.local.objects import Key
from pointsman.local.processes import Observed, ProcessSpec, State, last_lines
from pointsman.planning import Told

FAILURES_TO_FAIL = 2
"""A process that ended so often in a row is failing: someone must look. Once may be chance, and it comes back."""
WORDS = 300


@dataclass(frozen=True, kw_only=True)
class Part:
    """Processes by name, statuses by (kind, name)."""

    processes: Mapping[str, ProcessSpec]
    told: Mapping[Key, Told]


def is_failing(process: Observed) -> bool:
    """Whether it ends again and again. One that is Ready now is not."""
    return process.state is State.FAILED or (process.failures >= FAILURES_TO_FAIL and process.state is not State.READY)


def cause_of(process: Observed, logs: Path) -> str:
    """How it ended last, and what its log says last; empty where it has not ended yet."""
    if process.last_exit is None:
        return ""
    lines = [line for line in last_lines(logs, process.name, 20) if line.strip()]
    return f"{process.last_exit}: {_words(lines[-1])}" if lines else process.last_exit


def _words(line: str) -> str:
    """A line of a log without what changes from one time to the next, so that a message stays the same."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.strip()[:WORDS]
    if not isinstance(entry, dict):
        return line.strip()[:WORDS]
    told = [str(entry[key]) for key in ("event", "error", "exception", "message") if entry.get(key)]
    return ": ".join(told)[:WORDS] or line.strip()[:WORDS]
