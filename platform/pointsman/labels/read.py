"""Reads decided items with what is known of them, as columns: for certification, for counts, and for retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.api.decision_graph import DecisionGraphSpec
from pointsman.labels.assemble import NONE, Assembled, Items, Told, assemble, silence_counts

Connection = psycopg.Connection[TupleRow]
Rows = Sequence[Sequence[Any]]

# What people had no room for was not carried out as its band says either.
ITEMS = """
SELECT d.decision_id, d.seq, d.score, d.band,
    CASE WHEN 'ReviewOverflow' = ANY(d.reasons) THEN 'review' ELSE d.outcome END AS outcome, d.revision, e.event_time,
    i.value, i.known_at, i.propensity, v.value, v.known_at, v.propensity, {more}
FROM decisions d JOIN events e USING (day, stream_uid, event_id)
    LEFT JOIN LATERAL (SELECT l.value, l.known_at, l.propensity FROM labels l
        WHERE l.decision_id = d.decision_id AND l.source = 'Import' ORDER BY l.seq DESC LIMIT 1) i ON true
    LEFT JOIN LATERAL (SELECT l.value, l.known_at, l.propensity FROM labels l
        WHERE l.decision_id = d.decision_id AND l.source = 'Verdict' ORDER BY l.seq DESC LIMIT 1) v ON true
WHERE d.graph_uid = %(graph)s AND d.seq >= %(since)s ORDER BY d.seq LIMIT %(limit)s
"""
ALIKE = """
WITH latest AS (SELECT DISTINCT ON (decision_id, source) decision_id, source, value, propensity FROM labels
    WHERE graph_uid = %(graph)s ORDER BY decision_id, source, seq DESC)
SELECT d.band, d.outcome, e.event_time <= %(matured)s, i.value, i.propensity, v.value, v.propensity, count(*)
FROM decisions d JOIN events e USING (day, stream_uid, event_id)
    LEFT JOIN latest i ON i.decision_id = d.decision_id AND i.source = 'Import'
    LEFT JOIN latest v ON v.decision_id = d.decision_id AND v.source = 'Verdict'
WHERE d.graph_uid = %(graph)s GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
SEGMENT = """CASE WHEN %(node)s = 'event' THEN convert_from(e.body, 'UTF8')::json ->> %(field)s
    ELSE convert_from(d.body, 'UTF8')::json -> 'values' ->> %(column)s END"""
RECORDS = "d.event_id, d.body, e.body"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ_AT_ONCE = 20_000


class NoLabel(ValueError):
    """The graph has no label: nothing can be known of its decisions."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A labelled decision for retraining. `values` are features and outputs as they were recorded, `event` its fields."""

    event_id: str
    event_time: datetime
    values: Mapping[str, object]
    event: Mapping[str, object]
    score: float | None
    band: str | None
    outcome: str
    revision: str
    label: bool
    source: str
    known_at: datetime
    weight: float


def known_labels(
    connection: Connection, graph_uid: UUID, spec: DecisionGraphSpec, now: datetime, *, segment: str | None = None
) -> tuple[Items, Assembled]:
    """All decisions of a graph, and which of them have a label that counts now. `segment` is a column of the graph.

    Raises NoLabel.
    """
    more, asked = "NULL", dict[str, object]()
    if segment is not None:
        node, _, field = segment.partition(".")
        more, asked = SEGMENT, {"node": node, "field": field, "column": segment}
    with connection.transaction(), connection.cursor(name="labelled") as cursor:
        cursor.itersize = READ_AT_ONCE
        cursor.execute(ITEMS.format(more=more), {"graph": graph_uid, "since": 0, "limit": None, **asked})
        rows = list[Sequence[Any]]()
        while part := cursor.fetchmany(READ_AT_ONCE):
            rows += part
    items = _items(rows, segments=segment is not None)
    return items, _assembled(items, spec, now)


def known_numbers(
    connection: Connection, graph_uid: UUID, spec: DecisionGraphSpec, now: datetime
) -> tuple[Items, Assembled]:
    """The same for whoever only counts: decisions of which the same is known are one row. They have neither id, score nor
    time.

    Raises NoLabel.
    """
    with connection.transaction():
        asked = {"graph": graph_uid, "matured": now - _matures_after(spec)}
        rows = connection.execute(ALIKE, asked).fetchall()
    bands, outcomes, matured, told, stated, judged, drawn, numbers = zip(*rows, strict=True) if rows else [()] * 8
    nothing = [None] * len(rows)
    items = Items(
        ids=[b""] * len(rows),
        seq=np.zeros(len(rows), dtype=np.int64),
        scores=np.full(len(rows), np.nan),
        bands=np.array(bands, dtype=object),
        outcomes=np.array(outcomes, dtype=object),
        revisions=np.array(nothing, dtype=object),
        event_times=np.where(np.array(matured, dtype=np.bool_), 0, _us(now) + 1),
        imports=_told([told, nothing, stated]),
        verdicts=_told([judged, nothing, drawn]),
        numbers=np.array(numbers, dtype=np.int64),
    )
    return items, _assembled(items, spec, now)


def records(
    connection: Connection, graph_uid: UUID, spec: DecisionGraphSpec, now: datetime, *, since: int, limit: int
) -> tuple[list[Record], int | None]:
    """Labelled decisions out of the next `limit` from sequence number `since` on, and where the next ones begin.

    Raises NoLabel.
    """
    asked = {"graph": graph_uid, "since": since, "limit": limit}
    with connection.transaction():
        rows = connection.execute(ITEMS.format(more=RECORDS), asked).fetchall()
    items = _items(rows, segments=False)
    known = _assembled(items, spec, now)
    columns = (known.rows.tolist(), known.labels.tolist(), known.sources.tolist(), known.known_at.tolist())
    found = [
        _record(rows[at], label, source, EPOCH + timedelta(microseconds=moment), weight)
        for at, label, source, moment, weight in zip(*columns, known.weights.tolist(), strict=True)
    ]
    return found, int(items.seq[-1]) + 1 if len(rows) == limit else None


def _assembled(items: Items, spec: DecisionGraphSpec, now: datetime) -> Assembled:
    return assemble(items, matures_after=_matures_after(spec), passed=silence_counts(spec), now=_us(now))


def _matures_after(spec: DecisionGraphSpec) -> timedelta:
    if spec.label is None:
        raise NoLabel("the graph has no label: spec.label says what its score is about, and when the truth is known")
    return timedelta(microseconds=spec.label.matures_after.microseconds)


def _record(row: Sequence[Any], label: bool, source: str, known_at: datetime, weight: float) -> Record:
    _, _, score, band, outcome, revision, event_time, *_, event_id, body, event = row
    return Record(
        event_id=event_id,
        event_time=event_time,
        values=orjson.loads(body)["values"],
        event=orjson.loads(event),
        score=score,
        band=band,
        outcome=outcome,
        revision=revision,
        label=label,
        source=source,
        known_at=known_at,
        weight=weight,
    )


def _items(rows: Rows, *, segments: bool) -> Items:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 14
    ids, seq, scores, bands, outcomes, revisions, times = columns[:7]
    return Items(
        ids=[each.bytes for each in ids],
        seq=np.array(seq, dtype=np.int64),
        scores=np.array(scores, dtype=np.float64),
        bands=np.array(bands, dtype=object),
        outcomes=np.array(outcomes, dtype=object),
        revisions=np.array(revisions, dtype=object),
        event_times=np.array([_us(each) for each in times], dtype=np.int64),
        imports=_told(columns[7:10]),
        verdicts=_told(columns[10:13]),
        segments=np.array(columns[13], dtype=object) if segments else None,
    )


def _told(columns: Sequence[Sequence[Any]]) -> Told:
    values, known_at, propensities = columns
    return Told(
        values=np.array([NONE if each is None else int(each) for each in values], dtype=np.int8),
        known_at=np.array([0 if each is None else _us(each) for each in known_at], dtype=np.int64),
        propensities=np.array(propensities, dtype=np.float64),
    )


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
