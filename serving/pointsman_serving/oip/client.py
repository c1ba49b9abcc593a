"""A synchronous client of Open Inference Protocol v2 over HTTP: binary tensors both ways, connections kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import numpy.typing as npt
import orjson

from pointsman_serving.oip.codec import HEADER_LENGTH, InvalidRequest, decode_response, encode_request


class InferenceFailed(Exception):
    """The server gave no answer, or refused; the message says which and where."""


class HttpModel:
    """One model on one server. Thread-safe: each thread keeps a connection of its own."""

    def __init__(self, base_url: str, name: str, version: str | None = None, *, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
        self._timeout = timeout_seconds
        self._local = threading.local()

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name in, arrays by name out. Raises InferenceFailed.

        A kept connection that the server has closed is opened again once: inference changes nothing.
        """
        body, length = encode_request(inputs)
        headers = {
            "content-type": "application/octet-stream",
            HEADER_LENGTH: str(length),
        }
        response, answer = self._ask("POST", f"{self._path}/infer", body, headers)
        if response.status != 200:
            raise InferenceFailed(f"{self._path}: {response.status}: {_error(answer)}")
        try:
            return decode_response(answer, response.headers.get(HEADER_LENGTH))
        except InvalidRequest as error:
            raise InferenceFailed(f"{self._path}: an answer that is not of the protocol: {error}") from error

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
            raise InferenceFailed(f"{self._path}: {response.status}: {_error(answer)}")
        described: dict[str, Any] = orjson.loads(answer)
        return described

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[HTTPResponse, bytes]:
        kept: HTTPConnection | None = getattr(self._local, "connection", None)
        try:
            if kept is not None:
                try:
                    return self._once(kept, method, path, body, headers)
                except (HTTPException, ConnectionError):
                    kept.close()
            self._local.connection = HTTPConnection(*self._address, timeout=self._timeout)
            return self._once(self._local.connection, method, path, body, headers)
        except (OSError, HTTPException) as error:
            self._local.connection = None
            host, port = self._address
            raise InferenceFailed(f"no answer from http://{host}:{port}{path}: {error}") from error

    @staticmethod
    def _once(
        connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()


def _error(answer: bytes) -> str:
    try:
        return str(orjson.loads(answer)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace")
