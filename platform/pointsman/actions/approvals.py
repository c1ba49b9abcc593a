"""Proposals and approvals in the store: what waits, what people have said of it, and letting an action go."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.actions.approval import Proposal, Said, Stands, weigh
from pointsman.actions.effects import State
from pointsman.actions.outbox import CHANNEL
from pointsman.api.reasons import Reason
from pointsman.ledger.append import append_leaves

Connection = psycopg.Connection[TupleRow]

FIELDS = """
o.action_id, o.decision_id, o.graph_uid, o.target, o.operation, o.parameters, o.evidence, o.proposer, o.people, o.expires_at,
o.created_at, o.state,
(SELECT a.name FROM actions a WHERE a.action_id = o.action_id AND a.day = o.day) AS name
"""
WAITING = f"""
SELECT {FIELDS} FROM outbox o WHERE o.graph_uid = %(graph)s AND o.state = 'checked'
    AND (%(after)s::timestamptz IS NULL OR (o.created_at, o.action_id) > (%(after)s, %(id)s::uuid))
ORDER BY o.created_at, o.action_id LIMIT %(limit)s
"""
ONE = f"SELECT {FIELDS} FROM outbox o WHERE o.action_id = %s AND o.people > 0"
LOCKED = ONE + " FOR UPDATE OF o"
SAID = """
SELECT action_id, approver, approved, reason, digest, at FROM approvals WHERE action_id = ANY(%s) ORDER BY at, approval_id
"""
SAY = """
INSERT INTO approvals (approval_id, action_id, decision_id, graph_uid, approver, approved, reason, digest, at, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
SETTLE = """
UPDATE outbox SET state = %(state)s, reason = %(reason)s, approval = %(digest)s, next_attempt_at = %(now)s
WHERE action_id = %(action)s AND state = 'checked'
"""


class NotFound(Exception):
    """No action that needs approval has the id."""


class Settled(Exception):
    """The action does not wait for anybody any more."""


def waiting(
    connection: Connection, graph_uid: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[dict[str, Any]]:
    """Actions of a graph that wait for people, the oldest first, each with what was said of it."""
    at, id_ = after or (None, None)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(WAITING, {"graph": graph_uid, "after": at, "id": id_, "limit": limit}).fetchall()
        return _with_what_was_said(cursor, rows)


def one(connection: Connection, action_id: UUID) -> dict[str, Any]:
    """One of them, whatever has become of it. Raises NotFound."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        found = _with_what_was_said(cursor, cursor.execute(ONE, (action_id,)).fetchall())
    if not found:
        raise NotFound(f"no action that needs approval has the id {action_id}")
    return found[0]


def say(
    connection: Connection, action_id: UUID, who: str, *, approves: bool, reason: str, digest: bytes, now: datetime
) -> Stands:
    """Approve an action, or refuse it; the last approval that it needs lets it go. The same again changes nothing.

    Raises NotFound, Settled, approval.Refused.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(LOCKED, (action_id,)).fetchone()
        if row is None:
            raise NotFound(f"no action that needs approval has the id {action_id}")
        said = cursor.execute(SAID, ([action_id],)).fetchall()
        before = [Said(who=each["approver"], approves=each["approved"], digest=bytes(each["digest"])) for each in said]
        own = Said(who=who, approves=approves, digest=digest)
        if own in before:
            return _stands(row["state"])
        if row["state"] != State.CHECKED:
            raise Settled(f"the action is {row['state']} already")
        stands = weigh(proposal_of(row), before, own, now)
        _write(cursor, row, own, reason, now)
        if stands != "waits":
            state, why = (
                (State.APPROVED, None) if stands == "approved" else (State.REJECTED, Reason.ApprovalDenied.value)
            )
            settled = {"state": state.value, "reason": why, "digest": digest if stands == "approved" else None}
            cursor.execute(SETTLE, {**settled, "now": now, "action": action_id})
            cursor.execute(f"NOTIFY {CHANNEL}")
        return stands


def proposal_of(row: dict[str, Any]) -> Proposal:
    """What is to be approved."""
    names = ("action_id", "decision_id", "target", "operation", "parameters", "proposer", "people", "expires_at")
    return Proposal(**{name: row[name] for name in names}, evidence=bytes(row["evidence"]))


def _stands(state: str) -> Stands:
    if state == State.CHECKED:
        return "waits"
    return "denied" if state == State.REJECTED else "approved"


def _with_what_was_said(cursor: psycopg.Cursor[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    said = cursor.execute(SAID, ([each["action_id"] for each in rows],)).fetchall()
    return [
        {
            **{key: value for key, value in row.items() if key != "evidence"},
            "digest": proposal_of(row).digest.hex(),
            "said": [
                {key: each[key] for key in ("approver", "approved", "reason", "at")}
                for each in said
                if each["action_id"] == row["action_id"]
            ],
        }
        for row in rows
    ]


def _write(cursor: psycopg.Cursor[dict[str, Any]], row: dict[str, Any], said: Said, reason: str, now: datetime) -> None:
    approval_id = uuid4()
    body = orjson.dumps(
        {
            "version": 1,
            "id": str(approval_id),
            "action": str(row["action_id"]),
            "decision": str(row["decision_id"]),
            "digest": said.digest.hex(),
            "approver": said.who,
            "approves": said.approves,
            "reason": reason,
            "at": now.isoformat(),
        },
        option=orjson.OPT_SORT_KEYS,
    )
    what = (approval_id, row["action_id"], row["decision_id"], row["graph_uid"])
    cursor.execute(SAY, (*what, said.who, said.approves, reason, said.digest, now, body))
    append_leaves(cursor.connection, "approval", [approval_id.bytes], [body])
