"""Asks a model server that is not ours to infer the model's own example: a port that is open proves nothing.

The starter writes the request beside the server's files, as Open Inference Protocol's bytes; a supervised process is Ready
when its answer is 200 with at least one output, all of whose numbers are finite.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import orjson

EXAMPLE = "example.json"
"""`{"length": of the JSON part, "body": base64}`."""
HEADER_LENGTH = "Inference-Header-Content-Length"
SECONDS = 5
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


def answers_example(url: str, example: Path) -> Callable[[], Awaitable[bool]]:
    """A ready check: the model behind this address answers the request in this file."""

    async def ready() -> bool:
        try:
            asked = orjson.loads(example.read_bytes())
            headers = {HEADER_LENGTH: str(asked["length"]), "Content-Type": "application/octet-stream"}
            async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False, verify=False) as client:
                answer = await client.post(url, content=base64.b64decode(asked["body"]), headers=headers)
        except (httpx2.HTTPError, OSError, orjson.JSONDecodeError, binascii.Error):
            return False
        return answer.status_code == 200 and is_usable(answer.content, answer.headers.get(HEADER_LENGTH))

    return ready


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
