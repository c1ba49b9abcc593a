"""Open Inference Protocol v2 over HTTP, a raw ASGI application. Bad input is a 4xx that says where."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pointsman import __version__
from pointsman.models.session import InvalidInput
from pointsman_serving.native.model import ServedModel, TooLarge, UnknownModel
from pointsman_serving.oip.codec import HEADER_LENGTH, InvalidRequest, decode_request, encode_response

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, list[tuple[bytes, bytes]]]

BODY_BYTES = 8 * 1024 * 1024
JSON = [(b"content-type", b"application/json")]
MODEL = re.compile(r"^/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer|)$")


class TooLong(ValueError):
    """A body over the limit."""


class HttpApp:
    """The HTTP face of one served model."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._server = orjson.dumps(
            {"name": "pointsman-native", "version": __version__, "extensions": ["binary_tensor_data"]}
        )
        self._metadata = orjson.dumps(model.metadata())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status, body, headers = await self._answer(scope, receive)
        except UnknownModel as error:
            status, body, headers = _error(404, str(error))
        except TooLong as error:
            status, body, headers = _error(413, str(error))
        except (InvalidRequest, InvalidInput, TooLarge) as error:
            status, body, headers = _error(400, str(error))
        except Exception as error:  # noqa: BLE001  the server must live; what we did wrong is logged
            log.error("a request failed", path=scope["path"], error=repr(error))
            status, body, headers = _error(500, "the model failed; the server's log says how")
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"].rstrip("/"), scope["method"]
        matched = MODEL.match(path)
        wanted = "POST" if matched and matched["rest"] == "/infer" else "GET"
        if matched:
            if method != wanted:
                return _not_allowed(method, wanted)
            self._model.check(matched["name"], matched["version"])
            if matched["rest"] == "/infer":
                return await self._infer(scope, receive)
            if matched["rest"] == "/ready":
                return self._ready()
            return 200, self._metadata, JSON
        plain: dict[str, Callable[[], Answer]] = {
            "/v2": lambda: (200, self._server, JSON),
            "/v2/health/live": lambda: (200, b'{"live":true}', JSON),
            "/v2/health/ready": self._ready,
            "/metrics": lambda: (
                200,
                generate_latest(self._model.registry),
                [(b"content-type", CONTENT_TYPE_LATEST.encode())],
            ),
        }
        if path not in plain:
            return _error(404, f"nothing is served at {path[:200]}")
        return plain[path]() if method == "GET" else _not_allowed(method, "GET")

    def _ready(self) -> Answer:
        if self._model.ready:
            return 200, orjson.dumps({"name": self._model.name, "ready": True}), JSON
        return _error(503, "the model has not answered its example yet")

    async def _infer(self, scope: Scope, receive: Receive) -> Answer:
        body = await _body(scope, receive)
        request = decode_request(body, _header(scope, HEADER_LENGTH.encode()))
        outputs = self._model.infer(request.inputs, request.outputs)
        answer, length = encode_response(
            name=self._model.name, version=self._model.version, id_=request.id, outputs=outputs, binary=request.binary
        )
        if length is None:
            return 200, answer, JSON
        headers = [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH.encode(), str(length).encode())]
        return 200, answer, headers


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def _body(scope: Scope, receive: Receive) -> bytes:
    declared = _header(scope, b"content-length") or ""
    if declared.isdigit() and int(declared) > BODY_BYTES:
        raise TooLong(f"body: {declared} bytes, at most {BODY_BYTES} are taken")
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("body: it was cut off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES:
            raise TooLong(f"body: more than {BODY_BYTES} bytes")
        if not message.get("more_body"):
            return b"".join(parts)


def _error(status: int, message: str) -> Answer:
    return status, orjson.dumps({"error": message}), JSON


def _not_allowed(method: str, allowed: str) -> Answer:
    status, body, headers = _error(405, f"{method} is not taken here, {allowed} is")
    return status, body, [*headers, (b"allow", allowed.encode())]
