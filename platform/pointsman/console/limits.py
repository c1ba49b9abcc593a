"""What the API takes of a request before it is read: at most 8 MiB, and JSON nested 32 deep."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import numpy as np
import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES = 8 * 1024 * 1024
JSON_DEPTH = 32
OPENING, CLOSING = [ord("["), ord("{")], [ord("]"), ord("}")]
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Limits:
    """ASGI middleware: reads the body whole, refuses what is too large or too deep, and hands on the rest."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks, size, more = list[bytes](), 0, True
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > BODY_BYTES:
            await _refuse(send, 413, f"the body has {int(declared)} bytes, at most {BODY_BYTES} are taken")
            return
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > BODY_BYTES:
                await _refuse(send, 413, f"the body is longer than {BODY_BYTES} bytes")
                return
        body = b"".join(chunks)
        if depth_of(body) > JSON_DEPTH:
            await _refuse(send, 400, f"the body is nested more than {JSON_DEPTH} deep")
            return

        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def once() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, once, send)


def depth_of(body: bytes) -> int:
    """How deep brackets are nested, those inside strings left out."""
    brackets = np.frombuffer(_STRING.sub(b"", body), np.uint8)
    opened = np.isin(brackets, OPENING).astype(np.int64) - np.isin(brackets, CLOSING)
    return int(np.cumsum(opened).max(initial=0))


async def _refuse(send: Send, status: int, message: str) -> None:
    body = orjson.dumps({"error": message})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
