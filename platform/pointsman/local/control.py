"""The supervisor's face: HTTP over a unix socket that only its owner can reach. The command line calls it (`client`).

The socket opens before anything else is up, so that one can always ask what is being waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from pointsman.api.documents import Companion, DocumentError, InvalidDocuments, read
from pointsman.api.meta import Resource
from pointsman.decisions.queries import DecisionNotFound
from pointsman.decisions.queries import explain as explain_decision
from pointsman.local.applied_objects import AppliedObjects, NotYet
from pointsman.local.companions import check
from pointsman.local.references import referrers
from pointsman.local.shown import Shown
from pointsman.store.database import connect

log = structlog.get_logger()

OURS = "pointsman-"
"""Secrets of names that begin so are the supervisor's own."""
GRACE_SECONDS = 2


class ControlSocket:
    """The socket of one home: an async context manager around the time in which it answers.

    `serving` ends early only where it cannot serve.
    """

    def __init__(
        self,
        objects: AppliedObjects,
        *,
        path: Path,
        shown: Callable[[], Shown],
        database_url: str,
        stop: Callable[[], None],
    ) -> None:
        self._path = path
        self._app = control_app(objects, shown=shown, database_url=database_url, stop=stop)
        self._server: uvicorn.Server | None = None
        self._listening: socket.socket | None = None
        self.serving: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._listening = listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listening.bind(str(self._path))
        finally:
            os.umask(before)
        listening.listen()  # whoever connects from now on is answered as soon as the server runs
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _signals_are_ours
        self.serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="control")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._listening is not None
        self._server.should_exit = True
        await asyncio.gather(self.serving, return_exceptions=True)
        self._listening.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _signals_are_ours() -> Iterator[None]:
    """uvicorn would take the process's signals; whoever runs the socket handles them."""
    yield


def control_app(
    objects: AppliedObjects, *, shown: Callable[[], Shown], database_url: str, stop: Callable[[], None]
) -> FastAPI:
    """The routes. Every failure is `{"error", "hint"}`, or `{"errors": […]}` for documents."""
    app = FastAPI(title="pointsman local control", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(psycopg.OperationalError)
    async def away(_: Request, error: Exception) -> Response:
        words = " ".join(str(error).split())
        return _error(503, f"the decision store is away: {words}", "it is being started again: try again in a moment")

    @app.exception_handler(NotYet)
    async def not_yet(_: Request, error: Exception) -> Response:
        return _error(503, str(error), "`pointsman status` says how far it is")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return _error(500, f"{type(error).__name__}: {error}", "`pointsman logs supervisor` has the rest")

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        return shown().status()

    @app.post("/v1/apply")
    async def apply(body: dict[str, Any]) -> Any:
        given = body.get("documents")
        if not isinstance(given, list):
            return _error(400, '"documents" must be a list', "send each document as the object that it is in YAML")
        try:
            documents = read(given)
        except InvalidDocuments as error:
            return JSONResponse({"errors": [_refusal(each) for each in error.errors]}, 422)
        problems = companion_problems(documents)
        if problems:
            return JSONResponse({"errors": problems}, 422)
        results = await objects.apply(documents, dry_run=bool(body.get("dryRun")))
        return {"results": [{"kind": each.kind, "name": each.name, "result": result} for each, result in results]}

    @app.get("/v1/objects")
    async def all_objects(kind: str | None = None) -> dict[str, Any]:
        return {"items": [each.whole() for each in objects.now.stored.values() if kind in (None, each.kind)]}

    @app.get("/v1/objects/{kind}/{name}")
    async def one(kind: str, name: str) -> Any:
        found = objects.now.stored.get((kind, name))
        return _not_found(objects, kind, name) if found is None else found.whole()

    @app.delete("/v1/objects/{kind}/{name}")
    async def delete(kind: str, name: str, force: bool = False) -> Any:
        if (kind, name) not in objects.now.stored:
            return _not_found(objects, kind, name)
        users = referrers(objects.now.stored, kind, name)
        if users and not force:
            message = f'{kind} "{name}" is still referred to by {", ".join(users)}'
            return _error(409, message, "delete those first, or use --force")
        await objects.delete(kind, name)
        return {"result": "deleted"}

    @app.get("/v1/explain/decisions/{wanted}")
    async def decision(wanted: str) -> Any:
        def ask() -> dict[str, Any]:
            with contextlib.closing(connect(database_url)) as connection:
                return explain_decision(connection, wanted)

        try:
            return await asyncio.to_thread(ask)
        except DecisionNotFound as error:
            return _error(404, str(error), "the answer of POST …/decisions names each decision")

    @app.get("/v1/explain/{kind}/{name}")
    async def explain(kind: str, name: str) -> Any:
        try:
            return shown().explain(kind, name)
        except KeyError:
            return _not_found(objects, kind, name)

    @app.get("/v1/logs")
    async def logs() -> dict[str, Any]:
        files = sorted(shown().home.logs.glob("*.log"))
        return {"logs": [{"name": each.stem, "path": str(each)} for each in files]}

    @app.post("/v1/down", status_code=202)
    async def down() -> dict[str, str]:
        stop()
        return {"result": "stopping"}

    return app


def companion_problems(documents: Sequence[Resource | Companion]) -> list[dict[str, Any]]:
    """What keeps plain Kubernetes documents from being honoured here."""
    found = list[dict[str, Any]]()
    for place, each in enumerate(documents):
        if not isinstance(each, Companion):
            continue
        source, named = f"request[{place}]", f'{each.kind} "{each.name}"'
        if each.kind == "Secret" and each.name.startswith(OURS):
            message = f"{named}: names that begin with {OURS} are ours"
            found.append({"source": source, "path": "metadata.name", "message": message, "hint": "choose another"})
        found += [
            {"source": source, "path": problem.path, "message": f"{named}: {problem.path}: {problem.message}",
             "hint": problem.hint}
            for problem in check(each.kind, each.document)
        ]  # fmt: skip
    return found


def _refusal(error: DocumentError) -> dict[str, Any]:
    message = f"{error.path}: {error.message}" if error.path else error.message
    return {"source": error.source, "path": error.path, "message": message, "hint": error.hint or ""}


def _error(status: int, message: str, hint: str = "") -> JSONResponse:
    return JSONResponse({"error": message, "hint": hint}, status)


def _not_found(objects: AppliedObjects, kind: str, name: str) -> JSONResponse:
    names = sorted(other for known, other in objects.now.stored if known == kind)
    hint = f"there are {', '.join(names)}" if names else "`pointsman apply -f FOLDER` creates objects"
    return _error(404, f'no {kind} is called "{name}"', hint)
