"""A graph's host as a process of its own that reads a topic, and what its store says: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from harness.kafka import Broker
from harness.waiting import wait_for

SECONDS = 60


def event(card: str = "card-1", **changes: object) -> dict[str, object]:
    """One good event; `changes` replace fields, None removes them."""
    made = {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": "12.50",
        "card_id": card,
        "terminal_id": "terminal-1",
        "card_account": "account-1",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def records(count: int, cards: int = 7) -> list[tuple[str | None, bytes | None]]:
    """As many new events as records, keyed by their card."""
    made = [event(f"card-{number % cards}") for number in range(count)]
    return [(str(each["card_id"]), orjson.dumps(each)) for each in made]


@dataclass(kw_only=True)
class Host:
    """One host, its store and its topic. It can be killed and started again."""

    kafka: Broker
    topic: str
    folder: Path
    database_url: str
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    produced: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config['port']}/v1/graphs/card-fraud"

    def start(self, **environment: str) -> None:
        path = self.folder / "host.json"
        path.write_bytes(orjson.dumps(self.config))
        with (self.folder / "host.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pointsman_serving.embedded", "--config", str(path)],
                stdout=output,
                stderr=output,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def died(self) -> bool:
        assert self.process is not None
        return self.process.poll() == -signal.SIGKILL

    def produce(self, made: Sequence[tuple[str | None, bytes | None]], **where: int) -> None:
        self.kafka.produce(self.topic, made, **where)
        self.produced += len(made)

    def said(self) -> dict[str, Any]:
        """What the ready check says of the source; nothing while the host does not answer."""
        try:
            body = httpx2.get(f"{self.url}/-/ready", trust_env=False, timeout=5).json()
        except httpx2.HTTPError:
            return {}
        source: dict[str, Any] = body["source"] or {}
        return source

    def sees(self, what: str, fact: Callable[[dict[str, Any]], object], seconds: float = SECONDS) -> dict[str, Any]:
        """Wait until the ready check says so."""

        def seen() -> dict[str, Any] | None:
            said = self.said()
            return said if said and fact(said) else None

        try:
            return wait_for(what, seen, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def measured(self) -> dict[str, float]:
        """What Prometheus reads of its source."""
        text = httpx2.get(f"{self.url}/-/metrics", trust_env=False, timeout=5).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        name = "pointsman_source_"
        return {each.name.removeprefix(name): each.value for each in samples if each.name.startswith(name)}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()

    def counts(self) -> dict[str, int]:
        """What the store says at one moment: taken in, decided, dead, doubled, and the sum of the offsets."""
        (row,) = self.ask(
            "SELECT coalesce((SELECT sum(received) FROM graph_heads), 0)::int, (SELECT count(*) FROM decisions)::int, "
            "(SELECT count(*) FROM dead_letters)::int, coalesce((SELECT sum(duplicates) FROM graph_heads), 0)::int, "
            "coalesce((SELECT sum(next_offset) FROM source_offsets), 0)::int"
        )
        return dict(zip(("received", "decided", "dead", "duplicates", "read"), row, strict=True))

    def conserves(self) -> dict[str, int]:
        """What the store says, which holds at any moment: what was read was decided, is dead, or was there before."""
        found = self.counts()
        assert found["read"] == found["received"] == found["decided"] + found["dead"] + found["duplicates"], found
        return found

    def reads_all(self) -> dict[str, int]:
        """Wait until everything that was produced is committed, and see that nothing is lost or doubled."""
        try:
            wait_for("everything is read", lambda: self.counts()["read"] == self.produced, seconds=SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.counts()} of {self.produced}\n{self.said()}\n{self.log()}") from None
        return self.conserves()

    def log(self) -> str:
        return (self.folder / "host.log").read_text()[-3000:]
