"""A synchronous client of Open Inference Protocol v2 over HTTP: binary tensors both ways, connections kept.

Called by a graph's hosts for the models that run in a process of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import numpy.typing as npt
import orjson

from pointsman_serving.oip.codec import HEADER_LENGTH, decode_response, encode_request
from pointsman_serving.oip.tensors import InvalidRequest

ANSWER_BYTES = 64 * 1024 * 1024
"""A longer answer is refused."""


class InferenceFailed(Exception):
    """The server gave no answer, or refused; the message says which and where."""


class HttpModel:
    """One model on one server. Thread-safe: a connection serves one call at a time and is kept for the next."""

    def __init__(self, base_url: str, name: str, version: str | None = None, *, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f'not an address of a model server: "{base_url}": http://host:port is needed')
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port, self._timeout = parts.hostname, parts.port, timeout_seconds
        version_part = f"/versions/{quote(version, safe='')}" if version else ""
        self._path = f"{parts.path.rstrip('/')}/v2/models/{quote(name, safe='')}{version_part}"
        self._server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._idle = deque[HTTPConnection]()

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name in, arrays by name out. Raises InferenceFailed."""
        try:
            body, length = encode_request(inputs)
        except InvalidRequest as error:
            raise InferenceFailed(f"{self._path}: nothing was sent: {error}") from error
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(length)}
        response, answer = self._ask("POST", f"{self._path}/infer", body, headers)
        if response.status != 200:
            raise InferenceFailed(f"{self._server}{self._path}: {response.status}: {_error(answer)}")
        try:
            return decode_response(answer, response.headers.get(HEADER_LENGTH))
        except InvalidRequest as error:
            raise InferenceFailed(f"{self._server}{self._path}: an answer outside the protocol: {error}") from error

    def ready(self) -> bool:
        """Whether the server says that this model answers."""
        try:
            return self._ask("GET", f"{self._path}/ready", None, {})[0].status == 200
        except InferenceFailed:
            return False

    def metadata(self) -> dict[str, Any]:
        """The model's own description. Raises InferenceFailed."""
        response, answer = self._ask("GET", self._path, None, {})
        if response.status != 200:
            raise InferenceFailed(f"{self._server}{self._path}: {response.status}: {_error(answer)}")
        try:
            described = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise InferenceFailed(f"{self._server}{self._path}: a description that is not JSON") from error
        if not isinstance(described, dict):
            raise InferenceFailed(f"{self._server}{self._path}: a description that is not an object")
        return described

    def close(self) -> None:
        """Close the connections that are kept. A later call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[HTTPResponse, bytes]:
        """One exchange. A kept connection that turns out closed is replaced once: inference changes nothing."""
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        try:
            if kept is not None:
                try:
                    return self._exchange(kept, method, path, body, headers)
                except ConnectionError:
                    pass
            connection = self._connect(self._host, self._port, timeout=self._timeout)
            return self._exchange(connection, method, path, body, headers)
        except (OSError, HTTPException) as error:
            why = str(error) or type(error).__name__
            raise InferenceFailed(f"no answer from {self._server}{path}: {why}") from error

    def _exchange(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        """Ask and read to the end; only then is the connection kept."""
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES + 1)
            if len(answer) > ANSWER_BYTES:
                raise HTTPException(f"more than {ANSWER_BYTES} bytes")
            if response.length:
                raise HTTPException(f"the answer was cut off {response.length} bytes before its end")
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response, answer


def _error(answer: bytes) -> str:
    try:
        return str(orjson.loads(answer)["error"])[:1000]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace")
