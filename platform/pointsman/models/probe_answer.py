"""Whether the answer to a probe inference shows that the model works: it has outputs, and all numbers are finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Open Inference Protocol's header for the length of the JSON part, where bytes follow it"""
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


def is_usable(body: bytes, header_length: str | None) -> bool:
    """Whether an answer has outputs, and every number of a float output is finite."""
    length = int(header_length) if header_length is not None and header_length.isdigit() else len(body)
    try:
        outputs = orjson.loads(body[:length])["outputs"]
        return len(outputs) > 0 and _are_finite(outputs, body[length:])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _are_finite(outputs: list[Mapping[str, Any]], raw: bytes) -> bool:
    at = 0
    for output in outputs:
        size, dtype = (output.get("parameters") or {}).get("binary_data_size"), FLOATS.get(output["datatype"])
        data = raw[at : at + (size or 0)]
        at += size or 0
        if dtype is None:
            continue
        numbers = np.frombuffer(data, dtype) if size is not None else np.asarray(output["data"], dtype)
        if not np.isfinite(numbers).all():
            return False
    return at == len(raw)
