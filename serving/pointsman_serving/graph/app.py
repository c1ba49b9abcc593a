"""The ingress of a graph, a raw ASGI application under /v1/graphs/{graph}.

POST /decisions         one event, {"events": […]}, a list, or NDJSON. One event is a synchronous caller with the graph's
                        deadline; many are a stream. `Prefer: return=minimal` asks for counts alone. An API key with
                        the permission to decide is asked for where the configuration says so.
POST /scores            the scores of a history's next events, of which nothing is recorded: for whoever certifies the graph
                        (an API key with the permission to operate)
POST /-/history         events that warm up features and are not decided (bearer token)
PUT  /-/revision        a resolved graph to switch to (bearer token): 200 where it decides, 202 where it waits
GET  /-/ready, /-/stats, and /-/metrics for Prometheus
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from pointsman.decisions.engine import Answer, Fenced, StoreUnavailable
from pointsman.governance.access import Permission
from pointsman.governance.keyring import KEY_HEADER, NotAllowed
from pointsman.governance.policies import PolicyRefused
from pointsman.graphs.resolve import ResolvedGraph
from pointsman_serving.graph.host import GraphHost, Overloaded, ReviewQueueFull
from pointsman_serving.graph.metrics import exposition
from pointsman_serving.graph.revision import RevisionRefused
from pointsman_serving.graph.scoring import Batch, HistoryLost

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON, TEXT = b"application/json", CONTENT_TYPE_LATEST.encode()
BODY_BYTES = 8 * 1024 * 1024
EVENTS_A_REQUEST = 10_000


class Refused(Exception):
    """A request that gets a 4xx or 5xx: status, what is wrong, and headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class GraphApp:
    """Routes requests to a host; every failure becomes one line of JSON."""

    def __init__(self, host: GraphHost) -> None:
        self._host = host
        self._prefix = f"/v1/graphs/{host.name}"
        self._routes: dict[tuple[str, str], Callable[[Scope, Receive], Awaitable[tuple[int, object]]]] = {
            ("POST", "/decisions"): self._decisions,
            ("POST", "/scores"): self._scores,
            ("POST", "/-/history"): self._history,
            ("PUT", "/-/revision"): self._revision,
            ("GET", "/-/ready"): self._ready,
            ("GET", "/-/stats"): self._stats,
            ("GET", "/-/metrics"): self._metrics,
        }
        self._requests = Counter[tuple[int, str]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or take part in the server's start and stop."""
        if scope["type"] == "lifespan":
            await take_part(receive, send)
            return
        reason = ""
        try:
            status, body = await self._route(scope)(scope, receive)
            headers: dict[str, str] = {}
        except Refused as error:
            status, body, headers = error.status, {"error": str(error)}, error.headers
        except Overloaded as error:
            status, body, headers, reason = 503, {"error": str(error)}, {"retry-after": "1"}, "Overloaded"
        except ReviewQueueFull as error:
            status, body, headers, reason = 503, {"error": str(error)}, {"retry-after": "5"}, "ReviewQueueFull"
        except (StoreUnavailable, Fenced) as error:
            status, body, headers = 503, {"error": f"nothing was decided: {error}"}, {"retry-after": "2"}
            reason = type(error).__name__
        if scope["path"].endswith("/decisions"):
            self._requests[status, reason] += 1
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        payload, content = (body, TEXT) if isinstance(body, bytes) else (orjson.dumps(body), JSON)
        raw += [(b"content-type", content), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": payload})

    def _route(self, scope: Scope) -> Callable[[Scope, Receive], Awaitable[tuple[int, object]]]:
        path = scope["path"]
        if not path.startswith(self._prefix):
            path = scope.get("root_path", "") + path
        suffix = path.removeprefix(self._prefix)
        method = scope["method"]
        if (method, suffix) in self._routes:
            return self._routes[method, suffix]
        allowed = [verb for verb, known in self._routes if known == suffix]
        if allowed:
            raise Refused(405, f"{suffix} takes {', '.join(allowed)}, not {method}", {"allow": ", ".join(allowed)})
        raise Refused(404, f'graph "{self._host.name}" has nothing at "{path}"')

    async def _decisions(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        await self._check_key(scope, Permission.DECIDE)
        events, single = _events(await _body(scope, receive), _header(scope, b"content-type"))
        answers = await self._host.decide(events, synchronous=single)
        if single:
            answer = answers[0]
            if "deadLetter" in answer:
                return 422, {"error": f"{answer['place']}: {answer['message']}", **answer}
            return 200, answer
        counts = _counts(answers)
        if "return=minimal" in _header(scope, b"prefer"):
            return 200, counts
        return 200, {**counts, "answers": answers}

    async def _scores(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        await self._check_key(scope, Permission.OPERATE)
        try:
            batch = Batch.model_validate_json(await _body(scope, receive))
            revision, scores = await self._host.score(batch)
        except ValidationError as error:
            first = error.errors()[0]
            raise Refused(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except HistoryLost as error:
            raise Refused(409, f"{error}: send it from its beginning") from error
        return 200, {"revision": revision, "scores": scores}

    async def _history(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        self._authorise(scope)
        events, _ = _events(await _body(scope, receive), _header(scope, b"content-type"))
        try:
            added, broken = await self._host.import_history(events)
        except ValueError as error:
            raise Refused(409, str(error)) from error
        return 200, {"imported": added, "broken": broken}

    async def _revision(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        self._authorise(scope)
        try:
            resolved = ResolvedGraph.model_validate_json(await _body(scope, receive))
            serves = await self._host.switch(resolved)
            return (200 if serves == resolved.revision else 202), {"revision": serves}
        except ValidationError as error:
            raise Refused(422, f"not a resolved graph: {error.error_count()} problems") from error
        except RevisionRefused as error:
            raise Refused(422, str(error)) from error
        except psycopg.Error as error:
            raise Refused(503, "the decision store is away", {"retry-after": "2"}) from error

    async def _ready(self, scope: Scope, receive: Receive) -> tuple[int, object]:  # noqa: ARG002
        state = self._host.readiness()
        body = state.document()
        if scope.get("server"):
            body["listens"] = "{}:{}".format(*scope["server"])
        return (200 if state.ready else 503), body

    async def _stats(self, scope: Scope, receive: Receive) -> tuple[int, object]:  # noqa: ARG002
        return 200, self._host.moment().stats()

    async def _metrics(self, scope: Scope, receive: Receive) -> tuple[int, object]:  # noqa: ARG002
        return 200, exposition(self._host.moment().observed(self._requests.copy()))

    async def _check_key(self, scope: Scope, asked: Permission) -> None:
        keyring = self._host.keyring
        if keyring is None:
            return
        try:
            if keyring.is_stale:
                await asyncio.to_thread(keyring.refresh)
            passed = _header(scope, KEY_HEADER.encode())
            key = keyring.identify(_header(scope, b"authorization"), datetime.now(UTC), passed=passed)
            keyring.caller(key, self._host.name).check(asked)
        except NotAllowed as error:
            raise Refused(
                error.status, str(error), {"www-authenticate": "Bearer"} if error.status == 401 else {}
            ) from error
        except PolicyRefused as error:
            raise Refused(503, str(error), {"retry-after": "2"}) from error
        except psycopg.OperationalError as error:
            raise Refused(503, "the keys cannot be read: the decision store is away", {"retry-after": "2"}) from error

    def _authorise(self, scope: Scope) -> None:
        given = _header(scope, b"authorization").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._host.config.control_token.encode()):
            raise Refused(401, "this needs the control token of the host", {"www-authenticate": "Bearer"})


async def take_part(receive: Receive, send: Send) -> None:
    """The host is started and stopped by who owns it; there is nothing to do here but to say so."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _body(scope: Scope, receive: Receive) -> bytes:
    chunks, size = list[bytes](), 0
    declared = _header(scope, b"content-length")
    if declared.isdigit() and int(declared) > BODY_BYTES:
        raise Refused(413, f"the body has {declared} bytes, at most {BODY_BYTES} are taken: send smaller batches")
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request was cut off")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_BYTES:
            raise Refused(413, f"the body is longer than {BODY_BYTES} bytes: send smaller batches")
        if not message.get("more_body"):
            return b"".join(chunks)


def _events(body: bytes, content_type: str) -> tuple[list[object], bool]:
    """The events of a body, and whether it was a single one."""
    single = False
    if content_type.startswith("application/x-ndjson"):
        events = [_line(line) for line in body.split(b"\n") if line.strip()]
    else:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"the body is not JSON: line {error.lineno}, column {error.colno}") from error
        if isinstance(value, dict) and value.keys() == {"events"} and isinstance(value["events"], list):
            events = value["events"]
        elif isinstance(value, list):
            events = value
        elif isinstance(value, dict):
            events, single = [value], True
        else:
            raise Refused(400, 'the body is not an event, a list of events, or {"events": […]}')
    if not events:
        raise Refused(400, "there is no event in the body")
    if len(events) > EVENTS_A_REQUEST:
        raise Refused(413, f"{len(events)} events in one request, at most {EVENTS_A_REQUEST} are taken")
    return events, single


def _line(line: bytes) -> object:
    """One line of NDJSON; what is not JSON goes on as its text, for the dead letter."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.decode("utf-8", "replace")


def _counts(answers: list[Answer]) -> dict[str, int]:
    duplicates = sum("duplicate" in answer for answer in answers)
    dead = sum("deadLetter" in answer and "duplicate" not in answer for answer in answers)
    return {
        "received": len(answers),
        "decided": len(answers) - duplicates - dead,
        "duplicates": duplicates,
        "deadLetters": dead,
    }
