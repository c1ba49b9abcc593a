"""Streams a drift: audited items are told the truth of as they come, until the monitor demotes a band, and a while longer.

What people would say of audited items is imported as ground truth after each batch, with the probability of the draw. Called
by the demo after its main stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import httpx2
import numpy as np
import psycopg
from psycopg.rows import TupleRow

from pointsman.demo.decided import HOUR_US
from pointsman.demo.report import Truth
from pointsman.demo.transactions import Transactions, as_json_lines

BATCH = 1000
AFTER_ALARM = 4000
"""Events that are still sent when a band has been demoted; each of them goes to people"""
AT_ONCE = 2000
SEEN_SECONDS = 30.0
"""In which the host is to have seen a demotion; it looks every second"""
AUDITED = """
SELECT event_id, seq FROM decisions WHERE graph_uid = %s AND seq > %s AND 'AuditSample' = ANY(reasons) ORDER BY seq
"""
DECIDED = "SELECT event_id, outcome, reasons FROM decisions WHERE graph_uid = %s AND event_id = ANY(%s)"
DEMOTED, APPROVE = "BandDemoted", "approve"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """The monitor's alarm: `events` after the drift began, and so many hours later by the events' own time."""

    band: str
    events: int
    hours: float
    wrong: int
    labelled: int
    """audited items of the band that its monitor has heard of, and how many of them were decided wrongly"""


@dataclass(frozen=True, kw_only=True)
class Drifted:
    """What a drift did. `before` events came before it began, `sent` in all; what is wrong was approved and is fraud."""

    before: int
    sent: int
    heard: int
    """labels of audited items that monitors heard in the whole run, the main stream included"""
    wrong_before: int
    wrong_until_alarm: int
    wrong_after_alarm: int
    prevented: int
    """frauds that the demoted band would have approved"""
    prevented_cents: int
    honest_to_people: int
    """honest items that people got for it"""
    alarm: Alarm | None


class Auditors:
    """People who look at the audit sample and know the truth: they say it of what was drawn since they looked last."""

    def __init__(
        self, connection: psycopg.Connection[TupleRow], graph_uid: UUID, graph_url: str, key: str, share: float
    ) -> None:
        """`graph_url` is the graph's in the API; `share` of all decisions are drawn."""
        self._connection, self._graph_uid, self._share = connection, graph_uid, share
        self._headers = {"authorization": f"Bearer {key}"}
        self._api = httpx2.Client(base_url=graph_url, headers=self._headers, timeout=60, trust_env=False)
        self._seen = -1
        self.heard = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._api.close()

    def tell(self, truth: Mapping[str, Truth]) -> list[str]:
        """Say what is new; the bands that were demoted for it. Raises httpx2.HTTPError."""
        with self._connection.transaction():
            rows = self._connection.execute(AUDITED, (self._graph_uid, self._seen)).fetchall()
        self._seen = max((seq for _, seq in rows), default=self._seen)
        known, demoted = [id_ for id_, _ in rows if id_ in truth], list[str]()
        for at in range(0, len(known), AT_ONCE):
            labels = [{"event": id_, "label": truth[id_].fraud} for id_ in known[at : at + AT_ONCE]]
            body = {"labels": labels, "source": "audit", "propensity": self._share}
            answer = self._api.post("labels", json=body).raise_for_status().json()
            self.heard += int(answer["new"])
            demoted += [each["band"] for each in answer["demoted"]]
        return demoted

    def monitor(self, band: str) -> Mapping[str, Any]:
        """What is known of a band. Raises httpx2.HTTPError."""
        items: list[dict[str, Any]] = self._api.get("monitors").raise_for_status().json()["items"]
        return next(each for each in items if each["band"] == band)


def drift(
    auditors: Auditors,
    send_batch: Callable[[Sequence[bytes]], object],
    stream: Transactions,
    begins: int,
    demoted_at_the_host: Callable[[str], bool],
    on_sent: Callable[[int], None] = lambda events: None,
) -> tuple[int, Alarm | None]:
    """Send the stream until a band was demoted, and `AFTER_ALARM` events more; how many were sent, and the alarm.

    The drift begins at the moment `begins` (µs of arrival). Where a band is demoted, the next events wait until the host knows:
    a second of the run is hours of the stream.
    """
    truth, lines = truth_of(stream), as_json_lines(stream)
    first = int(np.searchsorted(stream.arrived_at, begins))
    alarm, sent, end = None, 0, len(lines)
    while sent < end:
        batch = lines[sent : min(sent + BATCH, end)]
        send_batch(batch)
        sent += len(batch)
        on_sent(len(batch))
        demoted = auditors.tell(truth) if alarm is None else []
        for band in demoted[:1]:
            told = auditors.monitor(band)
            alarm = Alarm(
                band=band,
                events=sent - first,
                hours=float(stream.arrived_at[sent - 1] - begins) / HOUR_US,
                wrong=int(told["wrong"]),
                labelled=int(told["labelled"]),
            )
            end = min(len(lines), sent + AFTER_ALARM)
            _wait_for(demoted_at_the_host, band)
    return sent, alarm


def truth_of(stream: Transactions) -> dict[str, Truth]:
    """What the accepted transactions were, by id."""
    some = stream.take(stream.accepted())
    rows = zip(some.transaction_id.tolist(), some.fraud.tolist(), some.amount_cents.tolist(), strict=True)
    return {id_: Truth(fraud=fraud, amount_cents=cents) for id_, fraud, cents in rows}


def judge(
    connection: psycopg.Connection[TupleRow],
    graph_uid: UUID,
    stream: Transactions,
    begins: int,
    sent: int,
    alarm: Alarm | None,
    heard: int,
) -> Drifted:
    """What became of the events that were sent, against the truth."""
    first = int(np.searchsorted(stream.arrived_at, begins))
    alarmed_at = sent if alarm is None else first + alarm.events
    position = {id_: at for at, id_ in enumerate(stream.transaction_id[:sent].tolist()) if id_}
    truth = truth_of(stream.take(slice(sent)))
    with connection.transaction():
        rows = connection.execute(DECIDED, (graph_uid, list(truth))).fetchall()
    wrong = [position[id_] for id_, outcome, _ in rows if outcome == APPROVE and truth[id_].fraud]
    held = [truth[id_] for id_, _, reasons in rows if DEMOTED in reasons]
    return Drifted(
        before=first,
        sent=sent,
        heard=heard,
        wrong_before=sum(at < first for at in wrong),
        wrong_until_alarm=sum(first <= at < alarmed_at for at in wrong),
        wrong_after_alarm=sum(at >= alarmed_at for at in wrong),
        prevented=sum(each.fraud for each in held),
        prevented_cents=sum(each.amount_cents for each in held if each.fraud),
        honest_to_people=sum(not each.fraud for each in held),
        alarm=alarm,
    )


def _wait_for(fact: Callable[[str], bool], band: str) -> None:
    give_up_at = time.monotonic() + SEEN_SECONDS
    while not fact(band) and time.monotonic() < give_up_at:
        time.sleep(0.1)
