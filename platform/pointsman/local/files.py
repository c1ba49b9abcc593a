"""Files that the supervisor writes for its children, for their owner alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson


def write_private(path: Path, value: Any) -> bool:
    """Write JSON, whole or not at all; False where the file says the same already."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if path.exists() and path.read_bytes() == body:
        return False
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(body)
    fresh.replace(path)
    return True
