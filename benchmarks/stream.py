"""Events a second of the stream, where the time goes, by node, and what a batch costs that can be counted: `make bench`.

Batches of 1,000, one being decided while the one before is written; then batches of one. Writes benchmarks/results/stream.json.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import psycopg
from engine import BATCH, machine, opened, store, streamed, submission, write

from pointsman.decisions.engine import Engine
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.local.postgres import PostgresServer

ROUNDS, SINGLES, COUNTED = 5, 200, 10
FSYNCS = "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"


def main() -> None:
    """Run it all."""
    lines = as_json_lines(generate(GeneratorSettings(days=8)))
    with store() as server:
        engine = opened(server)
        per_round = BATCH * 10
        stream, rest = lines[: ROUNDS * per_round], iter(lines[ROUNDS * per_round :])
        fast = speed(engine, stream, per_round)
        steps = by_step(engine)
        engine.stats.seconds.clear()
        engine.stats.rows.clear()
        for _ in range(SINGLES):
            engine.process([submission([next(rest)])])
        alone = by_step(engine)
        engine.close()
        counts = counted(server, [next(rest) for _ in range((COUNTED + 3) * BATCH)])
    result = {**machine(), **fast, "us_per_event_by_step": steps, "us_alone_by_step": alone, "counts": counts}
    write("stream", result)
    print(fast, counts)  # noqa: T201


def speed(engine: Engine, lines: list[bytes], per_round: int) -> dict[str, Any]:
    """Events a second, round by round, and the CPU that this process takes for one."""
    rates, cpu = list[float](), list[float]()
    with ThreadPoolExecutor(max_workers=1) as thread:
        for start in range(0, len(lines), per_round):
            chunk = lines[start : start + per_round]
            began, used = time.perf_counter(), time.process_time()
            streamed(engine, chunk, thread)
            rates.append(len(chunk) / (time.perf_counter() - began))
            cpu.append((time.process_time() - used) / len(chunk) * 1e6)
    return {
        "events_per_second": {
            "median": round(statistics.median(rates)),
            "min": round(min(rates)),
            "max": round(max(rates)),
        },
        "host_cpu_us_per_event": round(statistics.median(cpu), 1),
    }


def by_step(engine: Engine) -> dict[str, float]:
    """Microseconds an event, by node and step."""
    stats = engine.stats
    return {name: round(seconds / stats.rows[name] * 1e6, 2) for name, seconds in stats.seconds.items()}


def counted(server: PostgresServer, lines: list[bytes]) -> dict[str, Any]:
    """Statements and WAL flushes a batch, bytes of WAL an event, and what Python runs for each event.

    A loop is a code object of which a line runs for every event: it is found by comparing a batch with one of twice the size.
    """
    with psycopg.connect(server.url("pointsman"), autocommit=True) as probe:

        def one(query: str) -> int:
            row = probe.execute(query).fetchone()  # type: ignore[arg-type]
            assert row is not None
            return int(row[0])

        engine = opened(server)
        engine.process([submission(lines[:BATCH])])
        statements = _statements(engine, lines[BATCH : 2 * BATCH])
        lines = lines[2 * BATCH :]
        engine.close()
        time.sleep(1)  # a backend's statistics are there when it has ended
        fsyncs, bytes_ = one(FSYNCS), one("SELECT pg_current_wal_lsn() - '0/0'")
        engine = opened(server)
        for at in range(0, COUNTED * BATCH, BATCH):
            engine.process([submission(lines[at : at + BATCH])])
        bytes_ = one("SELECT pg_current_wal_lsn() - '0/0'") - bytes_
        engine.close()
        time.sleep(1)
        fsyncs = one(FSYNCS) - fsyncs
    return {
        "statements_per_batch": statements,
        "wal_fsyncs_per_batch": round(fsyncs / COUNTED, 2),
        "wal_bytes_per_event": round(bytes_ / COUNTED / BATCH),
        **_loops(server, lines[COUNTED * BATCH :]),
    }


def _statements(engine: Engine, lines: list[bytes]) -> int:
    """What libpq sends for one batch, by its own trace."""
    with tempfile.TemporaryFile("w+b") as file:
        servers = [engine._committer.connection.pgconn, engine._committer.lookups.pgconn]
        for each in servers:
            each.trace(file.fileno())
        engine.process([submission(lines)])
        for each in servers:
            each.untrace()
        file.seek(0)
        said = [line.split("\t") for line in file.read().decode("utf-8", "replace").splitlines()]
    return sum(len(parts) > 3 and parts[1] == "F" and parts[3] in {"Query", "Execute"} for parts in said)


def _loops(server: PostgresServer, lines: list[bytes]) -> dict[str, Any]:
    engine = opened(server)
    seen = list[Counter[CodeType]]()
    at = 0
    for size in (100, 200, 400):
        batch, at = submission(lines[at : at + size]), at + size
        ran = Counter[CodeType]()

        def trace(frame: FrameType, event: str, _: object, ran: Counter[CodeType] = ran) -> Any:
            if event == "line":
                ran[frame.f_code] += 1
            return trace

        sys.settrace(trace)
        try:
            engine.process([batch])
        finally:
            sys.settrace(None)
        seen.append(ran)
    engine.close()
    _, small, large = seen
    more = {code: (large[code] - small[code]) / 200 for code in large}
    loops = {code: lines for code, lines in more.items() if lines >= 0.9}
    return {
        "python_lines_per_event": round(sum(max(0.0, lines) for lines in more.values()), 1),
        "python_loops_per_event": len(loops),
        "loops": sorted(
            f"{Path(code.co_filename).name}:{code.co_qualname} {lines:.1f}" for code, lines in loops.items()
        ),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
