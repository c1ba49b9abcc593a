"""Monitors in the decision store: fed in the transaction in which labels are written; on alarm the band is demoted in it too.

An audited item counts once, with the first label of which it is known how its events were chosen, and only while what
decided it still decides: another scorer, or another certificate, is another promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg.rows import TupleRow, dict_row

from pointsman.certificates.document import BandCertificate
from pointsman.certificates.promise import Promised, promises
from pointsman.certificates.segments import segmentation
from pointsman.certificates.standing import Known, stand
from pointsman.decisions import certificate_store
from pointsman.decisions.accept import event_columns
from pointsman.decisions.queries import recorded_revision
from pointsman.graphs.contract import compile_contract
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.monitoring.monitor import Monitor

log = structlog.get_logger()

Connection = psycopg.Connection[TupleRow]
Row = Mapping[str, Any]

AUTHOR = "monitor"
AUDITED = """
SELECT d.decision_id, d.band, d.decided_at, d.revision, d.body, e.body AS event,
    (SELECT l.value FROM labels l WHERE l.decision_id = d.decision_id AND l.source = 'Import' ORDER BY l.seq DESC LIMIT 1) AS truth
FROM decision_keys k JOIN decisions d USING (day, decision_id)
    LEFT JOIN events e ON e.day = d.day AND e.stream_uid = d.stream_uid AND e.event_id = d.event_id
WHERE k.decision_id = ANY(%s) AND 'AuditSample' = ANY(d.reasons) AND NOT EXISTS (
    SELECT FROM labels l WHERE l.decision_id = d.decision_id AND l.propensity IS NOT NULL)
ORDER BY d.seq
"""
REVISION = "SELECT body FROM revisions WHERE kind = 'DecisionGraph' AND digest = %s"
BEGIN = """
INSERT INTO monitors (graph_uid, band, segment, subject, alpha, wrong, labelled, stake, beliefs, began_at)
VALUES (%(graph)s, %(band)s, %(segment)s, '', 0.5, 0, 0, 0, '{}', %(now)s) ON CONFLICT DO NOTHING
"""
STATE = """
SELECT subject, alpha, wrong, labelled, stake, beliefs, began_at, alarmed_at FROM monitors
WHERE graph_uid = %(graph)s AND band = %(band)s AND segment = %(segment)s FOR UPDATE
"""
KEEP = """
UPDATE monitors SET subject = %(subject)s, alpha = %(alpha)s, wrong = %(wrong)s, labelled = %(labelled)s, stake = %(stake)s,
    beliefs = %(beliefs)s, began_at = %(began)s, alarmed_at = %(alarmed)s
WHERE graph_uid = %(graph)s AND band = %(band)s AND segment = %(segment)s
"""
ALL = """
SELECT band, segment, alpha, wrong, labelled, stake, beliefs, began_at, alarmed_at FROM monitors WHERE graph_uid = %s
ORDER BY band, segment
"""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A band, or a segment of it, with what its monitor says; `segment` is empty where the band as a whole is meant."""

    band: str
    segment: str
    monitor: Monitor
    began_at: datetime
    alarmed_at: datetime | None


def watched(connection: Connection, graph_uid: UUID) -> list[Watched]:
    """All monitors of a graph that have heard anything."""
    return [
        Watched(
            band=band,
            segment=segment,
            monitor=Monitor(alpha=alpha, wrong=wrong, labelled=labelled, stake=stake, beliefs=tuple(beliefs)),
            began_at=began_at,
            alarmed_at=alarmed_at,
        )
        for band, segment, alpha, wrong, labelled, stake, beliefs, began_at, alarmed_at in connection.execute(
            ALL, (graph_uid,)
        ).fetchall()
    ]


def feed(connection: Connection, graph_uid: UUID, labels: Mapping[UUID, bool], now: datetime) -> list[Watched]:
    """Tell the monitors of labels that are about to be written; return those that alarm for it. Inside a transaction.

    `labels` are by decision; which of them are audited is looked up. Bands that alarm are demoted.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(AUDITED, (list(labels),)).fetchall()
    current = recorded_revision(connection, graph_uid) if rows else None
    if current is None:
        return []
    judge = _Judge(connection, graph_uid, current, now)
    heard = dict[tuple[str, str], list[bool]]()
    for row in rows:
        found = judge.place(row)
        if found is not None:
            truth = labels[row["decision_id"]] if row["truth"] is None else row["truth"]
            heard.setdefault(found, []).append(truth != judge.promised[row["band"]].label)
    alarms = [judge.heard(*place, heard[place]) for place in sorted(heard)]
    return [each for each in alarms if each is not None]


class _Judge:
    """What counts for a graph now: its revision's promises, and the certificates that stand for them."""

    def __init__(self, connection: Connection, graph_uid: UUID, current: ResolvedGraph, now: datetime) -> None:
        self._connection, self._graph_uid, self._now = connection, graph_uid, now
        found = promises(current)
        self.promised = {each.name: each for each in found}
        self._known: Known = certificate_store.known(connection, graph_uid)
        self._segments = stand(found, self._known, now).live.by_segment
        self._revisions = {current.revision: current}
        self._scorers = {(current.revision, each.name): each.digest.value for each in found}

    def place(self, row: Row) -> tuple[str, str] | None:
        """The band and the segment that a label of this decision speaks of; None where it speaks of none of today's."""
        promise = self.promised.get(row["band"])
        if promise is None or self._scorer(row["revision"], promise.name) != promise.digest.value:
            return None
        segment = self._segment(row, promise)
        certificate = self._certificate(promise, segment)
        if certificate is not None and row["decided_at"] < certificate.issued:
            return None
        return promise.name, segment

    def heard(self, band: str, segment: str, labels: Sequence[bool]) -> Watched | None:
        """Tell one monitor; what it says where it alarms for the first time."""
        promise, now = self.promised[band], self._now
        certificate = self._certificate(promise, segment)
        subject = promise.digest.value if certificate is None else str(certificate.id)
        asked = {"graph": self._graph_uid, "band": band, "segment": segment, "now": now}
        self._connection.execute(BEGIN, asked)
        row = self._connection.execute(STATE, asked).fetchone()
        assert row is not None
        before, alpha, wrong, labelled, stake, beliefs, began, alarmed = row
        if (before, alpha) == (subject, promise.alpha):
            monitor = Monitor(alpha=alpha, wrong=wrong, labelled=labelled, stake=stake, beliefs=tuple(beliefs))
        else:
            monitor, began, alarmed = Monitor(alpha=promise.alpha), now, None
        monitor = monitor.heard(labels)
        first = alarmed is None and monitor.alarms
        state = {"subject": subject, "alpha": monitor.alpha, "wrong": monitor.wrong, "labelled": monitor.labelled}
        state |= {"stake": monitor.stake, "beliefs": list(monitor.beliefs)}
        state |= {"began": began, "alarmed": now if first else alarmed}
        self._connection.execute(KEEP, asked | state)
        if not first:
            return None
        certificate_store.demote(
            self._connection,
            self._graph_uid,
            band,
            segment=segment or None,
            certificate_id=None if certificate is None else certificate.id,
            author=AUTHOR,
            comment=f"{monitor.wrong} of {monitor.labelled:,} audited items are wrong; at most {monitor.alpha:.4%} was promised",
            now=now,
        )
        log.warning("a band is demoted", band=band, segment=segment, wrong=monitor.wrong, labelled=monitor.labelled)
        return Watched(band=band, segment=segment, monitor=monitor, began_at=began, alarmed_at=now)

    def _scorer(self, revision: str, band: str) -> str | None:
        """Which scorer's band of this name a revision has."""
        if (revision, band) not in self._scorers:
            resolved = self._revision(revision)
            found = {} if resolved is None else {each.name: each.digest.value for each in promises(resolved)}
            self._scorers[revision, band] = found.get(band, "")
        return self._scorers[revision, band]

    def _revision(self, digest: str) -> ResolvedGraph | None:
        if digest not in self._revisions:
            row = self._connection.execute(REVISION, (digest,)).fetchone()
            if row is None:
                return None
            self._revisions[digest] = ResolvedGraph.model_validate(row[0])
        return self._revisions[digest]

    def _segment(self, row: Row, promise: Promised) -> str:
        if promise.position not in self._segments:
            return ""
        name, values = self._segments[promise.position]
        segments = segmentation(name)
        if segments.column.startswith("event.") and row["event"] is not None:
            resolved = self._revision(row["revision"])
            assert resolved is not None
            read = compile_contract(resolved.stream).read([orjson.loads(row["event"])])
            (value,) = segments.texts(event_columns(read.columns)[segments.column])
        else:
            (value,) = segments.of([orjson.loads(row["body"])["values"].get(segments.column)])
        return value if value in values else ""

    def _certificate(self, promise: Promised, segment: str) -> BandCertificate | None:
        """The newest that is of this scorer and of this segment, or of the band as a whole."""
        digest = promise.digest.value
        fitting = [
            each
            for each in self._known.certificates
            if each.band == promise.name
            and each.scorer == digest
            and (each.segment.value if each.segment is not None else "") == segment
        ]
        return fitting[-1] if fitting else None
