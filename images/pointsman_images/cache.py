"""What is downloaded and built once, and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]
"""Told in one line what is being done that takes long"""


class Missing(Exception):
    """Something of this machine is missing; the message says what, and how to get it."""


def cache_folder() -> Path:
    """Where everything that is built is kept; removing it costs the next test of clusters about twenty minutes."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pointsman" / "cluster"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file: of two runs that need the same part, one builds and the other waits.

    What is made meanwhile is readable by all, whatever the user's umask: images run as somebody else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = os.umask(0o022)
        try:
            yield
        finally:
            os.umask(before)


def key(*content: str | bytes) -> str:
    """Twelve hexadecimal digits that change with any part of the content."""
    parts = (part.encode() if isinstance(part, str) else part for part in content)
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]
