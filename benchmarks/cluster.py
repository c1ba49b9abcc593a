"""The fraud example on a real node, through its gateway, beside the same example in the local runtime: `make bench-cluster`.

One run on one machine, one world at a time: the local runtime, the cluster, and the local runtime again, whose difference from
the first is the noise. Needs what `make cluster` needs. Writes benchmarks/results/cluster.json.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from engine import machine, write
from footprint import Used
from rich.console import Console
from slices import asked_openly
from worlds import World, cluster, local

from harness.audit import Write
from harness.cluster import KubectlFailed
from harness.development import Parts, interrupt_once
from harness.parts import KUBERNETES
from harness.runs import NotUp
from harness.waiting import NotSeen, wait_for
from pointsman.demo.conservation import PENDING
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.streaming import Sent, StreamRefused, send
from pointsman.demo.transactions import as_json_lines
from pointsman.local.up import CannotStart
from pointsman_images.cache import Missing

SETTINGS = GeneratorSettings(days=14, customers=2_000, terminals=2_000)
WARM_UP = 5_000
ROUNDS, EVENTS, BATCH = 4, 10_000, 1_000
STEADY_RATE, STEADY_BATCH, STEADY_SECONDS = 200, 20, 20
ALONE_RATE, ALONE_SECONDS = 100, 20
REST_SECONDS = 60
WORLDS = {"local": local, "cluster": cluster, "local again": local}

Figures = dict[str, Any]


class Load:
    """Sends the next events of a stream to one world."""

    def __init__(self, world: World, lines: Sequence[bytes]) -> None:
        self._world, self._lines, self.sent = world, lines, 0

    def batches(self, events: int, *, batch: int, rate: float | None = None) -> Sent:
        """In order, one request after the other. Raises SystemExit where anything was not decided at once."""
        headers = {"authorization": f"Bearer {self._world.key}"}
        sent = send(self._world.url, self._next(events), headers=headers, batch=batch, rate=rate)
        if (sent.decided, sent.retries) != (events, 0):
            raise SystemExit(f"of {events} events {sent.decided} were decided, {sent.retries} retries: the run is void")
        return sent

    def alone(self, events: int, *, rate: float) -> list[float]:
        """One event a request, each when it is due; seconds that each waited."""
        return asyncio.run(asked_openly(self._world.url, self._world.key, self._next(events), rate))

    def _next(self, events: int) -> list[bytes]:
        found = list(self._lines[self.sent : self.sent + events])
        assert len(found) == events, "the stream has ended: let it be longer"
        self.sent += events
        return found


def main() -> int:
    """Run it all; 1 where this machine cannot or a part does not come up, 130 where it is interrupted."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    shown = Parts(console, "done")
    interrupt_once(console)
    found = dict[str, Figures]()
    try:
        with shown.part("generating transactions"):
            stream = generate(SETTINGS)
            probe, *lines = as_json_lines(stream, stream.accepted())
        for name, world in WORLDS.items():
            with world(shown, probe) as running:
                found[name] = measured(running, lines, shown)
    except (Missing, NotUp, NotSeen, KubectlFailed, CannotStart, StreamRefused) as error:
        console.print(f"make bench-cluster: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted: nothing of it is left, and no figures were written")
        return 130
    write("cluster", {**machine(), "kubernetes": KUBERNETES, **settings(), "worlds": found, "ratios": ratios(found)})
    console.print_json(data=ratios(found))
    return 0


def measured(world: World, lines: Sequence[bytes], shown: Parts) -> Figures:
    """Everything of one world, which is under no load before and after it."""
    load = Load(world, lines)
    with shown.part(f"{WARM_UP:,} events to warm up"):
        load.batches(WARM_UP, batch=500)
    rates, waits = list[float](), list[float]()
    before = world.used()
    with shown.part(f"{ROUNDS} times {EVENTS:,} events in batches of {BATCH:,}"):
        for _ in range(ROUNDS):
            sent = load.batches(EVENTS, batch=BATCH)
            rates.append(sent.rate)
            waits += sent.waits
    cpu = differing(before, world.used(), ROUNDS * EVENTS)
    with shown.part(f"{STEADY_RATE} events a second in batches of {STEADY_BATCH}"):
        steady = load.batches(STEADY_RATE * STEADY_SECONDS, batch=STEADY_BATCH, rate=STEADY_RATE)
    with shown.part(f"single events, {ALONE_RATE} a second"):
        alone = load.alone(ALONE_RATE * ALONE_SECONDS, rate=ALONE_RATE)
    with shown.part("no action waits any more"):
        settled(world, load.sent + 1)
    return {
        "came_up": world.came_up,
        "decisions_a_second": spread(rates),
        "batch_ms": percentiles(waits),
        "steady_ms": percentiles(steady.waits[STEADY_BATCH - 1 :: STEADY_BATCH]),  # from when the whole batch is due
        "alone_ms": percentiles(alone),
        "cpu_us_a_decision": cpu,
        "megabytes": {part: round(each.megabytes) for part, each in world.used().items()},
        **({} if world.writes is None else {"writes": written(world, shown)}),
    }


def settled(world: World, decisions: int) -> None:
    """Wait until all actions have ended, and see that each event is one decision."""
    with world.store() as connection:

        def nothing_waits() -> bool:
            with connection.transaction():
                row = connection.execute(PENDING).fetchone()
            return row == (0,)

        wait_for("no action waits any more", nothing_waits, seconds=300, every=0.5)
        row = connection.execute("SELECT count(*) FROM decisions").fetchone()
    assert row == (decisions,), f"{decisions} events were sent, the store has {row} decisions"


def written(world: World, shown: Parts) -> Figures:
    """The operator's writes: until the example was Ready, while it decided, and in a minute in which nothing happens.

    The renewals of the operator's lease are counted for themselves: one lease for all graphs.
    """
    assert world.writes is not None
    active = world.writes()
    with shown.part(f"{REST_SECONDS} s in which nothing happens"):
        time.sleep(REST_SECONDS)
    resting = world.writes()[len(active) :]
    return {
        "coming_up": by_resource([each for each in active if each.ended <= world.ready_at]),
        "deciding": by_resource([each for each in active if each.ended > world.ready_at]),
        "at_rest": by_resource(resting),
        "rest_seconds": REST_SECONDS,
        "lease_at_rest": sum(map(is_lease, resting)),
    }


def is_lease(each: Write) -> bool:
    return each.resource == "leases"


def by_resource(writes: Sequence[Write]) -> dict[str, int]:
    return dict(sorted(Counter(each.resource for each in writes if not is_lease(each)).items()))


def differing(before: Mapping[str, Used], after: Mapping[str, Used], events: int) -> dict[str, float]:
    """Microseconds of CPU a decision, by part."""
    return {
        part: round((each.cpu_seconds - before.get(part, Used()).cpu_seconds) / events * 1e6, 1)
        for part, each in after.items()
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values)), "min": round(min(values)), "max": round(max(values))}


def ratios(found: Mapping[str, Figures]) -> Figures:
    """The cluster by the mean of the two local runs, and the second local run by the first."""

    def of(world: Figures) -> dict[str, float]:
        times = {
            f"{name}, {at}": world[f"{name}_ms"][at] for name in ("batch", "steady", "alone") for at in ("p50", "p95")
        }
        return {"decisions a second": world["decisions_a_second"]["median"], **times}

    first, again, there = (of(found[name]) for name in ("local", "local again", "cluster"))
    return {
        "cluster": {
            name: round(value / statistics.mean((first[name], again[name])), 2) for name, value in there.items()
        },
        "local again": {name: round(value / first[name], 2) for name, value in again.items()},
    }


def settings() -> Figures:
    return {
        "events": EVENTS,
        "rounds": ROUNDS,
        "decided": WARM_UP + ROUNDS * EVENTS + STEADY_RATE * STEADY_SECONDS + ALONE_RATE * ALONE_SECONDS,
        "loads": {
            "batch": {"batch": BATCH},
            "steady": {"batch": STEADY_BATCH, "rate": STEADY_RATE, "seconds": STEADY_SECONDS},
            "alone": {"rate": ALONE_RATE, "seconds": ALONE_SECONDS},
        },
    }


if __name__ == "__main__":
    sys.exit(main())
