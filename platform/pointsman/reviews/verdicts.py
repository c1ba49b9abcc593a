"""Verdicts: what a person says of an item, and what follows. One transaction ends the items and asks for the actions.

A verdict's actions go to the outbox as a band's do, under ids made of decision and action: said twice, done once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.actions.approval import people_needed
from pointsman.actions.effects import State
from pointsman.actions.outbox import CHANNEL
from pointsman.api.decision_graph import Verdict
from pointsman.api.reasons import Reason
from pointsman.decisions.recorded import NotRecorded, Recorded, recorded
from pointsman.graphs.identity import action_id
from pointsman.labels.store import Judged, judge
from pointsman.ledger.append import append_leaves
from pointsman.reviews.blind import hidden_from
from pointsman.reviews.queue import LOCK, Conflict, Item, NotFound, held_of_case, one
from pointsman.reviews.second import open_second

Connection = psycopg.Connection[TupleRow]

CLOSE = Verdict(name="close")
"""What can be said of an item where the graph declares no verdicts."""

INSERT = """
INSERT INTO verdicts (verdict_id, review_id, decision_id, graph_uid, verdict, reason, reviewer, at, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
END = """
UPDATE reviews SET state = %s, closed_at = %s, lease_owner = NULL, lease_until = NULL WHERE review_id = ANY(%s)
"""
ACTION = "INSERT INTO actions VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)"
TO_DO = """
INSERT INTO outbox (day, action_id, decision_id, graph_uid, target, operation, parameters, created_at, expires_at, state, reason,
    people, proposer, evidence)
VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING action_id
"""
OVERDUE = """
SELECT review_id, decision_id, graph_uid FROM reviews
WHERE graph_uid = %s AND state = 'open' AND deadline_at <= %s ORDER BY review_id LIMIT 1000 FOR UPDATE
"""


class Refused(ValueError):
    """A verdict that cannot be given; the message says what can."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A verdict, who gives it, and why."""

    verdict: str
    reason: str
    reviewer: str


def decide(connection: Connection, review_id: UUID, said: Said, *, whole_case: bool, now: datetime) -> list[Item]:
    """End the item, or all of its case that this reviewer holds. The same again gives the same answer.

    Raises NotFound, Conflict where the reviewer does not hold it or it has ended otherwise, Refused.
    """
    item = one(connection, review_id)
    if item["state"] != "open":
        if (item["verdict"], item["reviewer"]) == (said.verdict, said.reviewer):
            return [item]
        if item["awaits_second"]:
            raise Conflict("the item has ended; what was said waits for a second opinion")
        raise Conflict(f"the item has ended: {item['verdict'] or item['state']} by {item['reviewer']}")
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(LOCK, (item["graph_uid"],))
        held = held_of_case(cursor, item, said.reviewer, now)
        if not whole_case:
            held = [review_id]
        items = [one(connection, id_) for id_ in held]
        ids = [each["decision_id"] for each in items]
        behind = recorded_of(cursor, ids)
        for decided in behind.values():
            check_verdict(decided, said.verdict)
        if hidden_from(connection, said.reviewer, ids):
            raise Conflict("say your first call first: the model's view is hidden until then; it may differ from this")
        first = [each for each in items if each["purpose"] == "First"]
        for each in first:
            _act(cursor, behind[each["decision_id"]], each, said, now)
        judged = [label for each in first for label in _label(behind[each["decision_id"]], each, said.verdict)]
        judge(connection, item["graph_uid"], judged, author=said.reviewer, now=now)
        _end(cursor, items, said, "decided", now)
        for each in first:
            open_second(cursor, behind[each["decision_id"]], each, now)
    return [one(connection, id_) for id_ in held]


def expire(connection: Connection, graph_uid: UUID, now: datetime) -> int:
    """End overdue items without action; return how many that were. At most 1,000 a call."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(LOCK, (graph_uid,))
        items = cursor.execute(OVERDUE, (graph_uid, now)).fetchall()
        if items:
            said = Said(verdict="", reason="nobody decided the item before its deadline", reviewer="pointsman")
            _end(cursor, items, said, "expired", now)
    return len(items)


def recorded_of(cursor: psycopg.Cursor[dict[str, Any]], decision_ids: Sequence[UUID]) -> dict[UUID, Recorded]:
    """What items were decided on, by their decisions. Raises NotFound."""
    try:
        return recorded(cursor, decision_ids)
    except NotRecorded as error:
        raise NotFound(str(error)) from error


def check_verdict(behind: Recorded, verdict: str) -> None:
    """Raises Refused where the graph does not declare the verdict."""
    declared = sorted(_declared(behind))
    if verdict not in declared:
        raise Refused(f'verdict: "{verdict}" is not declared by the graph; it has {", ".join(declared)}')


def _declared(behind: Recorded) -> dict[str, Verdict]:
    return {each.name: each for each in behind.resolved.graph.spec.review.verdicts or [CLOSE]}


def _act(cursor: psycopg.Cursor[dict[str, Any]], behind: Recorded, item: Item, said: Said, now: datetime) -> None:
    """Ask for the verdict's actions; where one needs approval, it waits for others to give it. Raises Refused where one cannot
    be asked for.
    """
    spec = behind.resolved.graph.spec
    targets = {each.metadata.name: each for each in behind.resolved.targets}
    for name in _declared(behind)[said.verdict].actions:
        action = spec.action(name)
        assert action is not None
        target = targets[action.target_ref.name]
        missing = [reference for reference in action.parameters.values() if behind.columns.get(reference) is None]
        if missing:
            raise Refused(
                f'verdict: its action "{name}" needs {", ".join(missing)}, and the decision has no such value'
            )
        operation = next(each for each in target.spec.operations if each.name == action.operation)
        parameters = {key: behind.columns[reference] for key, reference in action.parameters.items()}
        id_ = action_id(item["decision_id"].bytes, name)
        text = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS).decode()
        expires = now + timedelta(seconds=operation.expires_after.seconds) if operation.expires_after else None
        day = now.astimezone(UTC).date()
        cursor.execute("SELECT pointsman_ensure_day(%s)", (day,))
        where = (target.metadata.name, action.operation, text, now, expires)
        people = people_needed((target.spec.approval, action.approval))
        state, reason = (State.CHECKED, Reason.AwaitingApproval.value) if people else (State.APPROVED, None)
        gate = (state.value, reason, people, said.reviewer, behind.digest)
        fresh = cursor.execute(TO_DO, (day, id_, item["decision_id"], item["graph_uid"], *where, *gate)).fetchone()
        if fresh is not None:
            cursor.execute(ACTION, (day, id_, item["decision_id"], item["graph_uid"], name, *where))
            cursor.execute(f"NOTIFY {CHANNEL}")


def _label(behind: Recorded, item: Item, verdict: str) -> Iterator[Judged]:
    """What the verdict says of the graph's label, where the graph has one and declares verdicts."""
    spec = behind.resolved.graph.spec
    if spec.label is not None and spec.review.verdicts:
        yield Judged(
            decision_id=item["decision_id"],
            event_id=item["event_id"],
            value=verdict == spec.label.name,
            propensity=behind.propensity,
            origin=item["review_id"],
        )


def _end(cursor: psycopg.Cursor[Any], items: Sequence[Item], said: Said, state: str, now: datetime) -> None:
    ids, bodies = list[UUID](), list[bytes]()
    for each in items:
        verdict_id = uuid4()
        body = orjson.dumps(
            {
                "version": 1,
                "id": str(verdict_id),
                "review": str(each["review_id"]),
                "decision": str(each["decision_id"]),
                "state": state,
                "verdict": said.verdict or None,
                "reason": said.reason,
                "reviewer": said.reviewer,
                "at": now.isoformat(),
            },
            option=orjson.OPT_SORT_KEYS,
        )
        cursor.execute(
            INSERT,
            (
                verdict_id, each["review_id"], each["decision_id"], each["graph_uid"], said.verdict or None, said.reason,
                said.reviewer, now, body,
            ),
        )  # fmt: skip
        ids.append(verdict_id)
        bodies.append(body)
    cursor.execute(END, (state, now, [each["review_id"] for each in items]))
    append_leaves(cursor.connection, "verdict", [each.bytes for each in ids], bodies)
