"""Named points at which a process can be made to end as by `kill -9`: tests show there that nothing is lost.

POINTSMAN_CRASH_AT=<point> ends it the first time it comes by, <point>:<n> the n-th time. Unset, it costs a compare.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "after-claim",
    "after-begin",
    "before-send",
    "after-send",
    "before-read-back",
    "after-read-back",
    "before-record",
    "in-record",
    "after-record",
    "before-expire",
    "after-expire",
)
COMMIT_POINTS = ("before-commit", "after-commit")
"""Of a graph's host: a batch is decided and not written, written and told to nobody"""

_POINT, _, _COUNT = os.environ.get("POINTSMAN_CRASH_AT", "").partition(":")
_left = int(_COUNT or 1)


def crash_point(name: str) -> None:
    """End this process here if the environment says so."""
    global _left
    if name == _POINT:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
