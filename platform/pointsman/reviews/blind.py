"""Which items keep the model's view from a reviewer until they have said a first call of their own, and those calls.

A share of cases is drawn (`review.blindShare`), whole ones: what one item of a case shows would say much of its others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.api.values import Percent
from pointsman.ledger.append import append_leaves
from pointsman.reviews.draws import is_in_share
from pointsman.reviews.queue import Item

Connection = psycopg.Connection[TupleRow]

DRAW = b"pointsman/blind-view\0"
"""With the graph's uid and the case behind it: keeps this draw apart from others"""

# What a dispatcher puts before a person is about an effect, and hides nothing: its reason is none of the decision's.
UNSAID = """
WITH asked AS MATERIALIZED (
    SELECT DISTINCT r.decision_id, r.graph_uid, d.revision,
        (SELECT f.case_key FROM reviews f WHERE f.decision_id = r.decision_id AND f.purpose = 'First') AS case_key
    FROM reviews r JOIN decision_keys k USING (decision_id) JOIN decisions d USING (day, decision_id)
    WHERE r.decision_id = ANY(%(decisions)s) AND r.state = 'open'
        AND (r.reasons = d.reasons OR r.purpose <> 'First')
        AND NOT EXISTS (SELECT FROM first_calls c WHERE c.decision_id = r.decision_id AND c.reviewer = %(who)s)
        AND NOT EXISTS (SELECT FROM verdicts v WHERE v.decision_id = r.decision_id AND v.reviewer = %(who)s)),
shares AS MATERIALIZED (
    SELECT DISTINCT digest, body #>> '{graph,spec,review,blindShare}' AS share FROM revisions
    WHERE kind = 'DecisionGraph' AND digest IN (SELECT revision FROM asked))
SELECT a.decision_id, a.graph_uid, a.case_key, s.share FROM asked a JOIN shares s ON s.digest = a.revision
WHERE s.share IS NOT NULL
"""
SAID = "SELECT decision_id, verdict FROM first_calls WHERE decision_id = ANY(%s) AND reviewer = %s"
SAY = """
INSERT INTO first_calls (call_id, decision_id, reviewer, review_id, graph_uid, verdict, at, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


def is_blind(graph_uid: UUID, decision_id: UUID, case: str | None, share: float) -> bool:
    """Whether the case is drawn, or the decision where it has none."""
    of = decision_id.bytes if case is None else case.encode()
    return is_in_share(DRAW + graph_uid.bytes + of, share)


def hidden_from(connection: Connection, who: str, decision_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Of these decisions those with an open item of which this person is to say a first call before the model speaks."""
    with connection.transaction():
        rows = connection.execute(UNSAID, {"decisions": list(decision_ids), "who": who}).fetchall()
    return frozenset(
        decision_id
        for decision_id, graph_uid, case, share in rows
        if is_blind(graph_uid, decision_id, case, float(Percent(share).fraction))
    )


def calls_of(connection: Connection, who: str, decision_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What this person has said of decisions before they saw the model's view."""
    with connection.transaction():
        return dict(connection.execute(SAID, (list(decision_ids), who)).fetchall())


def record(connection: Connection, items: Sequence[Item], verdict: str, who: str, now: datetime) -> None:
    """Write first calls and their leaves, in the caller's transaction."""
    ids, bodies = list[UUID](), list[bytes]()
    with connection.cursor(row_factory=dict_row) as cursor:
        for each in items:
            call_id = uuid4()
            body = orjson.dumps(
                {
                    "version": 1,
                    "id": str(call_id),
                    "review": str(each["review_id"]),
                    "decision": str(each["decision_id"]),
                    "verdict": verdict,
                    "reviewer": who,
                    "at": now.isoformat(),
                },
                option=orjson.OPT_SORT_KEYS,
            )
            place = (each["decision_id"], who, each["review_id"], each["graph_uid"])
            cursor.execute(SAY, (call_id, *place, verdict, now, body))
            ids.append(call_id)
            bodies.append(body)
    append_leaves(connection, "first call", [each.bytes for each in ids], bodies)
