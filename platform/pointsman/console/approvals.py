"""Actions that people have to approve before they are sent: what waits, and saying yes or no to one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from pointsman.actions import approval, approvals
from pointsman.console.asking import After, Asked, Limit, Refused, Short, Text, TheCaller, TheStore, cursor, read_cursor
from pointsman.console.store import Connection, now
from pointsman.decisions.queries import recorded_revision
from pointsman.governance.access import Permission
from pointsman.governance.keyring import Caller
from pointsman.governance.masking import PERSONAL, masked, personal_parameters
from pointsman.reviews.blind import hidden_from
from pointsman.reviews.second import awaited

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])


class Say(Asked):
    """Yes or no, why, and the digest of what was looked at."""

    approve: bool
    reason: Text
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@router.get("", summary="Actions that wait for people's approval, the oldest first")
def page(
    store: TheStore,
    caller: TheCaller,
    graph: Annotated[Short, Query(description="The graph's name.")],
    limit: Limit = 100,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Who has asked for each, what it would do, how many must approve it, and what was said of it. Left out is what would
    tell you of a decision of which you are, or may be, asked unaware of what others say.
    """
    after = None
    if cursor_:
        at, id_ = read_cursor(cursor_, str, str)
        try:
            after = (datetime.fromisoformat(at), UUID(id_))
        except ValueError as error:
            raise Refused(400, 'cursor: give "next" of the page before, unchanged') from error
    with store.connection() as connection:
        found = approvals.waiting(connection, store.graph(graph).uid, after=after, limit=limit)
        hidden = _would_tell(connection, caller, [each["decision_id"] for each in found])
        last = found[-1] if len(found) == limit else None
        return {
            "items": [_seen_by(connection, caller, each) for each in found if each["decision_id"] not in hidden],
            "next": cursor(last["created_at"].isoformat(), str(last["action_id"])) if last else None,
        }


@router.get("/{action}", summary="An action that needs approval")
def one(action: UUID, store: TheStore, caller: TheCaller) -> Any:
    """Whatever has become of it; its effects stand with its decision. 409 where it would tell you what you are to be unaware
    of.
    """
    with store.connection() as connection:
        found = approvals.one(connection, action)
        if _would_tell(connection, caller, [found["decision_id"]]):
            raise Refused(409, "you may be asked for your own opinion first: let somebody else approve it, or wait")
        return _seen_by(connection, caller, found)


@router.post("/{action}", summary="Approve an action, or refuse it")
def say(action: UUID, body: Say, store: TheStore, caller: TheCaller) -> Any:
    """Nobody approves what they have asked for themselves, nor twice. The last approval lets the action go; one refusal ends
    it. 409 where it is not what you have looked at, or waits for nobody any more.
    """
    with store.connection() as connection:
        try:
            approvals.say(
                connection,
                action,
                caller.subject,
                approves=body.approve,
                reason=body.reason,
                digest=bytes.fromhex(body.digest),
                now=now(),
            )
        except (approval.Refused, approvals.Settled) as error:
            raise Refused(409, str(error)) from error
        return _seen_by(connection, caller, approvals.one(connection, action))


def _would_tell(connection: Connection, caller: Caller, decision_ids: list[UUID]) -> frozenset[UUID]:
    """Decisions of which an action says too much to who may still be asked what they think."""
    if not caller.may(Permission.REVIEW):
        return frozenset()
    who = caller.subject
    return awaited(connection, who, decision_ids) | hidden_from(connection, who, decision_ids)


def _seen_by(connection: Connection, caller: Caller, found: dict[str, Any]) -> Any:
    """An action as the caller may see it: its parameters may be personal."""
    if caller.may(Permission.PERSONAL, mine=False):
        return found
    resolved = recorded_revision(connection, found["graph_uid"])
    return masked({**found, PERSONAL: personal_parameters(found["name"], resolved)})
