"""The outbox as SQL: what is due, who holds it, and what came of it. The dispatcher calls it, a transaction a function.

A lease is a row's owner, end and fence. Claiming raises the fence; whoever records must still hold the fence that it
was given, checked in the transaction that writes, so a dispatcher that was overtaken writes nothing. A row is `leased`
from the claim on and `attempted` from just before anything is sent: of a lease that ran out it is therefore known
whether a request may have left. All times come from the caller, who takes them from `clock`: one clock for every
dispatcher.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg import Cursor
from psycopg.rows import TupleRow

from pointsman.actions.approval import Proposal
from pointsman.actions.budget import Charge
from pointsman.actions.effects import Effect, Settle, State, Wait
from pointsman.api.reasons import Reason
from pointsman.ledger.append import append_leaves

CHANNEL = "pointsman_outbox"
BUDGET_LOCK = 730_041_203
"""First half of the advisory lock under which one dispatcher spends a target's budget."""

BODY_VERSION = 1

# The second condition is what the partial index outbox_due is built on.
DUE = """
state IN ('approved', 'leased', 'attempted') AND state NOT IN ('observed', 'rejected', 'unknown', 'compensated')
AND (lease_until IS NULL OR lease_until <= %(now)s)
"""
TAKE = """
UPDATE outbox SET state = CASE outbox.state WHEN 'attempted' THEN 'attempted' ELSE 'leased' END,
    fence = outbox.fence + 1, lease_owner = %(owner)s, lease_until = %(until)s
FROM due WHERE outbox.action_id = due.action_id
RETURNING outbox.action_id, outbox.decision_id, outbox.graph_uid, outbox.target, outbox.operation, outbox.parameters,
    outbox.state, outbox.fence, outbox.attempts, outbox.reason, outbox.evidence, outbox.proposer, outbox.people,
    outbox.approval, outbox.certified, outbox.expires_at, outbox.created_at
"""
CLAIM = f"""
WITH due AS (
    SELECT action_id FROM outbox
    WHERE {DUE} AND next_attempt_at <= %(now)s AND target = %(target)s AND (attempts > 0 OR NOT %(begun_only)s)
    ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
{TAKE}"""
CLAIM_EXPIRED = f"""
WITH due AS (
    SELECT action_id FROM outbox
    WHERE ({DUE} AND state <> 'attempted' OR state = 'checked') AND expires_at <= %(now)s
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
{TAKE}"""
BEGIN = """
UPDATE outbox SET state = 'attempted', attempts = outbox.attempts + 1, lease_until = %(until)s,
    reason = CASE outbox.state WHEN 'attempted' THEN outbox.reason END
FROM unnest(%(ids)s::uuid[], %(fences)s::bigint[]) AS held (action_id, fence)
WHERE outbox.action_id = held.action_id AND outbox.fence = held.fence AND outbox.lease_owner = %(owner)s
    AND outbox.state IN ('leased', 'attempted')
RETURNING outbox.action_id
"""
RELEASE = """
UPDATE outbox SET state = CASE outbox.state WHEN 'leased' THEN 'approved' ELSE outbox.state END,
    lease_owner = NULL, lease_until = NULL
FROM unnest(%(ids)s::uuid[], %(fences)s::bigint[]) AS held (action_id, fence)
WHERE outbox.action_id = held.action_id AND outbox.fence = held.fence AND outbox.lease_owner = %(owner)s
"""
RECORD = """
UPDATE outbox SET state = done.state, attempts = done.attempts, next_attempt_at = done.next_at, reason = done.reason,
    lease_owner = NULL, lease_until = NULL
FROM unnest(%(ids)s::uuid[], %(fences)s::bigint[], %(states)s::text[], %(attempts)s::int[],
    %(next)s::timestamptz[], %(reasons)s::text[]) AS done (action_id, fence, state, attempts, next_at, reason)
WHERE outbox.action_id = done.action_id AND outbox.fence = done.fence AND outbox.lease_owner = %(owner)s
    AND outbox.state IN ('leased', 'attempted')
RETURNING outbox.action_id
"""
REVIEW = """
INSERT INTO reviews (review_id, decision_id, graph_uid, event_id, reasons, opened_at)
SELECT o.decision_id, o.decision_id, o.graph_uid, coalesce(d.event_id, o.decision_id::text), ARRAY[o.reason], %(now)s
FROM outbox o LEFT JOIN decision_keys k USING (decision_id)
    LEFT JOIN decisions d ON d.day = k.day AND d.decision_id = k.decision_id
WHERE o.action_id = ANY(%(ids)s)
ON CONFLICT DO NOTHING
"""
SAY_HELD = """
UPDATE outbox SET reason = %(reason)s
WHERE target = %(target)s AND state = 'approved' AND (attempts = 0 OR NOT %(fresh_only)s)
    AND reason IS DISTINCT FROM %(reason)s
"""
SAY_NO_TARGET = """
UPDATE outbox SET reason = %(reason)s
WHERE target <> ALL(%(known)s) AND state = 'approved' AND reason IS DISTINCT FROM %(reason)s
"""
SPENT = """
SELECT at, count(*) FROM (
    SELECT min(e.at) AS at FROM effects e JOIN outbox o USING (action_id)
    WHERE o.target = %(target)s AND e.day >= %(since)s::date AND e.at > %(since)s AND e.attempt > 0
    GROUP BY e.action_id
    UNION ALL
    SELECT %(now)s::timestamptz FROM outbox o
    WHERE o.target = %(target)s AND o.state = 'attempted' AND o.attempts > 0
        AND NOT EXISTS (SELECT FROM effects e WHERE e.action_id = o.action_id)) sent
GROUP BY at ORDER BY at
"""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One action under lease. `effect` is what its row says: attempted, and so uncertain, or leased."""

    action_id: UUID
    decision_id: UUID
    graph_uid: UUID
    target: str
    operation: str
    parameters: Mapping[str, Any]
    created_at: datetime
    fence: int
    effect: Effect
    certified: bool = False
    """whether a certificate speaks for the band that has asked for it"""
    approved_by: int | None = 0
    """how many people have approved this very action; None where those that had to did not"""

    @property
    def is_fresh(self) -> bool:
        """Nothing of it has reached the target yet."""
        return self.effect.attempts == 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a lease came to; `detail` is what was seen, without parameters and secrets."""

    claim: Claim
    step: Wait | Settle
    at: datetime
    http_status: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What `record` wrote, and what it dropped because another dispatcher has taken over."""

    written: frozenset[UUID]
    stale: tuple[UUID, ...]


def clock(cursor: Cursor[TupleRow]) -> datetime:
    """The store's time."""
    row = cursor.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def claim(
    cursor: Cursor[TupleRow],
    *,
    owner: str,
    target: str,
    limit: int,
    lease_seconds: float,
    now: datetime,
    begun_only: bool = False,
) -> list[Claim]:
    """Lease up to `limit` due actions of a target that no other dispatcher holds; leases that ended are taken over."""
    wanted = {"target": target, "begun_only": begun_only}
    return _take(cursor, CLAIM, owner=owner, limit=limit, lease_seconds=lease_seconds, now=now, wanted=wanted)


def claim_expired(
    cursor: Cursor[TupleRow], *, owner: str, limit: int, lease_seconds: float, now: datetime
) -> list[Claim]:
    """Lease expired actions of any target of which surely nothing was sent."""
    return _take(cursor, CLAIM_EXPIRED, owner=owner, limit=limit, lease_seconds=lease_seconds, now=now, wanted={})


def begin(
    cursor: Cursor[TupleRow], claims: Sequence[Claim], *, owner: str, lease_seconds: float, now: datetime
) -> frozenset[UUID]:
    """Mark what is about to be sent as attempted, with a full lease from now; return what is still held."""
    until = now + timedelta(seconds=lease_seconds)
    rows = cursor.execute(BEGIN, {**_held(claims), "owner": owner, "until": until})
    return frozenset(id_ for (id_,) in rows)


def release(cursor: Cursor[TupleRow], claims: Sequence[Claim], *, owner: str) -> None:
    """Give back leases under which nothing was sent."""
    cursor.execute(RELEASE, {**_held(claims), "owner": owner})


def record(cursor: Cursor[TupleRow], outcomes: Sequence[Outcome], *, owner: str, now: datetime) -> Recorded:
    """Write outcomes, effects, ledger leaves and items for people; what lost its fence is dropped. Call it last: it
    locks the ledger's head."""
    if not outcomes:
        return Recorded(written=frozenset(), stale=())
    day = now.date()
    cursor.execute("SELECT pointsman_ensure_day(%s)", (day,))
    rows = cursor.execute(
        RECORD,
        {
            **_held([each.claim for each in outcomes]),
            "owner": owner,
            "states": [each.step.effect.state.value for each in outcomes],
            "attempts": [each.step.effect.attempts for each in outcomes],
            "next": [each.step.until if isinstance(each.step, Wait) else now for each in outcomes],
            "reasons": [each.step.reason.value for each in outcomes],
        },
    )
    written = frozenset(id_ for (id_,) in rows)
    kept = [each for each in outcomes if each.claim.action_id in written]
    for_people = [each.claim.action_id for each in kept if isinstance(each.step, Settle) and each.step.needs_person]
    if for_people:
        cursor.execute(REVIEW, {"ids": for_people, "now": now})
    effect_ids = [effect_id(each.claim.action_id, each.claim.fence) for each in kept]
    bodies = [effect_body(each) for each in kept]
    columns = "day, effect_id, action_id, fence, state, attempt, http_status, detail, at, body"
    with cursor.copy(f"COPY effects ({columns}) FROM STDIN") as copy:
        for id_, each, body in zip(effect_ids, kept, bodies, strict=True):
            effect = each.step.effect
            copy.write_row(
                (
                    day,
                    id_,
                    each.claim.action_id,
                    each.claim.fence,
                    effect.state.value,
                    effect.attempts,
                    each.http_status,
                    orjson.dumps({"reason": each.step.reason.value, **each.detail}).decode(),
                    each.at,
                    body,
                )
            )
    append_leaves(cursor.connection, kind="effect", refs=[each.bytes for each in effect_ids], bodies=bodies)
    return Recorded(
        written=written,
        stale=tuple(each.claim.action_id for each in outcomes if each.claim.action_id not in written),
    )


def effect_id(action_id: UUID, fence: int) -> UUID:
    """The first 128 bits of SHA-256(action id ‖ fence): a lease has one outcome."""
    return UUID(bytes=hashlib.sha256(action_id.bytes + fence.to_bytes(8, "big")).digest()[:16])


def effect_body(outcome: Outcome) -> bytes:
    """The record that the ledger commits to; parameters stand in it by digest only."""
    claim, effect = outcome.claim, outcome.step.effect
    parameters = orjson.dumps(claim.parameters, option=orjson.OPT_SORT_KEYS)
    body = {
        "version": BODY_VERSION,
        "action": str(claim.action_id),
        "decision": str(claim.decision_id),
        "target": claim.target,
        "operation": claim.operation,
        "parametersDigest": hashlib.sha256(parameters).hexdigest(),
        "fence": claim.fence,
        "attempt": effect.attempts,
        "state": effect.state.value,
        "reason": outcome.step.reason.value,
        "httpStatus": outcome.http_status,
        "detail": outcome.detail,
        "at": outcome.at.isoformat(),
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def say_held(cursor: Cursor[TupleRow], target: str, reason: Reason, *, fresh_only: bool) -> None:
    """Let the waiting actions of a target say why they wait."""
    cursor.execute(SAY_HELD, {"target": target, "reason": reason.value, "fresh_only": fresh_only})


def say_no_target(cursor: Cursor[TupleRow], known: Collection[str]) -> None:
    """Let the actions of targets that are not registered say so."""
    cursor.execute(SAY_NO_TARGET, {"known": list(known), "reason": Reason.TargetNotFound.value})


def take_budget(cursor: Cursor[TupleRow], target: str) -> bool:
    """Become the one dispatcher that spends a target's budget, until its connection ends; False while another one is."""
    row = cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (BUDGET_LOCK, target)).fetchone()
    return row is not None and bool(row[0])


def spent(cursor: Cursor[TupleRow], target: str, window: timedelta, now: datetime) -> list[Charge]:
    """What a target's window holds: actions by their first recorded attempt, and what may be under way now."""
    rows = cursor.execute(SPENT, {"target": target, "since": now - window, "now": now})
    return [Charge(at=at, count=count) for at, count in rows]


def _take(
    cursor: Cursor[TupleRow],
    query: str,
    *,
    owner: str,
    limit: int,
    lease_seconds: float,
    now: datetime,
    wanted: Mapping[str, object],
) -> list[Claim]:
    until = now + timedelta(seconds=lease_seconds)
    rows = cursor.execute(query, {**wanted, "owner": owner, "limit": limit, "now": now, "until": until})
    return [_claim(row) for row in rows]


def _claim(row: TupleRow) -> Claim:
    action_id, decision_id, graph_uid, target, operation, parameters, state, fence, attempts, reason, *more = row
    evidence, proposer, people, approval, certified, expires_at, created_at = more
    approved_by: int | None = 0
    if people:
        proposal = Proposal(
            action_id=action_id,
            decision_id=decision_id,
            target=target,
            operation=operation,
            parameters=parameters,
            evidence=bytes(evidence),
            proposer=proposer,
            people=people,
        )
        approved_by = people if approval is not None and bytes(approval) == proposal.digest else None
    uncertain = state == State.ATTEMPTED
    effect = Effect(
        action_id=action_id,
        state=State(state),
        attempts=attempts,
        uncertain=uncertain,
        accepted=uncertain and reason == Reason.Sent,
        expires_at=expires_at,
    )
    return Claim(
        action_id=action_id,
        decision_id=decision_id,
        graph_uid=graph_uid,
        target=target,
        operation=operation,
        parameters=parameters,
        created_at=created_at,
        fence=fence,
        effect=effect,
        certified=certified,
        approved_by=approved_by,
    )


def _held(claims: Sequence[Claim]) -> dict[str, object]:
    return {"ids": [each.action_id for each in claims], "fences": [each.fence for each in claims]}
