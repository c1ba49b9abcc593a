"""A million events through the engine, and what memory does meanwhile: `make bench-memory`. Ten minutes.

A day's partition that was filled before is dropped half-way, while the stream runs. Writes benchmarks/results/memory.json.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
from engine import machine, opened, store, streamed, write

from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.ledger.verify import verify
from pointsman.store.database import OWNER_ROLE, connect
from pointsman.store.retention import drop_before

EVENTS, EVERY, EARLIER = 1_000_000, 50_000, 20_000
CUSTOMERS = 12_000
SETTLE = ("UPDATE reviews SET state = 'decided'", "UPDATE outbox SET state = 'observed'")


def main() -> None:
    """Run it all."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    days = events // (CUSTOMERS * 2) + 3
    stream = generate(GeneratorSettings(days=days, customers=CUSTOMERS, terminals=CUSTOMERS))
    samples = list[dict[str, float]]()
    dropped = list[str]()
    with store() as server, ThreadPoolExecutor(max_workers=2) as threads:
        engine = opened(server)
        now = datetime.now(UTC)
        clock = {"now": now - timedelta(days=1)}
        engine._clock = lambda: clock["now"]
        process, lines, at = psutil.Process(), list[bytes](), 0

        def fill(count: int) -> None:
            nonlocal lines, at
            while len(lines) < count:
                lines += as_json_lines(stream.take(slice(at, at + EVERY)))
                at += EVERY

        def drop() -> list[str]:
            with connect(server.url("pointsman", OWNER_ROLE)) as owner:
                for statement in SETTLE:
                    owner.execute(statement)
                owner.commit()
                return [str(each.day) for each in drop_before(owner, now.date())]

        fill(EARLIER)
        streamed(engine, lines[:EARLIER], threads)
        lines = lines[EARLIER:]
        clock["now"] = now
        dropping: Future[list[str]] | None = None
        for sent in range(0, events, EVERY):
            fill(EVERY)
            chunk, lines = lines[:EVERY], lines[EVERY:]
            if sent >= events // 2 and dropping is None:
                dropping = threads.submit(drop)
            streamed(engine, chunk, threads)
            samples.append({"events": sent + EVERY, "megabytes": round(process.memory_info().rss / 1e6, 1)})
            print(samples[-1], file=sys.stderr, flush=True)  # noqa: T201
        if dropping is not None:
            dropped = dropping.result()
        entities = {name: state.entities for name, state in engine._state._states.items()}
        engine.close()
        with connect(server.url("pointsman", OWNER_ROLE)) as owner:
            report = verify(owner)
    half = [each["megabytes"] for each in samples[len(samples) // 2 :]]
    result = {
        **machine(),
        "events": events,
        "entities": entities,
        "dropped_days": dropped,
        "ledger_leaves": report.size,
        "ledger_problems": list(report.problems),
        "growth_over_the_second_half_megabytes": round(half[-1] - half[0], 1),
        "samples": samples,
    }
    write("memory", result)
    print({name: value for name, value in result.items() if name != "samples"})  # noqa: T201


if __name__ == "__main__":
    main()
