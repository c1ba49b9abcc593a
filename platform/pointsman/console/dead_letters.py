"""Dead letters: what broke its contract, with the reason. Sent again, corrected or not, or set aside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx2
import orjson
from fastapi import APIRouter, Query, Request
from psycopg.rows import dict_row

from pointsman.console.asking import After, Asked, Limit, Refused, Short, TheCaller, TheStore, cursor, read_cursor
from pointsman.console.store import Store
from pointsman.decisions.queries import recorded_revision
from pointsman.governance.access import Permission
from pointsman.governance.keyring import KEY_HEADER
from pointsman.governance.masking import PERSONAL, masked, personal_in

router = APIRouter(prefix="/v1/deadletters", tags=["dead letters"])

FIELDS = (
    'dead_letter_id AS id, graph_uid, event_id, source, source_offset AS "offset", reason, place, message, at, state'
)
PAGE = f"""
SELECT {FIELDS} FROM dead_letters WHERE graph_uid = %(graph)s AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(after)s::timestamptz IS NULL OR (at, dead_letter_id) < (%(after)s, %(id)s::uuid))
ORDER BY at DESC, dead_letter_id DESC LIMIT %(limit)s
"""
ONE = f"SELECT {FIELDS}, body FROM dead_letters WHERE dead_letter_id = %s"
END = "UPDATE dead_letters SET state = %s WHERE dead_letter_id = %s AND state = 'open'"
REPLAY_SECONDS = 30.0


class Replay(Asked):
    """The event to send in its place; left out, the same is sent again."""

    event: dict[str, Any] | None = None


@router.get("", summary="Dead letters, newest first")
def page(
    store: TheStore,
    graph: Annotated[Short, Query(description="The graph's name.")],
    state: Annotated[Literal["open", "replayed", "discarded"] | None, Query(description="Only this state.")] = "open",
    reason: Annotated[Short | None, Query(description="Only this reason.")] = None,
    limit: Limit = 100,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Dead letters of one graph."""
    after, id_ = read_cursor(cursor_, str, str) if cursor_ else (None, None)
    try:
        after, id_ = after and datetime.fromisoformat(after), id_ and UUID(id_)
    except ValueError as error:
        raise Refused(400, 'cursor: give "next" of the page before, unchanged') from error
    asked = {
        "graph": store.graph(graph).uid, "state": state, "reason": reason, "after": after, "id": id_, "limit": limit,
    }  # fmt: skip
    with store.connection() as connection, connection.cursor(row_factory=dict_row) as rows:
        found = rows.execute(PAGE, asked).fetchall()
    last = found[-1] if len(found) == limit else None
    return {"items": found, "next": cursor(last["at"].isoformat(), str(last["id"])) if last else None}


@router.get("/{letter}", summary="A dead letter with what was sent")
def one(letter: UUID, store: TheStore, caller: TheCaller) -> Any:
    """The reason, and the event as it came in; personal fields, and any that the contract does not declare, for admins."""
    found = _letter(store, letter)
    if caller.may(Permission.PERSONAL, mine=False):
        return found
    with store.connection() as connection:
        resolved = recorded_revision(connection, found["graph_uid"])
    if not isinstance(found["event"], dict):
        return masked({**found, PERSONAL: ["event"]})
    return masked({**found, PERSONAL: [f"event.{name}" for name in personal_in(found["event"], resolved)]})


@router.post("/{letter}/replay", summary="Send a dead letter again")
def replay(letter: UUID, body: Replay, store: TheStore, request: Request) -> dict[str, Any]:
    """As it is, or corrected. 422 where it is refused again; the dead letter stays open then."""
    found = _letter(store, letter)
    if found["state"] != "open":
        raise Refused(409, f"the dead letter was {found['state']} already")
    graph = next((each for each in store.graphs() if each.uid == found["graph_uid"]), None)
    if graph is None or graph.address is None:
        raise Refused(503, "its graph is not served now", 2)
    event = found["event"] if body.event is None else body.event
    shown = {name: request.headers[name] for name in ("authorization", KEY_HEADER) if name in request.headers}
    headers = {**shown, "content-type": "application/json"}
    try:
        answer = httpx2.post(
            graph.address, content=orjson.dumps([event]), headers=headers, timeout=REPLAY_SECONDS, trust_env=False
        )
    except httpx2.HTTPError as error:
        raise Refused(503, f"the graph does not answer: {error}", 2) from error
    if answer.status_code != 200:
        raise Refused(503 if answer.status_code >= 500 else answer.status_code, f"the graph refused it: {answer.text}")
    (result,) = answer.json()["answers"]
    if "deadLetter" in result:
        raise Refused(422, f"{result['place']}: {result['message']} ({result['reason']}): correct it and replay again")
    with store.connection() as connection:
        connection.execute(END, ("replayed", letter))
    return {"state": "replayed", "answer": result}


@router.post("/{letter}/discard", summary="Set a dead letter aside")
def discard(letter: UUID, store: TheStore) -> dict[str, Any]:
    """It stays stored and counted, and is no longer open."""
    _letter(store, letter)
    with store.connection() as connection:
        connection.execute(END, ("discarded", letter))
    return {"state": _letter(store, letter)["state"]}


def _letter(store: Store, letter: UUID) -> dict[str, Any]:
    with store.connection() as connection, connection.cursor(row_factory=dict_row) as rows:
        found = rows.execute(ONE, (letter,)).fetchone()
    if found is None:
        raise Refused(404, f"letter: no dead letter has the id {letter}")
    return {**{key: value for key, value in found.items() if key != "body"}, "event": orjson.loads(found["body"])}
