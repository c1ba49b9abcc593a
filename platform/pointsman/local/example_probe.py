"""Asks a model server that is not ours to infer the model's own example: a port that is open proves nothing.

The starter writes the request beside the server's files, as Open Inference Protocol's bytes; a supervised process is Ready
when its answer is 200 with at least one output, all of whose numbers are finite.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import orjson

from pointsman.models.probe_answer import HEADER_LENGTH, is_usable

EXAMPLE = "example.json"
"""`{"length": of the JSON part, "body": base64}`."""
SECONDS = 5


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
