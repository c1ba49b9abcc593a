"""Open Inference Protocol v2 over HTTP, a raw ASGI application. Bad input is a 4xx that says where.

The repository and shared-memory extensions are not offered: their paths are unknown here, like any other.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pointsman import __version__
from pointsman_serving.native.model import THE_CALLERS, NotReady, ServedModel, UnknownModel
from pointsman_serving.oip.codec import HEADER_LENGTH, decode_request, encode_response
from pointsman_serving.oip.tensors import Array, InvalidRequest

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, bytes, Headers]
Infer = Callable[[Mapping[str, Array], tuple[str, ...] | None], Awaitable[Mapping[str, Array]]]
"""Arrays by name in, arrays by name out; which outputs are wanted, None for all. Raises what ServedModel.infer raises."""

BODY_BYTES = 8 * 1024 * 1024
DRAINED_BYTES = 64 * 1024 * 1024
"""So much of a body that is too long is still read, so that its sender comes to see the answer."""
JSON: Headers = [(b"content-type", b"application/json")]
BINARY: Headers = [(b"content-type", b"application/octet-stream")]
MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer|)")
NAMED = HEADER_LENGTH.encode()


class TooLong(InvalidRequest):
    """A body over the limit."""


class UnknownEncoding(InvalidRequest):
    """A body that is compressed."""


class HttpApp:
    """The HTTP face of one served model. `infer` has it answer where something stands between, such as a queue."""

    def __init__(self, model: ServedModel, *, name: str = "pointsman-native", infer: Infer | None = None) -> None:
        self._model, self._infer_elsewhere = model, infer
        described = {"name": name, "version": __version__, "extensions": ["binary_tensor_data"]}
        server = orjson.dumps(described)
        self._infer_path = f"/v2/models/{model.name}/infer"
        self._plain: dict[str, Callable[[], Answer]] = {
            "/v2": lambda: (200, server, JSON),
            "/v2/health/live": lambda: (200, b'{"live":true}', JSON),
            "/v2/health/ready": self._ready,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status, body, headers = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001  the server must live; what it did wrong itself is logged
            status, body, headers = _failed(error, scope["path"])
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        if path == self._infer_path and method == "POST":
            return await self._infer(scope, receive)
        path = path.rstrip("/")
        plain, matched = self._plain.get(path), MODEL.fullmatch(path)
        if plain is None and matched is None:
            return _error(404, f"nothing is served at {path[:200]!a}")
        allowed = "POST" if matched and matched["rest"] == "/infer" else "GET"
        if method != allowed:
            return _error(405, f"{method[:20]} is not taken here, {allowed} is", [(b"allow", allowed.encode())])
        if plain is not None:
            return plain()
        assert matched is not None
        self._model.check(matched["name"], matched["version"])
        if matched["rest"] == "/infer":
            return await self._infer(scope, receive)
        if matched["rest"] == "/ready":
            return self._ready()
        return 200, self._model.loaded.metadata_json, JSON

    def _ready(self) -> Answer:
        if not self._model.ready:
            raise NotReady("the model has not answered its example, or the server is stopping")
        return 200, orjson.dumps({"name": self._model.name, "ready": True}), JSON

    def _metrics(self) -> Answer:
        return 200, generate_latest(self._model.registry), [(b"content-type", CONTENT_TYPE_LATEST.encode())]

    async def _infer(self, scope: Scope, receive: Receive) -> Answer:
        with self._model.counted("http"):
            headers = dict(scope["headers"])
            if headers.get(b"content-encoding", b"identity") != b"identity":
                raise UnknownEncoding("Content-Encoding: compressed bodies are not taken; send it as it is")
            body = await _body(headers, receive)
            named = headers.get(NAMED)
            request = decode_request(body, None if named is None else named.decode("latin-1"))
            if self._infer_elsewhere is None:
                outputs = self._model.infer(request.inputs, request.outputs)
            else:
                outputs = await self._infer_elsewhere(request.inputs, request.outputs)
            answer, length = encode_response(
                name=self._model.name,
                version=self._model.version,
                id_=request.id,
                outputs=outputs,
                binary=request.binary,
            )
        return 200, answer, JSON if length is None else [*BINARY, (NAMED, b"%d" % length)]


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and len(declared) < 19 and int(declared) > DRAINED_BYTES:
        raise TooLong(f"body: {int(declared)} bytes, at most {BODY_BYTES} are taken")
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("body: it was cut off")
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_BYTES:
            parts.append(part)
        if size > DRAINED_BYTES or (size > BODY_BYTES and not message.get("more_body")):
            raise TooLong(f"body: more than {BODY_BYTES} bytes, which is the most that is taken")
        if not message.get("more_body"):
            return b"".join(parts)


def _failed(error: Exception, path: str) -> Answer:
    match error:
        case UnknownModel():
            return _error(404, str(error))
        case TooLong():
            return _error(413, str(error), [(b"connection", b"close")])
        case UnknownEncoding():
            return _error(415, str(error))
        case NotReady():
            return _error(503, str(error), [(b"retry-after", b"1")])
        case MemoryError():
            log.error("no memory for a request", path=path[:200], error=str(error))
            return _error(503, "there is no memory for this request now", [(b"retry-after", b"1")])
        case _ if isinstance(error, THE_CALLERS):
            return _error(400, str(error))
    log.error("a request failed", path=path[:200], exc_info=error)
    return _error(500, "the server failed; its log says how")


def _error(status: int, message: str, headers: Headers | None = None) -> Answer:
    text = message.encode("utf-8", "replace").decode()
    return status, orjson.dumps({"error": text}), [*JSON, *(headers or [])]
