"""The API's application: the gate before every route, the routes, and errors as `{"error": "where: what: what to do"}`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from pointsman import __version__
from pointsman.actions import approvals as to_approve
from pointsman.console import (
    approvals,
    certificates,
    certifications,
    dead_letters,
    decisions,
    keys,
    labels,
    lists,
    monitors,
    policies,
    reviews,
)
from pointsman.console.asking import Refused, TheStore, TheVerdicts
from pointsman.console.certifier import Certifier
from pointsman.console.gate import Graphs, gate
from pointsman.console.limits import Limits
from pointsman.console.metrics import Verdicts, exposition
from pointsman.console.store import NoSuchGraph, Store, Unavailable
from pointsman.console.sweeping import PolicyFile, Sweeper
from pointsman.governance.access import POLICY
from pointsman.governance.keyring import NotAllowed
from pointsman.governance.policies import PolicyRefused
from pointsman.reviews import queue, verdicts

log = structlog.get_logger()

ROUTERS = (
    *(each.router for each in (decisions, reviews, approvals, dead_letters, lists, labels, monitors)),
    *(each.router for each in (certifications, certificates, keys, policies)),
    reviews.measuring,
)


def console_app(store: Store, policies: PolicyFile | None = None) -> FastAPI:
    """The application over a store; where there is a file with policies, it is followed. Raises ValueError where a route
    does not say what it asks for.
    """

    counted = Verdicts()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        async with Sweeper(store, counted, policies):
            yield
        app.state.certifier.close()
        store.close()

    app = FastAPI(
        title="Pointsman",
        version=__version__,
        description="Decisions, and the people and systems around them.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        dependencies=[Depends(gate)],
    )
    app.state.store, app.state.graphs = store, Graphs(store)
    app.state.verdicts = counted
    app.state.certifier = Certifier(store.url)
    for each in ROUTERS:
        app.include_router(each)
    _health(app)
    _errors(app)
    app.add_middleware(Limits)
    missing = served(app) - POLICY.keys()
    if missing:
        names = ", ".join(sorted(map(" ".join, missing)))
        raise ValueError(f"no policy is declared for {names}: add it to governance.access.POLICY")
    return app


def served(app: FastAPI) -> set[tuple[str, str]]:
    """Every (method, route) of the application."""
    routes = [route for router in (app.router, *ROUTERS) for route in router.routes if isinstance(route, Route)]
    return {(method, route.path) for route in routes for method in (route.methods or ()) if method != "HEAD"}


def _health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"], summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"], summary="Whether requests would be answered")
    def readyz(store: TheStore) -> dict[str, str]:
        store.check()
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    def metrics(store: TheStore, verdicts: TheVerdicts) -> Response:
        for graph in store.graphs():
            verdicts.expect(graph)
        with store.connection() as connection:
            return Response(exposition(connection, verdicts), media_type="text/plain; version=0.0.4; charset=utf-8")


def _errors(app: FastAPI) -> None:
    def answer(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handle(_: Request, error: Exception) -> Response:
            return _error(status, str(error), retry_after=2 if status == 503 else None)

        return handle

    for kind, status in (
        (NoSuchGraph, 404),
        (queue.NotFound, 404),
        (to_approve.NotFound, 404),
        (queue.Conflict, 409),
        (verdicts.Refused, 422),
        (Unavailable, 503),
        (PolicyRefused, 503),
    ):
        app.add_exception_handler(kind, answer(status))

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return _error(error.status, str(error), retry_after=error.retry_after)

    @app.exception_handler(NotAllowed)
    async def not_allowed(_: Request, error: NotAllowed) -> Response:
        return _error(error.status, str(error), authenticate=error.status == 401)

    @app.exception_handler(psycopg.DataError)
    async def not_storable(_: Request, error: psycopg.DataError) -> Response:
        return _error(422, f"a value cannot be looked for: {' '.join(str(error).split())}")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _error(422, f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        message = {404: f'nothing is at "{request.url.path}"', 405: f"{request.method} is not taken here"}
        answer = _error(error.status_code, message.get(error.status_code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer


def _error(status: int, message: str, *, retry_after: int | None = None, authenticate: bool = False) -> Response:
    headers = {"retry-after": str(retry_after)} if retry_after else {}
    if authenticate:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": message}, status_code=status, headers=headers)
