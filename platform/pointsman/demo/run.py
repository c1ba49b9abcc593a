"""The demo, end to end on this machine: start, train, apply, stream, count, report. Called by `pointsman demo`."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg.rows import TupleRow

from pointsman.api.documents import load, plain
from pointsman.demo.comparing import Assumptions, Comparison, Ran, compare
from pointsman.demo.conservation import PENDING, Conservation, arrivals, conservation
from pointsman.demo.cost import Prices
from pointsman.demo.decided import Nightly
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.machine import cpu_seconds
from pointsman.demo.recorded_run import recorded_run
from pointsman.demo.report import Recorded, Truth, business
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.streaming import Sent, send
from pointsman.demo.train import EXAMPLE, TrainingSettings, train
from pointsman.demo.transactions import Transactions, as_json_lines
from pointsman.graphs.identity import decision_ids
from pointsman.library import open_resolved
from pointsman.local.client import ControlClient
from pointsman.local.home import Home
from pointsman.local.model_runtimes import RUNTIMES
from pointsman.local.postgres import PostgresServer
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.triton_here import why_not_triton
from pointsman.local.up import up
from pointsman.store.database import APP_ROLE, connect

GRAPH, TARGET, TOKEN = "card-fraud", "accounts", ("accounts-token", "token")
HISTORY_DAYS, CHUNK_DAYS, CHUNKS = 30, 5, 2
WARM_UP_DAYS = 8
"""The views look back seven days and an hour."""
STREAM_BATCH, PACED_BATCH, HISTORY_BATCH = 1000, 50, 5000
PACED_EVENTS, PACED_RATE = 3000, 1000.0
DRAIN_SECONDS = 120.0
ASSUMED = Assumptions(nightly=Nightly(), reviewers=Reviewers(), prices=Prices())
READY_SECONDS = 300
FULL = GeneratorSettings(customers=6_000, terminals=6_000, days=HISTORY_DAYS + CHUNK_DAYS * CHUNKS)


class DemoFailed(Exception):
    """The demo cannot go on; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How the demo tells how far it is: `begin(name, total)`, then `advance(count)`."""

    begin: Callable[[str, int | None], None]
    advance: Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that the report is made of."""

    recorded: list[Recorded]
    truth: Mapping[str, Truth]
    saturated: Sent
    paced: Sent
    steps: Mapping[str, Mapping[str, float]]
    overdue: int
    conservation: Conservation
    example_decision: str | None
    freeze_seconds: tuple[float, float]
    """p50 and p95 from a decision to its observed effect"""
    certificates: str
    runtimes: Mapping[str, str]
    """by ModelDeployment, what serves it"""
    approval: str
    comparison: Comparison

    def numbers(self) -> dict[str, Any]:
        """What is reported besides the comparison, for `report.json`."""
        return {
            "business": asdict(business(self.recorded, self.truth)),
            "speed": {
                **{
                    name: {
                        "decisionsASecond": sent.rate,
                        **{f"p{at}Milliseconds": sent.wait_milliseconds(at) for at in (50, 95, 99)},
                    }
                    for name, sent in (("saturated", self.saturated), ("paced", self.paced))
                },
                "freezeSeconds": dict(zip(("p50", "p95"), self.freeze_seconds, strict=True)),
                "overdue": self.overdue,
                "steps": self.steps,
            },
            "conservation": {**asdict(self.conservation), "broken": self.conservation.broken()},
        }


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
    _wait_for_component(client, "mlflow")
    stage.begin("generating transactions", None)
    everything = generate(FULL)
    history, stream = everything.split(FULL.day(HISTORY_DAYS))
    _train(client, example, history, stage)
    _apply(client, example, stage)
    server = PostgresServer(home)
    with connect(server.url("pointsman", APP_ROLE)) as connection:
        uid = client.get("DecisionGraph", GRAPH)["metadata"]["uid"]
        status = client.get("DecisionGraph", GRAPH)["status"]
        address, key = status["address"], SecretStore(home.secrets).get(*FIRST_KEY) or ""
        chunk = _next_chunk(connection, stream, uid)
        if arrivals(connection)[0] == 0:
            _warm_up(home, address, history, stage)
        before = _steps(address)
        received_before = arrivals(connection)[0]
        cpu_before, began = cpu_seconds(home.instance), time.monotonic()
        saturated, paced, lines = _stream(status["url"], key, chunk, stage)
        if arrivals(connection)[0] - received_before != lines:
            raise DemoFailed("the store has not received what was sent: `pointsman logs graph-card-fraud` says more")
        steps, overdue = _since(before, _steps(address))
        stage.begin("waiting for the freezes", None)
        _drain(connection)
        used = _Used(cpu_seconds=cpu_seconds(home.instance) - cpu_before, seconds=time.monotonic() - began)
        comparison = _compared(connection, everything, chunk, paced, used, stage)
        stage.begin("verifying the ledger", None)
        return _outcome(home, client, connection, chunk, saturated, paced, steps, overdue, comparison)


def _wait_for_component(client: ControlClient, name: str, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for each in client.status()["components"]:
            if each["name"] == name and each["state"] == "Ready":
                return str(each["address"])
        time.sleep(0.2)
    raise DemoFailed(f"{name} was not up within {seconds:.0f} s: `pointsman logs {name}` says why")


def _train(client: ControlClient, example: Path, history: Transactions, stage: Stage) -> None:
    """Train and register, unless the models are registered already."""
    mlflow = _wait_for_component(client, "mlflow")
    found = httpx2.get(
        f"{mlflow}/api/2.0/mlflow/registered-models/alias", params={"name": "fraud-scorer", "alias": "champion"}
    )
    if found.status_code == 200:
        return
    settings = TrainingSettings(example=example, history=replace(FULL, days=HISTORY_DAYS), tracking_uri=mlflow)
    train(settings, lambda name: stage.begin(f"training: {name}", None), history=history)


def _apply(client: ControlClient, example: Path, stage: Stage) -> None:
    token = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN[0]}}
    known = {each["metadata"]["name"] for each in client.objects("Secret")}
    documents: list[dict[str, Any]] = [plain(each) for each in load(example)]
    if not _has_triton(stage):
        for each in documents:
            if each["kind"] == "ModelDeployment" and each["spec"].get("runtime", {}).get("type") == "Triton":
                each["spec"]["runtime"] = {"type": "Native"}
    stage.begin("applying the fraud example", None)
    if TOKEN[0] not in known:
        documents.insert(0, {**token, "stringData": {TOKEN[1]: secrets.token_urlsafe(32)}})
    client.apply(documents)
    if not client.wait_ready(READY_SECONDS, lambda text: stage.begin(text[:110], None)):
        raise DemoFailed(
            f"not Ready within {READY_SECONDS} s, {client.status()['waitingFor']}: `pointsman get` says more"
        )


def _has_triton(stage: Stage) -> bool:
    """Whether Triton can be had: its environment is there, or could be installed now. Elsewhere our own server is used."""
    module = RUNTIMES["Triton"].environment
    if why_not_triton() is not None or module is None:
        return False
    stage.begin("installing Triton, once (0.5 GB)", None)
    return subprocess.run([sys.executable, "-m", module], capture_output=True, check=False).returncode == 0


def _next_chunk(connection: psycopg.Connection[TupleRow], stream: Transactions, graph_uid: str) -> Transactions:
    """The first days of the stream that were not decided yet."""
    from uuid import UUID

    for number in range(CHUNKS):
        start = FULL.day(HISTORY_DAYS + number * CHUNK_DAYS)
        _, rest = stream.split(start)
        chunk = rest if number == CHUNKS - 1 else rest.split(start + FULL.day(CHUNK_DAYS) - FULL.day(0))[0]
        last = chunk.transaction_id[chunk.accepted()][-1]
        (raw,) = decision_ids(UUID(graph_uid), [str(last)])
        with connection.transaction():
            if (
                connection.execute("SELECT 1 FROM decision_keys WHERE decision_id = %s", (UUID(bytes=raw),)).fetchone()
                is None
            ):
                return chunk
    raise DemoFailed("all of the stream has been decided: start over with `pointsman demo --fresh`")


def _warm_up(home: Home, address: str, history: Transactions, stage: Stage) -> None:
    """Let the views see the last days of the history, without deciding them."""
    _, recent = history.split(FULL.day(HISTORY_DAYS - WARM_UP_DAYS))
    recent = recent.take(recent.accepted())
    token = SecretStore(home.secrets).get("pointsman-control", "token")
    stage.begin("importing history for the features", len(recent))
    lines = as_json_lines(recent)
    with httpx2.Client(timeout=60) as client:
        for start in range(0, len(lines), HISTORY_BATCH):
            chunk = lines[start : start + HISTORY_BATCH]
            answer = client.post(
                address.replace("/decisions", "/-/history"),
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


def _steps(address: str) -> dict[str, Any]:
    stats: dict[str, Any] = httpx2.get(address.replace("/decisions", "/-/stats")).json()
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
    connection: psycopg.Connection[TupleRow],
    everything: Transactions,
    chunk: Transactions,
    paced: Sent,
    used: _Used,
    stage: Stage,
) -> Comparison:
    """The same days decided once a night, by the revision that has just decided them as they came."""
    stage.begin("deciding the same days once a night", len(chunk))
    earlier, _ = everything.split(int(chunk.arrived_at[0]))
    _, seen = earlier.split(FULL.day(HISTORY_DAYS - WARM_UP_DAYS))
    seen = seen.take(seen.accepted())
    _, streamed = seen.split(FULL.day(HISTORY_DAYS))
    run = recorded_run(connection, chunk.transaction_id[chunk.accepted()].tolist())
    ran = Ran(
        answers=run.answers,
        decision_seconds=paced.wait_milliseconds(95) / 1000,
        freeze_seconds=run.freeze_seconds,
        slowest_freezes=run.slowest_freezes,
        cpu_seconds=used.cpu_seconds,
        seconds=used.seconds,
    )
    return compare(
        open_resolved(run.revision),
        seen,
        chunk,
        ran,
        ASSUMED,
        known_ids=frozenset(streamed.transaction_id.tolist()),
        on_night=stage.advance,
    )


def _outcome(
    home: Home,
    client: ControlClient,
    connection: psycopg.Connection[TupleRow],
    chunk: Transactions,
    saturated: Sent,
    paced: Sent,
    steps: Mapping[str, Mapping[str, float]],
    overdue: int,
    comparison: Comparison,
) -> Outcome:
    accepted = chunk.take(chunk.accepted())
    truth = {
        id_: Truth(fraud=fraud, amount_cents=cents)
        for id_, fraud, cents in zip(
            accepted.transaction_id.tolist(), accepted.fraud.tolist(), accepted.amount_cents.tolist(), strict=True
        )
    }
    with connection.transaction():
        rows = connection.execute("SELECT event_id, band, outcome, reasons FROM decisions").fetchall()
        shown = connection.execute(
            "SELECT d.decision_id FROM decisions d JOIN outbox o USING (decision_id) WHERE o.state = 'observed' LIMIT 1"
        ).fetchone()
        waits = connection.execute(
            "SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM e.at - a.created_at)) "
            "FROM effects e JOIN actions a USING (action_id) WHERE e.state = 'observed'"
        ).fetchone()
    recorded = [
        Recorded(event_id=id_, band=band, outcome=outcome, reasons=tuple(reasons))
        for id_, band, outcome, reasons in rows
        if id_ in truth
    ]
    graph, target = client.get("DecisionGraph", GRAPH), client.get("ActionTarget", TARGET)
    token = SecretStore(home.secrets).get(*TOKEN) or ""
    return Outcome(
        recorded=recorded,
        truth=truth,
        saturated=saturated,
        paced=paced,
        steps=steps,
        overdue=overdue,
        conservation=conservation(connection, accounts=target["status"]["address"], token=token),
        example_decision=str(shown[0]) if shown else None,
        freeze_seconds=tuple(waits[0]) if waits and waits[0] else (0.0, 0.0),
        certificates=graph["spec"].get("certificates", "Required"),
        runtimes={
            each["metadata"]["name"]: each["spec"].get("runtime", {}).get("type", "Native")
            for each in client.objects("ModelDeployment")
        },
        approval=target["spec"].get("approval", {}).get("type", "WhenUncertified"),
        comparison=comparison,
    )
