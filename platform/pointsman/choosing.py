"""Weighs thresholds for `pointsman certify --choose`: gathers what they cost, and chooses among those that are certified.

Costs are expressions over an event's fields. How many items a day people see follows from the newest decisions of the same
scorer, whether they are labelled or not, by the times of their events.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.certificates.certify import Outcome, certify
from pointsman.certificates.choose import Choice, choose, propose
from pointsman.certificates.costs import Scales, Traffic, Wanted
from pointsman.certificates.labelled import Labelled, are_tested, halves
from pointsman.certificates.promise import Promised
from pointsman.certificates.thresholds import are_sound
from pointsman.certifying import AT_ONCE, Anew, CannotCertify, Joined, alike, scored_anew
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.decisions.accept import event_columns
from pointsman.graphs.contract import compile_contract
from pointsman.graphs.expressions import Expression, InvalidExpression, compile_expression
from pointsman.graphs.resolve import ResolvedGraph

Connection = psycopg.Connection[TupleRow]
Floats = npt.NDArray[np.float64]

ONE_ROW = Column(type=ColumnType(type=FieldType.INTEGER), values=np.zeros(1, dtype=np.int64))
NEWEST = 50_000
"""Decisions by which the traffic is known"""
DECIDED = """
SELECT d.decision_id, d.score, e.event_time FROM decisions d JOIN events e USING (day, stream_uid, event_id)
WHERE d.graph_uid = %s AND d.score IS NOT NULL AND d.revision = ANY(%s) ORDER BY d.seq DESC LIMIT %s
"""
REVISIONS = "SELECT digest FROM revisions WHERE kind = 'DecisionGraph' AND name = %s"
EVENTS = """
SELECT k.decision_id, e.body FROM decision_keys k JOIN decisions d USING (day, decision_id)
JOIN events e USING (day, stream_uid, event_id) WHERE k.decision_id = ANY(%s)
"""


def choose_and_certify(
    connection: Connection | None,
    resolved: ResolvedGraph,
    joined: Joined,
    promises: Sequence[Promised],
    wanted: Wanted,
    *,
    other: Anew | None = None,
) -> tuple[Choice, list[Outcome]]:
    """Choose thresholds on one half of what is labelled, certify them on the other, and take the cheapest that hold.

    `other` scores recorded decisions anew, where the labelled ones were. Without a connection, all there is is in `joined`.
    Raises CannotCertify.
    """
    if joined.labelled.segments is not None:
        raise CannotCertify("thresholds are chosen for a graph as a whole: choose first, then certify segments of it")
    costs = _Costs(resolved, wanted)
    half, _ = halves(joined.labelled)
    events = _events_of(connection, joined, half) if costs.need_events else [{}] * len(half)
    traffic = joined.traffic
    if traffic is None and connection is not None:
        traffic = _traffic(connection, resolved, other)
    if traffic is None or not len(traffic.ids):
        raise CannotCertify("there are no decisions of this scorer to weigh thresholds by")
    chosen = ~are_tested(traffic.ids)
    scales = Scales(
        labelled=half,
        costs=costs.of(events, half.labels),
        scores=traffic.scores[chosen],
        a_day=traffic.a_day,
        review=wanted.review,
        most_reviewed=wanted.most_reviewed,
        audited=float(resolved.graph.spec.audit.sample.fraction),
    )
    proposed = propose(scales, promises, partial(are_sound, resolved.graph.spec.bands))
    return choose(certify(joined.labelled, promises, proposed.by_band()), proposed, scales)


class _Costs:
    """What a wrong decision costs, by the event's fields. Raises CannotCertify where an expression cannot be read."""

    def __init__(self, resolved: ResolvedGraph, wanted: Wanted) -> None:
        self._contract = compile_contract(resolved.stream)
        self._missed = self._compiled("missed", wanted.missed)
        self._stopped = self._compiled("stopped", wanted.stopped)

    @property
    def need_events(self) -> bool:
        return bool(self._missed.names or self._stopped.names)

    def of(self, events: Sequence[object], labels: npt.NDArray[np.bool_]) -> Floats:
        """What each costs where its band is wrong; what is missing costs nothing."""
        if not self.need_events:
            return np.where(labels, self._constant(self._missed), self._constant(self._stopped))
        read = self._contract.read(events)
        columns, found = event_columns(read.columns), np.zeros(len(events))
        if len(read.good):
            missed, stopped = (each.evaluate(columns).double() for each in (self._missed, self._stopped))
            found[read.good] = np.nan_to_num(np.where(labels[read.good], missed, stopped))
        return found

    def _compiled(self, which: str, text: str) -> Expression:
        types = {f"event.{name}": type_ for name, type_ in self._contract.types.items()}
        try:
            compiled = compile_expression(text, types)
        except InvalidExpression as error:
            raise CannotCertify(f'what a {which} item costs: "{text}": {error}') from None
        if compiled.type.type not in (FieldType.INTEGER, FieldType.DOUBLE, FieldType.DECIMAL):
            raise CannotCertify(f'what a {which} item costs: "{text}" is a {compiled.type.type}, not a number')
        return compiled

    def _constant(self, expression: Expression) -> float:
        return float(expression.evaluate({"": ONE_ROW}).double()[0])


def _traffic(connection: Connection, resolved: ResolvedGraph, other: Anew | None) -> Traffic:
    """The newest decisions of the same scorer; where another one scores them anew, of any model on the same features."""
    with connection.transaction():
        known = {digest for (digest,) in connection.execute(REVISIONS, (resolved.graph.name,)).fetchall()}
        same = alike(connection, resolved, known, any_model=other is not None)
        rows = connection.execute(DECIDED, (resolved.graph_uid, list(same), NEWEST)).fetchall()
    ids = [id_.bytes for id_, _, _ in rows]
    scores = np.array([score for _, score, _ in rows], dtype=np.float64)
    if other is not None:
        scores = scored_anew(connection, ids, other)
    times = [moment for _, _, moment in rows]
    days = max(1.0, (max(times) - min(times)).total_seconds() / 86_400) if times else 1.0
    there = ~np.isnan(scores)
    kept = [id_ for id_, is_there in zip(ids, there.tolist(), strict=True) if is_there]
    return Traffic(ids=kept, scores=scores[there], days=days)


def _events_of(connection: Connection | None, joined: Joined, items: Labelled) -> list[object]:
    """The events of these items, which are some of the labelled ones."""
    if joined.events is not None or connection is None:
        by_id = dict(zip(joined.labelled.ids, joined.events or (), strict=True))
        return [by_id[id_] for id_ in items.ids]
    found = dict[bytes, Any]()
    with connection.transaction():
        for at in range(0, len(items), AT_ONCE):
            ids = [UUID(bytes=id_) for id_ in items.ids[at : at + AT_ONCE]]
            found |= {id_.bytes: body for id_, body in connection.execute(EVENTS, (ids,)).fetchall()}
    return [orjson.loads(found[id_]) for id_ in items.ids]
