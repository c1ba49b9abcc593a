"""Events a second from a Kafka topic through decisions, beside the same host's events over HTTP, in one run: `make bench`.

One embedded host of the fraud example, one broker, one PostgreSQL, all on this machine. A round is as many new events each way,
in turned order. Over HTTP four connections send batches of 500; in Kafka the events are there before the host begins to read them.
Writes benchmarks/results/kafka.json.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
from engine import EXAMPLE, machine, store, write

from harness.kafka import Broker, broker
from harness.reading_host import Host
from harness.waiting import wait_for
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.library import load
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.store.database import APP_ROLE

ROUNDS, EVENTS = 5, 10_000
POSTED, CONNECTIONS = 500, 4
TOPIC, PARTITIONS = "transactions", 3


def main() -> None:
    """Run it all."""
    lines = iter(as_json_lines(generate(GeneratorSettings(days=24))))
    arms: dict[str, list[float]] = {"kafka": [], "http": []}
    cpu: dict[str, list[float]] = {"kafka": [], "http": []}
    with store() as server, tempfile.TemporaryDirectory(prefix="pmk") as folder:
        (Path(folder) / "broker").mkdir()
        with broker(Path(folder) / "broker", print) as running:
            running.create(TOPIC, partitions=PARTITIONS)
            host = _host(running, Path(folder), server.url("pointsman", APP_ROLE))
            host.start()
            try:
                host.sees("the topic is reached", lambda said: said["reached"])
                for round_ in range(ROUNDS + 1):
                    for arm in ("kafka", "http") if round_ % 2 else ("http", "kafka"):
                        chunk = [next(lines) for _ in range(EVENTS)]
                        seconds, used = (_through_kafka if arm == "kafka" else _over_http)(host, chunk)
                        if round_:  # the first warms up
                            arms[arm].append(EVENTS / seconds)
                            cpu[arm].append(used / EVENTS * 1e6)
            finally:
                host.kill()
    ratios = [ours / theirs for ours, theirs in zip(arms["kafka"], arms["http"], strict=True)]
    result = {
        **machine(),
        "rounds": ROUNDS,
        "events_a_round": EVENTS,
        "events_per_second": {arm: _spread(rates) for arm, rates in arms.items()},
        "host_cpu_us_per_event": {arm: _spread(values) for arm, values in cpu.items()},
        "times_http": _spread(ratios),
    }
    write("kafka", result)
    print(result)  # noqa: T201


def _through_kafka(host: Host, lines: list[bytes]) -> tuple[float, float]:
    """Seconds from when all events are in the topic until all are committed, and the host's seconds of CPU.

    The host is stopped while they are written, so that what it has done when it goes on is nothing.
    """
    process = _process(host)
    process.suspend()
    try:
        host.produce([(None, line) for line in lines])
    finally:
        process.resume()
    began, used = time.perf_counter(), _cpu(process)
    query = "SELECT sum(next_offset) FROM source_offsets"
    wait_for("all is committed", lambda: host.ask(query)[0][0] == host.produced, seconds=300, every=0.02)
    return time.perf_counter() - began, _cpu(process) - used


def _over_http(host: Host, lines: list[bytes]) -> tuple[float, float]:
    """Seconds until all events are answered, and the host's seconds of CPU."""
    process = _process(host)
    bodies = [b"\n".join(lines[at : at + POSTED]) for at in range(0, len(lines), POSTED)]
    headers = {"content-type": "application/x-ndjson", "prefer": "return=minimal"}
    with httpx2.Client(trust_env=False, timeout=60) as client, ThreadPoolExecutor(CONNECTIONS) as threads:

        def post(body: bytes) -> None:
            client.post(f"{host.url}/decisions", content=body, headers=headers).raise_for_status()

        began, used = time.perf_counter(), _cpu(process)
        list(threads.map(post, bodies))
        return time.perf_counter() - began, _cpu(process) - used


def _host(running: Broker, folder: Path, database_url: str) -> Host:
    resolved = load(EXAMPLE).graph.resolved.model_dump(mode="json", by_alias=True, exclude_none=True)
    source = {"bootstrapServers": [running.address], "topic": TOPIC}
    resolved["stream"]["spec"]["source"] = {"type": "Kafka", "kafka": source}
    resolved["graph"]["spec"]["review"]["maxOpen"] = 1_000_000
    config: dict[str, Any] = {
        "databaseUrl": database_url,
        "port": Ports(Home(folder)).of("host"),
        "controlToken": "x" * 16,
        "requireKeys": False,
        "resolved": resolved,
    }
    return Host(kafka=running, topic=TOPIC, folder=folder, database_url=database_url, config=config)


def _process(host: Host) -> psutil.Process:
    assert host.process is not None
    return psutil.Process(host.process.pid)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _spread(values: list[float]) -> dict[str, float]:
    said = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.3g}") for name, value in said.items()}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
