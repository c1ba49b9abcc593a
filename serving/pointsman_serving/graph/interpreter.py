"""Settings of the process that hosts a graph."""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter from another: a commit's short steps wait behind the deciding of a batch."""
GARBAGE_THRESHOLD = 100_000
"""Objects between two looks for cycles: a batch makes ten thousands of objects, none of them in a cycle."""


def settle_interpreter() -> None:
    """Set how often threads are switched and garbage is collected."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_THRESHOLD, 50, 50)
