"""Decisions: one with everything behind it, and pages of them, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from psycopg.rows import dict_row

from pointsman.console.asking import After, Limit, Refused, Short, TheCaller, TheStore, cursor, read_cursor
from pointsman.console.personal import for_their_eyes
from pointsman.decisions.queries import DecisionNotFound, explain
from pointsman.governance.access import Permission
from pointsman.reviews.blind import hidden_from
from pointsman.reviews.second import awaited
from pointsman.reviews.veil import record_without_view, without_view, without_what_followed

router = APIRouter()

PAGE = """
SELECT decision_id AS decision, event_id AS id, seq, revision, score, band, outcome, reasons, decided_at FROM decisions
WHERE graph_uid = %(graph)s AND (%(after)s::bigint IS NULL OR seq < %(after)s)
    AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s) AND (%(band)s::text IS NULL OR band = %(band)s)
    AND (%(reason)s::text IS NULL OR %(reason)s = ANY(reasons))
    AND (%(since)s::timestamptz IS NULL OR (decided_at >= %(since)s AND day >= (%(since)s AT TIME ZONE 'UTC')::date))
    AND (%(until)s::timestamptz IS NULL OR (decided_at < %(until)s AND day <= (%(until)s AT TIME ZONE 'UTC')::date))
ORDER BY seq DESC LIMIT %(limit)s
"""


EVENT = {"type": "object", "description": "as the graph's stream declares it"}
EVENTS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"anyOf": [EVENT, {"type": "array", "items": EVENT}]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}


@router.post(
    "/v1/graphs/{graph}/decisions",
    tags=["decisions"],
    summary="Decide one event, or a batch",
    openapi_extra=EVENTS,
)
def decide(graph: Short, store: TheStore) -> dict[str, Any]:
    """Answered by the graph's own ingress, to which the gateway leads. The event's id makes it idempotent: the same
    body again gets the same answer, another body 422. A batch is a list, `{"events": […]}`, or NDJSON.
    """
    store.graph(graph)
    # Whoever comes here came while the gateway knew no way to the graph, whatever its status still says: it is to try again.
    raise Refused(503, f'graph "{graph}" is not served now: `pointsman describe pdg {graph}` says why', 2)


@router.get("/v1/decisions", tags=["decisions"], summary="Decisions, newest first")
def page(
    store: TheStore,
    caller: TheCaller,
    graph: Annotated[Short, Query(description="The graph's name.")],
    outcome: Annotated[Short | None, Query(description="Only this outcome.")] = None,
    band: Annotated[Short | None, Query(description="Only this band.")] = None,
    reason: Annotated[Short | None, Query(description="Only with this reason.")] = None,
    since: Annotated[datetime | None, Query(description="Decided at this moment or later.")] = None,
    until: Annotated[datetime | None, Query(description="Decided before this moment.")] = None,
    limit: Limit = 100,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Decisions of one graph. Of those of which you are to say a first call the model's view is left out, and they are found
    by no outcome, band or reason.
    """
    after = read_cursor(cursor_, int)[0] if cursor_ else None
    if after is not None and not 0 <= after < 2**63:
        raise Refused(400, 'cursor: give "next" of the page before, unchanged')
    asked = {
        "graph": store.graph(graph).uid,
        "outcome": outcome,
        "band": band,
        "reason": reason,
        "since": _aware("since", since),
        "until": _aware("until", until),
        "after": after,
        "limit": limit,
    }
    with store.connection() as connection, connection.cursor(row_factory=dict_row) as rows:
        found = rows.execute(PAGE, asked).fetchall()
        hidden = hidden_from(connection, caller.subject, [each["decision"] for each in found])
    sought_by_view = (outcome, band, reason) != (None, None, None)
    items = [
        without_view(each) if each["decision"] in hidden else each
        for each in found
        if not (sought_by_view and each["decision"] in hidden)
    ]
    return {"items": items, "next": cursor(found[-1]["seq"]) if len(found) == limit else None}


@router.get("/v1/decisions/{decision}", tags=["decisions"], summary="One decision with everything behind it")
def one(decision: Short, store: TheStore, caller: TheCaller) -> Any:
    """By its id, a prefix of at least six digits, or its event's id. Personal values are masked unless you may see them, and
    the model's view is left out while you are to say a first call of it.
    """
    with store.connection() as connection:
        try:
            found = explain(connection, decision)
        except DecisionNotFound as error:
            raise Refused(404, f"decision: {error}") from error
        decision_id = UUID(found["decision"]["decision"])
        if caller.may(Permission.REVIEW) and awaited(connection, caller.subject, [decision_id]):
            found = without_what_followed(found)
        if hidden_from(connection, caller.subject, [decision_id]):
            found = record_without_view(found)
        return for_their_eyes(connection, caller, decision_id, found)


def _aware(name: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise Refused(422, f"{name}: say the offset from UTC, such as 2026-01-31T12:00:00Z")
    return moment
