"""The dispatcher's own small HTTP port, read-only: who started it asks whether it works, how much, and what it sees.

`GET /-/ready` answers 200 as soon as the settings are applied; `GET /-/stats` gives figures by target, `GET /-/targets` what
is known of each (`report`), `GET /metrics` what Prometheus reads. On loopback, or in a pod on all addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

LONGEST_REQUEST = 8192
PATIENCE_SECONDS = 5.0


class StatusPort:
    """Answers each path from a function, a document as JSON and bytes as Prometheus' text; holds no state."""

    def __init__(self, answers: Mapping[str, Callable[[], dict[str, Any] | bytes]]) -> None:
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen and return the port. Raises OSError where it is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_REQUEST)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].decode("latin-1")
        answer = self._answers.get(path)
        if answer is None:
            return _response("404 Not Found", {"error": "no such path"})
        if method != b"GET":
            return _response("405 Method Not Allowed", {"error": "read-only"})
        body = answer()
        is_not_ready = isinstance(body, dict) and body.get("ready") is False
        return _response("503 Service Unavailable" if is_not_ready else "200 OK", body)


def _response(status: str, body: dict[str, Any] | bytes) -> bytes:
    content, type_ = (
        (body, CONTENT_TYPE_LATEST) if isinstance(body, bytes) else (orjson.dumps(body), "application/json")
    )
    head = f"HTTP/1.1 {status}\r\nContent-Type: {type_}\r\nContent-Length: {len(content)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + content
