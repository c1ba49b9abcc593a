"""Reads from the decision store: what was answered, what rebuilds a state, and everything behind one decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row
from pydantic import ValidationError

from pointsman.certificates.report import BandReport
from pointsman.decisions.record import KnownDecision
from pointsman.decisions.standing_then import standing_then
from pointsman.governance.masking import PERSONAL, personal_case, personal_in, personal_parameters
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.identity import decision_ids, digest
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.ledger.leaf import leaf

Connection = psycopg.Connection[TupleRow]

ANSWERS = """
SELECT decision_id, event_id, outcome, band, score, reasons, seq, revision FROM decisions
WHERE decision_id = ANY(%s) AND day = ANY(%s)
"""

# A row whose event time is not within the views' horizon of the newest one can change no feature any more.
COMMITTED = """
WITH newest AS (SELECT max(event_time) AS at FROM events WHERE stream_uid = %(stream)s)
SELECT body FROM (
    SELECT e.body, 0 AS part, e.history_position AS position FROM events e, newest
    WHERE e.stream_uid = %(stream)s AND e.history_position IS NOT NULL AND e.event_time >= newest.at - %(horizon)s
    UNION ALL
    SELECT e.body, 1, d.seq FROM newest, decisions d JOIN events e USING (day, stream_uid, event_id)
    WHERE d.graph_uid = %(graph)s AND e.event_time >= newest.at - %(horizon)s
) rows ORDER BY part, position
"""

SINCE = """
SELECT e.body FROM decisions d JOIN events e USING (day, stream_uid, event_id)
WHERE d.graph_uid = %(graph)s AND d.seq >= %(since)s ORDER BY d.seq
"""
HEARD = """
SELECT (SELECT coalesce(max(history_position) + 1, 0) FROM events
        WHERE stream_uid = %(stream)s AND history_position IS NOT NULL),
    coalesce((SELECT next_seq FROM graph_heads WHERE graph_uid = %(graph)s), 0)
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How far one has come in what a graph has heard: events of imported history, and the next sequence number."""

    history: int = 0
    next_seq: int = 0


class DecisionNotFound(Exception):
    """No decision, or more than one, has this id or prefix."""


def answers_of(connection: Connection, known: Iterable[tuple[bytes, KnownDecision]]) -> dict[bytes, dict[str, Any]]:
    """The answers that were given for recorded decisions."""
    wanted = list(known)
    with connection.transaction():
        rows = connection.execute(
            ANSWERS, ([UUID(bytes=id_) for id_, _ in wanted], list({each.day for _, each in wanted}))
        )
        return {
            decision_id.bytes: {
                "id": event_id,
                "decision": str(decision_id),
                "outcome": outcome,
                "band": band,
                "score": score,
                "reasons": reasons,
                "seq": seq,
                "revision": revision,
            }
            for decision_id, event_id, outcome, band, score, reasons, seq, revision in rows
        }


def heard(connection: Connection, graph: CompiledGraph) -> Seen:
    """How much has been committed that the graph's features are made of."""
    row = connection.execute(HEARD, _of(graph)).fetchone()
    assert row is not None
    return Seen(history=row[0], next_seq=row[1])


def all_events(connection: Connection, graph: CompiledGraph, size: int) -> Iterator[list[object]]:
    """Lists of at most `size` events that still matter to the graph's views: imported history, then by sequence."""
    return _bodies(connection, COMMITTED, _of(graph), size)


def events_since(connection: Connection, graph: CompiledGraph, since: int, size: int) -> Iterator[list[object]]:
    """Lists of at most `size` events that were decided from this sequence number on, in order."""
    return _bodies(connection, SINCE, {**_of(graph), "since": since}, size)


def _of(graph: CompiledGraph) -> dict[str, object]:
    return {
        "stream": graph.resolved.stream_uid,
        "graph": graph.resolved.graph_uid,
        "horizon": timedelta(microseconds=graph.horizon_us),
    }


def _bodies(connection: Connection, query: str, wanted: dict[str, object], size: int) -> Iterator[list[object]]:
    with connection.transaction(), connection.cursor(name="committed_events") as cursor:
        cursor.itersize = size
        cursor.execute(query, wanted)
        while rows := cursor.fetchmany(size):
            yield [orjson.loads(body) for (body,) in rows]


APPLIED = """
INSERT INTO objects (kind, name, uid, generation, document, status)
VALUES ('DecisionGraph', %(name)s, %(uid)s, %(generation)s, %(document)s::jsonb, jsonb_build_object('address', %(address)s::text))
ON CONFLICT (kind, name) DO UPDATE SET uid = excluded.uid, generation = excluded.generation, document = excluded.document,
    status = excluded.status, updated_at = now()
"""


def record_revision(connection: Connection, resolved: ResolvedGraph, *, address: str | None = None) -> None:
    """Keep what a revision was made of, once, so that every decision that names it can be explained.

    Call it when the graph is taken over and when its revision is switched. With the address of the graph's API the graph
    itself is kept too: on a cluster nobody else tells the store which graphs there are, on a laptop the supervisor does.
    """
    graph = resolved.graph
    with connection.transaction():
        connection.execute(
            "INSERT INTO revisions (kind, name, digest, body) VALUES ('DecisionGraph', %s, %s, %s::jsonb) "
            "ON CONFLICT DO NOTHING",
            (graph.name, resolved.revision, resolved.to_json().decode()),
        )
        if address is not None:
            applied = {
                "name": graph.name,
                "uid": resolved.graph_uid,
                "generation": graph.metadata.generation or 1,
                "document": orjson.dumps(graph.document()).decode(),
                "address": f"{address}/decisions",
            }
            connection.execute(APPLIED, applied)


def recorded_revision(connection: Connection, graph_uid: UUID) -> ResolvedGraph | None:
    """The revision that decided last; None where there is none, or where this release cannot read it."""
    with connection.transaction():
        row = connection.execute(
            "SELECT r.body FROM graph_heads h JOIN revisions r ON r.kind = 'DecisionGraph' AND r.digest = h.revision "
            "WHERE h.graph_uid = %s",
            (graph_uid,),
        ).fetchone()
    return None if row is None else _readable(row[0])


def explain(connection: Connection, wanted: str) -> dict[str, Any]:
    """Everything behind one decision; `certificates` say how its band stood to them then. `wanted` is its id, a prefix of
    at least six digits, or an event's id.

    What is personal in it is marked as governance.masking says. Raises DecisionNotFound.
    """
    decision_id = find_decision(connection, wanted)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:

        def all_of(query: str, *parameters: object) -> list[dict[str, Any]]:
            return cursor.execute(query, parameters).fetchall()

        decision = all_of(
            "SELECT d.* FROM decision_keys k JOIN decisions d USING (day, decision_id) WHERE k.decision_id = %s",
            decision_id,
        )[0]
        events = all_of(
            "SELECT body, digest, event_time, known_at FROM events WHERE stream_uid = %s AND event_id = %s",
            decision["stream_uid"],
            decision["event_id"],
        )
        revisions = all_of(
            "SELECT body FROM revisions WHERE kind = 'DecisionGraph' AND digest = %s", decision["revision"]
        )
        actions = all_of(
            "SELECT a.action_id, a.name, a.target, a.operation, a.parameters, a.expires_at, o.state, o.attempts, o.reason, "
            "o.people, o.proposer FROM actions a LEFT JOIN outbox o USING (action_id) WHERE a.decision_id = %s ORDER BY a.name",
            decision_id,
        )
        for action in actions:
            action["approvals"] = all_of(
                "SELECT approver, approved, reason, at FROM approvals WHERE action_id = %s ORDER BY at",
                action["action_id"],
            )
            action["effects"] = all_of(
                "SELECT state, attempt, fence, http_status, detail, at FROM effects WHERE action_id = %s ORDER BY at",
                action["action_id"],
            )
        reviews = all_of(
            "SELECT state, case_key, priority, reasons, opened_at, deadline_at FROM reviews "
            "WHERE decision_id = %s AND purpose = 'First'",
            decision_id,
        )
        leaves = all_of(
            "SELECT index, leaf, salt FROM ledger LEFT JOIN salts USING (index) WHERE ref = %s AND kind = 'decision'",
            decision_id,
        )
    body = bytes(decision["body"])
    resolved = _readable(revisions[0]["body"]) if revisions else None
    certificates = list[BandReport]()
    if resolved is not None and resolved.graph.spec.certificates == "Required":
        certificates = standing_then(connection, resolved, decision_id, decision["band"], decision["decided_at"])
    for action in actions:
        action[PERSONAL] = personal_parameters(action["name"], resolved)
    for review in reviews:
        review[PERSONAL] = personal_case(resolved)
    return {
        "decision": orjson.loads(body),
        "event": _event(events[0], resolved) if events else None,
        "revision": _revision(resolved) if resolved else None,
        "certificates": [each.model_dump(mode="json", by_alias=True) for each in certificates],
        "actions": actions,
        "review": reviews[0] if reviews else None,
        "ledger": _proof(leaves[0], body) if leaves else None,
    }


def _readable(body: dict[str, Any]) -> ResolvedGraph | None:
    """A recorded revision; None where this release cannot read it."""
    try:
        return ResolvedGraph.model_validate(body)
    except ValidationError:
        return None


def _event(row: dict[str, Any], resolved: ResolvedGraph | None) -> dict[str, Any]:
    body = bytes(row["body"])
    raw = orjson.loads(body)
    return {
        "raw": raw,
        PERSONAL: [f"raw.{name}" for name in personal_in(raw, resolved)],
        "digest": bytes(row["digest"]).hex(),
        "digestHolds": digest(body) == bytes(row["digest"]),
        "eventTime": row["event_time"],
        "knownAt": row["known_at"],
    }


def _revision(resolved: ResolvedGraph) -> dict[str, Any]:
    """What a reader asks of a revision first: versions and digests, and the contract's fields."""
    from pointsman.features.definition import compile_view
    from pointsman.graphs.contract import compile_contract

    return {
        "graph": resolved.graph.metadata.name,
        "digest": resolved.revision,
        "contract": {"stream": resolved.stream.metadata.name, "version": compile_contract(resolved.stream).version},
        "nodes": {node.name: node.type for node in resolved.graph.spec.nodes},
        "views": {view.metadata.name: compile_view(view, resolved.stream).version for view in resolved.views},
        "models": {
            node: {"name": model.name, "version": model.version, "digest": model.digest, "placement": model.placement}
            for node, model in resolved.models.items()
        },
        "bands": [
            {
                "name": band.name,
                "below": None if band.below is None else str(band.below),
                "atLeast": None if band.at_least is None else str(band.at_least),
                "outcome": band.outcome,
            }
            for band in resolved.graph.spec.bands
        ],
        "score": resolved.graph.spec.score,
        "certificates": resolved.graph.spec.certificates,
    }


def _proof(row: dict[str, Any], body: bytes) -> dict[str, Any]:
    committed = bytes(row["leaf"])
    salt = row["salt"]
    return {
        "index": row["index"],
        "leaf": committed.hex(),
        "holds": salt is not None and leaf(bytes(salt), body) == committed,
    }


def find_decision(connection: Connection, wanted: str) -> UUID:
    """By a full id, a unique prefix of one, or the id of an event. Raises DecisionNotFound."""
    hexadecimal = wanted.lower().replace("-", "")
    candidates = list[UUID]()
    with connection.transaction():
        if re.fullmatch("[0-9a-f]{6,32}", hexadecimal):
            low, high = UUID(hexadecimal.ljust(32, "0")), UUID(hexadecimal.ljust(32, "f"))
            rows = connection.execute(
                "SELECT decision_id FROM decision_keys WHERE decision_id BETWEEN %s AND %s LIMIT 2", (low, high)
            ).fetchall()
            candidates = [id_ for (id_,) in rows]
        if not candidates:
            graphs = connection.execute("SELECT graph_uid FROM graph_heads").fetchall()
            of_event = [UUID(bytes=decision_ids(uid, [wanted])[0]) for (uid,) in graphs]
            rows = connection.execute(
                "SELECT decision_id FROM decision_keys WHERE decision_id = ANY(%s)", (of_event,)
            ).fetchall()
            candidates = [id_ for (id_,) in rows]
    if not candidates:
        raise DecisionNotFound(f'no decision has the id, and no event is called "{wanted}"')
    if len(candidates) > 1:
        raise DecisionNotFound(f'more than one decision begins with "{wanted}": give more digits')
    return candidates[0]
