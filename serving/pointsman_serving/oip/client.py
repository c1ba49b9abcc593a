"""A synchronous client of Open Inference Protocol v2 over HTTP: binary tensors both ways, connections kept.

Called by a graph's hosts for the models that run in a process of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import numpy.typing as npt
import orjson

from pointsman_serving.oip.codec import HEADER_LENGTH, decode_response, encode_request
from pointsman_serving.oip.connection import Answer, Closed, Connection, Garbled
from pointsman_serving.oip.tensors import InvalidRequest


class InferenceFailed(Exception):
    """The server gave no answer, or refused; the message says which and where."""


class HttpModel:
    """One model on one server. Thread-safe: a connection serves one call at a time and is kept for the next."""

    def __init__(self, base_url: str, name: str, version: str | None = None, *, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f'not an address of a model server: "{base_url}": http://host:port is needed')
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if self._tls else 80)
        self._timeout = timeout_seconds
        version_part = f"/versions/{quote(version, safe='')}" if version else ""
        self._path = f"{quote(parts.path.rstrip('/'))}/v2/models/{quote(name, safe='')}{version_part}"
        host = parts.netloc.rpartition("@")[2]
        self._where = f"{parts.scheme}://{host}{self._path}"
        self._host_line = f"HTTP/1.1\r\nhost: {host}\r\n"
        self._idle = deque[Connection]()

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name in, arrays by name out. Raises InferenceFailed."""
        try:
            body, length = encode_request(inputs)
        except InvalidRequest as error:
            raise InferenceFailed(f"{self._path}: nothing was sent: {error}") from error
        headers = f"content-type: application/octet-stream\r\n{HEADER_LENGTH}: {length}\r\n"
        answer = self._ask("POST", "/infer", headers, body)
        if answer.status != 200:
            raise InferenceFailed(f"{self._where}: {answer.status}: {_error(answer.body)}")
        try:
            return decode_response(answer.body, answer.headers.get(HEADER_LENGTH))
        except InvalidRequest as error:
            raise InferenceFailed(f"{self._where}: an answer outside the protocol: {error}") from error

    def ready(self) -> bool:
        """Whether the server says that this model answers."""
        try:
            return self._ask("GET", "/ready").status == 200
        except InferenceFailed:
            return False

    def metadata(self) -> dict[str, Any]:
        """The model's own description. Raises InferenceFailed."""
        answer = self._ask("GET", "")
        if answer.status != 200:
            raise InferenceFailed(f"{self._where}: {answer.status}: {_error(answer.body)}")
        try:
            described = orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise InferenceFailed(f"{self._where}: a description that is not JSON") from error
        if not isinstance(described, dict):
            raise InferenceFailed(f"{self._where}: a description that is not an object")
        return described

    def max_rows(self) -> int | None:
        """The most rows of one request where the server says so (Triton does); None where it does not, or has no limit."""
        try:
            answer = self._ask("GET", "/config")
            most = orjson.loads(answer.body)["max_batch_size"] if answer.status == 200 else None
        except (InferenceFailed, orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return most if type(most) is int and most > 0 else None

    def close(self) -> None:
        """Close the connections that are kept. A later call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, method: str, rest: str, headers: str = "", body: bytes = b"") -> Answer:
        """One exchange. A kept connection that turns out closed is replaced once: inference changes nothing."""
        head = f"{method} {self._path}{rest} {self._host_line}{headers}content-length: {len(body)}\r\n\r\n"
        request = head.encode("ascii") + body
        try:
            while self._idle:
                try:
                    return self._exchange(self._idle.pop(), request)
                except (Closed, IndexError):
                    continue
            new = Connection(self._host, self._port, tls=self._tls, timeout_seconds=self._timeout)
            return self._exchange(new, request)
        except (OSError, Garbled) as error:
            raise InferenceFailed(f"{self._where}{rest}: no answer: {str(error) or type(error).__name__}") from error

    def _exchange(self, connection: Connection, request: bytes) -> Answer:
        """The connection is kept only after a whole answer."""
        try:
            answer = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.kept:
            self._idle.append(connection)
        else:
            connection.close()
        return answer


def _error(answer: bytes) -> str:
    try:
        return str(orjson.loads(answer)["error"])[:1000]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace")
