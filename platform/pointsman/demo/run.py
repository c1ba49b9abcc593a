"""The demo, end to end on this machine: start, train, apply, stream, count, report. Called by `pointsman demo`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
from psycopg.rows import TupleRow

from pointsman.api.reasons import Reason
from pointsman.api.values import Percent
from pointsman.decisions.certificate_store import demotions, known
from pointsman.decisions.queries import recorded_revision
from pointsman.demo.certified import Certification, issue_certificates, measure
from pointsman.demo.comparing import Assumptions, Comparison, Ran, beside_by_hand, compare
from pointsman.demo.conservation import PENDING, arrivals
from pointsman.demo.cost import Prices
from pointsman.demo.dataset import event_columns
from pointsman.demo.days import FULL, TRAINING_DAYS, Days, next_days, to_certify_on
from pointsman.demo.decided import Nightly
from pointsman.demo.drifting import Auditors, Drifted, drift, judge, truth_of
from pointsman.demo.generator import generate
from pointsman.demo.hand_set import hand_set_threshold
from pointsman.demo.machine import cpu_seconds
from pointsman.demo.outcome import Outcome, Streamed, gather
from pointsman.demo.recorded_run import columns_of, recorded_run
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.start import (
    READY_SECONDS,
    DemoFailed,
    Stage,
    apply_documents,
    apply_example,
    train_models,
    wait_for_component,
)
from pointsman.demo.streaming import Sent, send
from pointsman.demo.train import EXAMPLE
from pointsman.demo.transactions import Transactions, as_json_lines
from pointsman.library import open_resolved
from pointsman.local.client import ControlClient
from pointsman.local.home import Home
from pointsman.local.postgres import PostgresServer
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.up import up
from pointsman.store.database import APP_ROLE, connect

GRAPH = "card-fraud"
STREAM_BATCH, PACED_BATCH, HISTORY_BATCH = 1000, 50, 5000
PACED_EVENTS, PACED_RATE = 3000, 1000.0
DRAIN_SECONDS = 120.0
ASSUMED = Assumptions(nightly=Nightly(), reviewers=Reviewers(), prices=Prices())
WITHOUT_CERTIFICATES = 1_000_000
"""review.maxOpen where a band is not certified, so that all of its items wait for people"""


@dataclass(frozen=True, kw_only=True)
class _Used:
    """What the stream and its freezes took: CPU seconds of all processes, and seconds."""

    cpu_seconds: float
    seconds: float


def run(home: Home, stage: Stage, *, example: Path = EXAMPLE) -> Outcome:
    """Run everything; safe to run again: the next days of the stream follow. Raises DemoFailed and what its parts raise."""
    stage.begin("starting PostgreSQL and MLflow", None)
    up(home, timeout=1, on_change=lambda text: None)
    client = ControlClient(home)
    wait_for_component(client, "mlflow")
    stage.begin("generating transactions", None)
    everything = generate(FULL)
    train_models(client, example, everything.split(FULL.day(TRAINING_DAYS))[0], stage)
    documents = apply_example(client, example, stage)
    server = PostgresServer(home)
    with connect(server.url("pointsman", APP_ROLE)) as connection:
        graph = client.get("DecisionGraph", GRAPH)
        uid, status = UUID(graph["metadata"]["uid"]), graph["status"]
        key = SecretStore(home.secrets).get(*FIRST_KEY) or ""
        place = _Place(
            client=client, uid=uid, url=status["url"], host=status["address"].removesuffix("/decisions"), key=key
        )
        days = next_days(connection, everything, uid)
        if days is None:
            raise DemoFailed("all of the stream has been decided: start over with `pointsman demo --fresh`")
        certification = _certify(home, connection, place, everything, documents, stage)
        if not days.decided:
            _warm_up(home, place.host, days.before, stage)
        before = _steps(place.host)
        received_before = arrivals(connection)[0]
        cpu_before, began = cpu_seconds(home.instance), time.monotonic()
        saturated, paced, lines = _stream(place.url, key, days.main, stage)
        if arrivals(connection)[0] - received_before != lines:
            raise DemoFailed("the store has not received what was sent: `pointsman logs graph-card-fraud` says more")
        steps, overdue = _since(before, _steps(place.host))
        streamed = Streamed(saturated=saturated, paced=paced, steps=steps, overdue=overdue)
        stage.begin("waiting for the freezes", None)
        _drain(connection)
        used = _Used(cpu_seconds=cpu_seconds(home.instance) - cpu_before, seconds=time.monotonic() - began)
        comparison = _compared(connection, days, paced, used, stage)
        thresholds, history = comparison.thresholds, certification.labelled
        by_hand = hand_set_threshold(history.scores, history.labels, thresholds.approve_below)
        beside = beside_by_hand(comparison, days.main, by_hand)
        drifted = _drift(connection, place, days, documents, stage)
        stage.begin("verifying the ledger", None)
        return gather(home, client, connection, days.main, streamed, comparison, beside, certification, drifted)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the graph is asked: its uid, its address for events, its host's own, and the key that opens."""

    client: ControlClient
    uid: UUID
    url: str
    host: str
    key: str

    def live(self) -> frozenset[str]:
        """The bands whose certificates the host takes for live."""
        bands = httpx2.get(f"{self.host}/-/ready", timeout=60, trust_env=False).json().get("bands", ())
        return frozenset(each["band"] for each in bands if each["reason"] == Reason.CertificatesLive)


def _certify(
    home: Home,
    connection: psycopg.Connection[TupleRow],
    place: _Place,
    everything: Transactions,
    documents: list[dict[str, Any]],
    stage: Stage,
) -> Certification:
    """Certify the bands on history, and see to it that the host knows; what is not certified goes to people."""
    resolved = recorded_revision(connection, place.uid)
    if resolved is None:
        raise DemoFailed("the graph has no revision yet: `pointsman logs graph-card-fraud` says more")
    before, history = to_certify_on(everything)
    stage.begin("certifying the bands on labelled history", len(history))
    library = open_resolved(resolved)
    found = measure(library, before, history, stage.advance)
    stage.begin("issuing certificates", None)
    found = issue_certificates(home, connection, library, found, datetime.now(UTC))
    with connection.transaction():
        demoted = {each.band for each in demotions(connection, place.uid)}
    for band in demoted & found.certified:
        rearm = place.url.replace("/decisions", f"/bands/{band}/rearm")
        said = {"comment": "the drift of the last run is over, and the band is certified anew"}
        httpx2.post(
            rearm, json=said, headers={"authorization": f"Bearer {place.key}"}, trust_env=False
        ).raise_for_status()
    if len(found.certified) < len(found.bands):
        for each in documents:
            if each["kind"] == "DecisionGraph":
                each["spec"]["review"]["maxOpen"] = WITHOUT_CERTIFICATES
        apply_documents(place.client, documents, stage)
    until = time.monotonic() + READY_SECONDS
    while not found.certified <= place.live():
        if time.monotonic() > until:
            raise DemoFailed("the graph's host does not take the certificates: `pointsman describe pdg card-fraud`")
        time.sleep(0.2)
    return found


def _warm_up(home: Home, host: str, recent: Transactions, stage: Stage) -> None:
    """Let the views see what came before the stream, without deciding it."""
    token = SecretStore(home.secrets).get("pointsman-control", "token")
    stage.begin("importing history for the features", len(recent))
    lines = as_json_lines(recent)
    with httpx2.Client(timeout=60) as client:
        for start in range(0, len(lines), HISTORY_BATCH):
            chunk = lines[start : start + HISTORY_BATCH]
            answer = client.post(
                f"{host}/-/history",
                content=b"\n".join(chunk),
                headers={"content-type": "application/x-ndjson", "authorization": f"Bearer {token}"},
            )
            if answer.status_code != 200:
                raise DemoFailed(f"the history was refused: {answer.text}")
            stage.advance(len(chunk))


def _stream(url: str, key: str, chunk: Transactions, stage: Stage) -> tuple[Sent, Sent, int]:
    """All but the last few thousand as fast as they are taken, the last at a fixed rate."""
    lines, headers = as_json_lines(chunk), {"authorization": f"Bearer {key}"}
    cut = len(lines) - PACED_EVENTS
    stage.begin("streaming as fast as it goes", cut)
    saturated = send(url, lines[:cut], headers=headers, batch=STREAM_BATCH, on_sent=stage.advance)
    stage.begin(f"streaming at {PACED_RATE:.0f} events/s", PACED_EVENTS)
    paced = send(url, lines[cut:], headers=headers, batch=PACED_BATCH, rate=PACED_RATE, on_sent=stage.advance)
    return saturated, paced, len(lines)


def _steps(host: str) -> dict[str, Any]:
    stats: dict[str, Any] = httpx2.get(f"{host}/-/stats").json()
    return stats


def _since(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, dict[str, float]], int]:
    steps = {}
    for name, values in after["steps"].items():
        earlier = before["steps"].get(name, {"seconds": 0.0, "rows": 0})
        steps[name] = {
            "seconds": values["seconds"] - earlier["seconds"],
            "rows": values["rows"] - earlier["rows"],
        }
    return steps, after["overdue"] - before["overdue"]


def _drain(connection: psycopg.Connection[TupleRow]) -> None:
    """Wait until no action waits any more."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        with connection.transaction():
            row = connection.execute(PENDING).fetchone()
        if row is None or row[0] == 0:
            return
        time.sleep(0.2)


def _compared(
    connection: psycopg.Connection[TupleRow], days: Days, paced: Sent, used: _Used, stage: Stage
) -> Comparison:
    """The same days decided once a night, by the revision that has just decided them as they came."""
    stage.begin("deciding the same days once a night", len(days.main))
    run = recorded_run(connection, days.main.transaction_id[days.main.accepted()].tolist())
    ran = Ran(
        answers=run.answers,
        decision_seconds=paced.wait_milliseconds(95) / 1000,
        freeze_seconds=run.freeze_seconds,
        slowest_freezes=run.slowest_freezes,
        cpu_seconds=used.cpu_seconds,
        seconds=used.seconds,
    )
    library = open_resolved(run.revision, known(connection, run.revision.graph_uid))
    library.warm_up(event_columns(days.before))
    if days.decided:
        library.warm_up(columns_of(connection, library, days.decided))
    return compare(library, days.main, ran, ASSUMED, known_ids=days.decided, on_night=stage.advance)


def _drift(
    connection: psycopg.Connection[TupleRow], place: _Place, days: Days, documents: list[dict[str, Any]], stage: Stage
) -> Drifted:
    """Stream the days with the drift, while people tell the truth of what the audit draws."""
    (spec,) = [each["spec"] for each in documents if each["kind"] == "DecisionGraph"]
    share = float(Percent(spec["audit"]["sample"]).fraction)
    headers = {"authorization": f"Bearer {place.key}"}
    with Auditors(connection, place.uid, place.url.removesuffix("decisions"), place.key, share) as auditors:
        auditors.tell(truth_of(days.main))
        stage.begin("streaming on, with a drift", None)
        sent, alarm = drift(
            auditors,
            lambda lines: send(place.url, lines, headers=headers, batch=STREAM_BATCH),
            days.drifting,
            days.drift_begins,
            lambda band: band not in place.live(),
            stage.advance,
        )
    _drain(connection)
    return judge(connection, place.uid, days.drifting, days.drift_begins, sent, alarm, auditors.heard)
