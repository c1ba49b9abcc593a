"""The supervisor's face: HTTP over a unix socket that only its owner can reach. The command line calls it."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from pointsman.api.documents import Companion, InvalidDocuments, read
from pointsman.decisions.queries import DecisionNotFound
from pointsman.decisions.queries import explain as explain_decision
from pointsman.local.companions import check
from pointsman.local.processes import last_lines
from pointsman.store.database import APP_ROLE, connect

if TYPE_CHECKING:
    from pointsman.local.supervisor import Supervisor

REFERENCES = {
    "FeatureView": (("EventStream", ("sourceRef", "name")),),
    "DecisionGraph": (
        ("EventStream", ("eventStreamRef", "name")),
        ("FeatureView", ("nodes", "features", "viewRef", "name")),
        ("ModelDeployment", ("nodes", "model", "deploymentRef", "name")),
        ("ActionTarget", ("actions", "targetRef", "name")),
    ),
    "ActionTarget": (("Service", ("serviceRef", "name")),),
}
"""kind → (kind it refers to, where below `spec` the name stands; lists are walked)"""


def control_app(supervisor: Supervisor) -> uvicorn.Server:
    """The server, bound to the home's control socket and not serving yet."""
    app = FastAPI(title="pointsman local control", docs_url=None, redoc_url=None)

    @app.exception_handler(psycopg.OperationalError)
    async def away(_: Request, error: Exception) -> Response:
        return _error(503, f"the decision store is away: {error}".strip(), "try again in a moment")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return _error(500, f"{type(error).__name__}: {error}", "`pointsman logs supervisor` has the rest")

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        return supervisor.status()

    @app.post("/v1/apply")
    async def apply(body: dict[str, Any]) -> Any:
        try:
            documents = read(body.get("documents", ()))
        except InvalidDocuments as error:
            return JSONResponse({"errors": [_refusal(str(each)) for each in error.errors]}, 422)
        problems = [
            _refusal(f'{each.kind} "{each.name}": {problem.path}: {problem.message}', problem.hint)
            for each in documents
            if isinstance(each, Companion)
            for problem in check(each.kind, each.document)
        ]
        if problems:
            return JSONResponse({"errors": problems}, 422)
        return {"results": await supervisor.apply(documents, dry_run=bool(body.get("dryRun")))}

    @app.get("/v1/objects")
    async def objects(kind: str | None = None) -> dict[str, Any]:
        return {"items": [each.whole() for each in supervisor.applied.stored.values() if kind in (None, each.kind)]}

    @app.get("/v1/objects/{kind}/{name}")
    async def one(kind: str, name: str) -> Any:
        found = supervisor.applied.stored.get((kind, name))
        return found.whole() if found is not None else _not_found(supervisor, kind, name)

    @app.delete("/v1/objects/{kind}/{name}")
    async def delete(kind: str, name: str, force: bool = False) -> Any:
        if (kind, name) not in supervisor.applied.stored:
            return _not_found(supervisor, kind, name)
        users = referrers(supervisor.applied.stored, kind, name)
        if users and not force:
            return _error(
                409, f'{kind} "{name}" is still referred to by {", ".join(users)}', "delete those first, or --force"
            )
        await supervisor.delete(kind, name)
        return {"result": "deleted"}

    @app.get("/v1/explain/decisions/{wanted}")
    async def decision(wanted: str) -> Any:
        def ask() -> dict[str, Any]:
            with connect(supervisor.postgres.url("pointsman", APP_ROLE)) as connection:
                return explain_decision(connection, wanted)

        try:
            return await asyncio.to_thread(ask)
        except DecisionNotFound as error:
            return _error(404, str(error), "the answer of POST …/decisions names each decision")

    @app.get("/v1/explain/{kind}/{name}")
    async def explain(kind: str, name: str) -> Any:
        found = supervisor.applied.stored.get((kind, name))
        if found is None:
            return _not_found(supervisor, kind, name)
        return {"object": found.whole(), **_explained(supervisor, name, found.status)}

    @app.post("/v1/down", status_code=202)
    async def down() -> dict[str, str]:
        supervisor.stop()
        return {"result": "stopping"}

    path = supervisor.home.control_socket
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    os.chmod(path, 0o600)
    server = uvicorn.Server(
        uvicorn.Config(app, fd=listening.detach(), log_config=None, access_log=False, timeout_graceful_shutdown=2)
    )
    server.install_signal_handlers = lambda: None
    return server


def referrers(stored: Any, kind: str, name: str) -> list[str]:
    """Which objects refer to this one, as `Kind "name"`."""
    found = list[str]()
    for (other_kind, other_name), each in stored.items():
        for referred, path in REFERENCES.get(other_kind, ()):
            if referred == kind and name in _values(each.document.get("spec", {}), path):
                found.append(f'{other_kind} "{other_name}"')
    return found


def _values(block: Any, path: tuple[str, ...]) -> list[str]:
    if isinstance(block, list):
        return [value for each in block for value in _values(each, path)]
    if not path:
        return [block]
    return _values(block[path[0]], path[1:]) if isinstance(block, dict) and path[0] in block else []


def _explained(supervisor: Supervisor, name: str, status: dict[str, Any]) -> dict[str, list[str]]:
    why, following = list[str](), list[str]()
    for each in status.get("conditions", ()):
        why.append(
            f"{each['type']} is {each['status']}: {each['reason']}"
            + (f": {each['message']}" if each["message"] else "")
        )
        if each["status"] != "True" and each["message"] and each["type"] == "Ready":
            following.append(each["message"])
    for process in supervisor.table.observed().values():
        belongs = process.name in (f"graph-{name}", name) or process.name.startswith(f"model-{name}-")
        if belongs:
            why.append(f'process "{process.name}" is {process.state.value}, started {process.restarts + 1} times')
            if process.state.value != "Ready":
                why += [f"  {line}" for line in last_lines(supervisor.home.logs, process.name)]
                following.append(f"pointsman logs {process.name}")
    return {"why": why, "next": following or ["nothing: it is as it should be"]}


def _refusal(message: str, hint: str = "") -> dict[str, str]:
    return {"message": message, "hint": hint}


def _error(status: int, message: str, hint: str = "") -> JSONResponse:
    return JSONResponse({"error": message, "hint": hint}, status)


def _not_found(supervisor: Supervisor, kind: str, name: str) -> JSONResponse:
    names = sorted(other for known, other in supervisor.applied.stored if known == kind)
    hint = f"there are {', '.join(names)}" if names else "`pointsman apply -f FOLDER` creates objects"
    return _error(404, f'no {kind} is called "{name}"', hint)
