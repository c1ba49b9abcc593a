"""The last lines of a file, and the ones that come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.25


def tail(path: Path, *, lines: int, follow: bool) -> Iterator[str]:
    """Yield the last `lines` lines; with `follow`, go on for ever, also over a rotation of the file."""
    stream = path.open(errors="replace")
    yield from (line.rstrip("\n") for line in deque(stream, maxlen=lines))
    part = ""
    while follow:
        line = stream.readline()
        if line.endswith("\n"):
            yield part + line.rstrip("\n")
            part = ""
        elif line:
            part += line
        else:
            time.sleep(POLL_SECONDS)
            if path.exists() and path.stat().st_ino != _inode(stream.fileno()):
                stream.close()
                stream = path.open(errors="replace")
    stream.close()


def _inode(descriptor: int) -> int:
    import os

    return os.fstat(descriptor).st_ino
