"""The gate before every route: whose key it is, which graph is asked about, and whether the policies in force permit it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from pointsman.console.store import Connection, Store, now
from pointsman.decisions.queries import DecisionNotFound, find_decision
from pointsman.governance.access import POLICY
from pointsman.governance.keyring import KEY_HEADER
from pointsman.reviews import queue

OF_REVIEW = "SELECT o.name FROM reviews r JOIN objects o ON o.uid = r.graph_uid WHERE r.review_id = %s"
OF_LETTER = "SELECT o.name FROM dead_letters l JOIN objects o ON o.uid = l.graph_uid WHERE l.dead_letter_id = %s"
OF_DECISION = """
SELECT o.name FROM decision_keys k JOIN decisions d USING (day, decision_id) JOIN objects o ON o.uid = d.graph_uid
WHERE k.decision_id = %s
"""
OF_ACTION = "SELECT o.name FROM outbox a JOIN objects o ON o.uid = a.graph_uid WHERE a.action_id = %s"
IDS = {"review": OF_REVIEW, "letter": OF_LETTER, "action": OF_ACTION}
"""By the route's parameter, whose graph is asked about"""
IDS_KEPT = 100_000
FULL_ID = 36

Route = tuple[str, str]
BY_QUERY: frozenset[Route] = frozenset(
    ("GET", f"/v1/{what}") for what in ("decisions", "reviews", "deadletters", "approvals")
)
BY_BODY: frozenset[Route] = frozenset({("POST", "/v1/reviews/claim")})
BY_DECISION: frozenset[Route] = frozenset({("POST", "/v1/reviews/golden")})
"""Routes of which a part of the request says which graph they are about. One that stands nowhere is about what its path
names, else about the platform: what else a caller says of a graph is not believed.
"""


class Graphs:
    """Which graph an item, a letter or a decision is of: it never changes, so it is looked up once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = dict[tuple[str, str], str]()

    def of(self, kind: str, id_: str) -> str | None:
        """The graph's name; None where nothing has the id."""
        found = self._known.get((kind, id_))
        if found is None:
            with self._store.connection() as connection:
                found = _looked_up(connection, kind, id_)
            if found is not None and len(id_) >= FULL_ID:  # what is no full id may come to mean another one
                if len(self._known) >= IDS_KEPT:
                    self._known.clear()
                self._known[kind, id_] = found
        return found


async def gate(request: Request) -> None:
    """Nobody passes without a key that the policies let through, unless the route is public. Raises NotAllowed."""
    route = (request.method, request.scope["route"].path)
    asked = POLICY[route]
    if asked is None:
        return
    keyring = request.app.state.store.keys
    if keyring.is_stale:
        await run_in_threadpool(keyring.refresh)
    headers = request.headers
    key = keyring.identify(headers.get("authorization", ""), now(), passed=headers.get(KEY_HEADER, ""))
    request.state.caller = caller = keyring.caller(key, await _graph_of(request, route))
    caller.check(asked)


async def _graph_of(request: Request, route: Route) -> str | None:
    """The graph that a request is about; None for the platform, and where there is no such part of any."""
    parameters, graphs = request.path_params, request.app.state.graphs
    for kind in (*IDS, "decision"):
        if kind in parameters:
            return await run_in_threadpool(graphs.of, kind, parameters[kind])
    if route in BY_QUERY:
        return request.query_params.get("graph")
    if route in BY_BODY:
        return await _said(request, "graph")
    if route in BY_DECISION and (decision := await _said(request, "decision")) is not None:
        return await run_in_threadpool(graphs.of, "decision", decision)
    graph: str | None = parameters.get("graph")
    return graph


async def _said(request: Request, name: str) -> str | None:
    """A text of the body; what is wrong with it otherwise the route says."""
    try:
        body: Any = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    said = body.get(name) if isinstance(body, dict) else None
    return said if isinstance(said, str) else None


def _looked_up(connection: Connection, kind: str, id_: str) -> str | None:
    try:
        find = {"decision": find_decision, "review": queue.find}.get(kind)
        wanted = UUID(id_) if find is None else find(connection, id_)
    except (DecisionNotFound, queue.NotFound, ValueError):
        return None
    row = connection.execute(IDS.get(kind, OF_DECISION), (wanted,)).fetchone()
    return None if row is None else str(row[0])
