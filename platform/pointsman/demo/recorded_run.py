"""Reads from the store what the continuous run decided, how soon its freezes were observed, and the revision it ran."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.columns import Column
from pointsman.decisions.accept import event_columns as accepted_columns
from pointsman.demo.comparing import Answer
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import GraphLibrary

FREEZES = """
SELECT d.event_id, extract(epoch FROM min(e.at) - min(a.created_at))::float8
FROM effects e JOIN actions a USING (action_id) JOIN decisions d ON d.decision_id = a.decision_id
WHERE e.state = 'observed' GROUP BY d.event_id
"""
EVENTS = """
SELECT d.event_id, e.body FROM decisions d JOIN events e USING (day, stream_uid, event_id) WHERE d.graph_uid = %s ORDER BY d.seq
"""
REVISION = """
SELECT body FROM revisions WHERE kind = 'DecisionGraph'
AND digest = (SELECT revision FROM decisions WHERE event_id = ANY(%s) ORDER BY seq DESC LIMIT 1)
"""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """Of some events: their answers, the seconds from decision to observed freeze, and the last revision that decided them."""

    answers: Mapping[str, Answer]
    freeze_seconds: Mapping[str, float]
    revision: ResolvedGraph

    @property
    def slowest_freezes(self) -> float:
        """p95 of the waits; 0 where nothing was frozen."""
        waits = list(self.freeze_seconds.values())
        return float(np.percentile(waits, 95)) if waits else 0.0


def columns_of(
    connection: psycopg.Connection[TupleRow], library: GraphLibrary, events: Collection[str]
) -> Mapping[str, Column]:
    """Decided events in the order in which they were decided, as columns that features can see."""
    uid, wanted = library.graph.resolved.graph_uid, frozenset(events)
    with connection.transaction():
        rows = connection.execute(EVENTS, (uid,)).fetchall()
    read = library.graph.contract.read([orjson.loads(body) for id_, body in rows if id_ in wanted])
    return accepted_columns(read.columns)


def recorded_run(connection: psycopg.Connection[TupleRow], events: Collection[str]) -> RecordedRun:
    """Read it. Raises LookupError where none of the events was decided."""
    wanted = frozenset(events)
    with connection.transaction():
        decisions = connection.execute("SELECT event_id, outcome, band, score FROM decisions").fetchall()
        freezes = connection.execute(FREEZES).fetchall()
        revision = connection.execute(REVISION, (list(wanted),)).fetchone()
    if revision is None:
        raise LookupError("none of these events was decided")
    return RecordedRun(
        answers={
            id_: Answer(outcome=outcome, band=band, score=score)
            for id_, outcome, band, score in decisions
            if id_ in wanted
        },
        freeze_seconds={id_: seconds for id_, seconds in freezes if id_ in wanted},
        revision=ResolvedGraph.model_validate(revision[0]),
    )
