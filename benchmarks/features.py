"""Features of 100 events against Feast's online lookup of as many features, side by side: `make bench`.

Ours are computed in the process that decides, which also adds the events to its state: the looking up (finding the
entities, their windows and aggregates, writing the answer) is timed apart. Feast's come out of a local SQLite store by its
SDK, which is also asked to write as many rows. Writes benchmarks/results/features.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from engine import EXAMPLE, machine, write

from pointsman.decisions.accept import event_columns
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.features import online
from pointsman.features.batch import Answers
from pointsman.graphs.decide import GraphState
from pointsman.library import load
from pointsman_serving.environments import Environment

FEAST = Environment(name="feast", lock=Path(__file__).parent / "peers" / "feast.txt", module="benchmarks")
ROWS, ROUNDS, LOOKUPS, WARM_UP = 100, 7, 20, 30_000
LOOKING_UP: tuple[tuple[Any, str], ...] = (
    (online.OnlineState, "_slots_of"),
    (Answers, "__init__"),
    (online, "answer"),
    (Answers, "batch"),
)
"""The parts of advancing a state that look up; all the rest adds"""


def main() -> None:
    """Run it all."""
    FEAST.build(lambda line: print(line, file=sys.stderr))  # noqa: T201
    graph = load(EXAMPLE).graph
    transactions = generate(GeneratorSettings(days=5, customers=6_000, terminals=6_000))
    lines = as_json_lines(transactions.take(transactions.accepted()))
    columns = event_columns(graph.contract.read([orjson.loads(line) for line in lines]).columns)
    state = GraphState(graph.views)
    state.advance_all({name: column.take(slice(0, WARM_UP)) for name, column in columns.items()})
    at = WARM_UP
    parts = list[float]()
    for owner, name in LOOKING_UP:
        setattr(owner, name, timed(getattr(owner, name), parts))
    looked, ours, theirs, written = list[float](), list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        command = [str(FEAST.python), str(Path(__file__).parent / "peers" / "feast_lookup.py"), folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as feast:
            assert feast.stdin is not None
            assert feast.stdout is not None
            if not any(line.strip() == "ready" for line in feast.stdout):
                raise SystemExit("Feast did not start: run its lookup by hand to see why")
            for number in range(ROUNDS + 1):
                feast.stdin.write(f"{LOOKUPS}\n")
                feast.stdin.flush()
                lookups, writes = json.loads(feast.stdout.readline())
                taken, looking = list[float](), list[float]()
                for _ in range(LOOKUPS):
                    batch = {name: column.take(slice(at, at + ROWS)) for name, column in columns.items()}
                    at += ROWS
                    parts.clear()
                    began = time.perf_counter()
                    for view in graph.views:
                        state.advance(view, batch)
                    state.commit()
                    taken.append((time.perf_counter() - began) * 1000)
                    looking.append(sum(parts) * 1000)
                if number:
                    looked.append(statistics.median(looking))
                    theirs.append(statistics.median(lookups))
                    written.append(statistics.median(writes))
                    ours.append(statistics.median(taken))
            feast.stdin.close()
    lookup = [peer / mine for mine, peer in zip(looked, theirs, strict=True)]
    adding_too = [peer / mine for mine, peer in zip(ours, theirs, strict=True)]
    both = [(peer + write) / mine for mine, peer, write in zip(ours, theirs, written, strict=True)]
    result = {
        **machine(),
        "rows": ROWS,
        "features": sum(len(view.features) for view in graph.views.values()),
        "lookup_milliseconds": round(statistics.median(looked), 3),
        "milliseconds": round(statistics.median(ours), 3),
        "feast_milliseconds": round(statistics.median(theirs), 3),
        "feast_write_milliseconds": round(statistics.median(written), 3),
        "times_feast": spread(lookup),
        "times_feast_adding_too": spread(adding_too),
        "times_feast_with_write": spread(both),
    }
    write("features", result)
    print({name: value for name, value in result.items() if "feast" in name or "milliseconds" in name})  # noqa: T201


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The same function, which notes how long each call takes."""

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - began)

    return call


def spread(values: list[float]) -> dict[str, float]:
    """The median of the rounds, the least and the most."""
    return {
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
    }


if __name__ == "__main__":
    main()
