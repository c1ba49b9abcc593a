"""Governed decisions beside what others serve predictions with, in one run: `make bench-peers`.

Interleaves all arms in rounds, in another order each round, at 1, 8 and 32 connections; streams batches through the graphs;
asks at fixed rates. Compares outputs first; any answer that is not 2xx ends the run. `kserve-again` is the same server as
`kserve`, started twice: what they differ by is noise. Prints a table and writes benchmarks/results/peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx2
from arms import Arm, Arms, infer_body, stop
from slices import Reader, Slice, closed_loop, open_loop

from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.local.home import Home
from pointsman.local.postgres import running_postgres

RESULTS = Path(__file__).parent.parent / "results" / "peers.json"
CONNECTIONS = (1, 8, 32)
STREAM_BATCH, STREAM_IN_FLIGHT = 500, 4
OPEN_RATE = 100.0
SHARES = (0.5, 0.8)
CUSTOMERS, DAYS = 6_000, 45
PEERS = ("kserve", "kserve-again", "triton", "native", "ray")
GRAPHS = {"graph-embedded": "pointsman_serving.embedded", "graph-ray": "pointsman_serving.ray_host"}
Kept = dict[tuple[str, str], list[Slice]]
"""By arm and kind of load, the slice of each round."""


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each slice")
    parser.add_argument("--only", nargs="*", default=[*PEERS, *GRAPHS], help="some of the arms")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pmb") as name, running_postgres(Home(f"{name}/home")) as server:
        folder = Path(name)
        events = folder / "events.jsonl"
        say("generating events")
        stream = generate(GeneratorSettings(customers=CUSTOMERS, terminals=CUSTOMERS, days=DAYS))
        events.write_bytes(b"\n".join(as_json_lines(stream.take(stream.accepted()))) + b"\n")
        with Arms(folder, server) as arms:
            started = [start(arms, each, events) for each in options.only]
            body = folder / "body.json"
            body.write_text(json.dumps(infer_body(arms)))
            compare_outputs([arm for arm in started if arm.events is None], infer_body(arms))
            kept = measure(started, body, rounds=options.rounds, seconds=options.seconds)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {each: version(each) for each in ("onnxruntime", "ray", "uvicorn", "psycopg", "numpy")},
        "rounds": options.rounds,
        "seconds_a_slice": options.seconds,
        "arms": summary(kept),
        "ratios": ratios(kept),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


def start(arms: Arms, name: str, events: Path) -> Arm:
    """Start an arm by its name."""
    say(f"starting {name}")
    if name in GRAPHS:
        return arms.graph(name, GRAPHS[name], events)
    if name.startswith("kserve"):
        return arms.kserve(name)
    arm: Arm = getattr(arms, name)()
    return arm


def compare_outputs(peers: list[Arm], body: dict[str, object]) -> None:
    """All peers must give the same score. Raises SystemExit."""
    said = dict[str, float]()
    for arm in peers:
        outputs = httpx2.post(arm.url, json=body).json()["outputs"]
        (probability,) = [each for each in outputs if each["name"] == "probability"]
        said[arm.name] = probability["data"][0]
    if len({round(value, 6) for value in said.values()}) > 1:
        raise SystemExit(f"the peers' scores differ: {said}")


def measure(arms: list[Arm], body: Path, *, rounds: int, seconds: float) -> Kept:
    """Round after round, every arm at every load; the first, uncounted, warms up."""
    kept: Kept = defaultdict(list)
    reader = Reader()
    graphs = [arm for arm in arms if arm.events is not None]
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        turned = arms[number % len(arms) :] + arms[: number % len(arms)]
        length = seconds if number else 1.0
        for connections in CONNECTIONS:
            for arm in turned:
                slice_ = closed_loop(arm, reader, body, connections=connections, seconds=length)
                if number:
                    kept[arm.name, f"c={connections}"].append(slice_)
        for arm in graphs if number % 2 else reversed(graphs):
            slice_ = closed_loop(arm, reader, body, connections=STREAM_IN_FLIGHT, seconds=length, batch=STREAM_BATCH)
            if number:
                kept[arm.name, "stream"].append(slice_)
    for arm in [each for each in arms if each not in graphs]:
        stop(arm)
    for arm in reversed(graphs):  # one at a time: what idles beside it takes part of the machine
        full = statistics.median(each.a_second for each in kept[arm.name, f"c={CONNECTIONS[-1]}"])
        for label, rate in [
            (f"{OPEN_RATE:.0f}/s", OPEN_RATE),
            *((f"{share:.0%} of c=32", full * share) for share in SHARES),
        ]:
            say(f"{arm.name} at {rate:.0f}/s")
            kept[arm.name, f"open, {label}"].append(open_loop(arm, reader, a_second=rate, seconds=5 * seconds))
        stop(arm)
    return kept


def summary(kept: Kept) -> dict[str, dict[str, dict[str, float]]]:
    """Medians over the rounds, by arm and load; the least and the most of what a second takes."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (arm, load), slices in kept.items():
        medians = {
            name: round(statistics.median(asdict(each)[name] for each in slices), 2) for name in asdict(slices[0])
        }
        rates = [each.a_second for each in slices]
        found[arm][load] = {**medians, "least_a_second": round(min(rates), 1), "most_a_second": round(max(rates), 1)}
    return dict(found)


def ratios(kept: Kept) -> dict[str, list[float]]:
    """What an arm does a second, by what `kserve` does at the same number of connections (a stream: at 32), round by round:
    the median, the least and the most."""
    found = dict[str, list[float]]()
    for (arm, load), slices in kept.items():
        peer = kept.get(("kserve", load if load.startswith("c=") else f"c={CONNECTIONS[-1]}"), [])
        if load.startswith("open") or arm == "kserve" or not peer:
            continue
        each = [ours.a_second / theirs.a_second for ours, theirs in zip(slices, peer, strict=True)]
        found[f"{arm}, {load}"] = [round(value, 3) for value in (statistics.median(each), min(each), max(each))]
    return found


def show(result: dict[str, object]) -> None:
    """The table, to read."""
    say(f"{'':34}{'a second':>10}{'p50 ms':>9}{'p95':>9}{'p99':>9}{'CPU µs':>9}{'× kserve':>10}")
    arms, by_kserve = result["arms"], result["ratios"]
    assert isinstance(arms, dict)
    assert isinstance(by_kserve, dict)
    for arm, loads in arms.items():
        for load, said in loads.items():
            ratio = by_kserve.get(f"{arm}, {load}", [float("nan")])[0]
            figures = f"{said['p50']:9.2f}{said['p95']:9.2f}{said['p99']:9.2f}{said['cpu_us']:9.0f}{ratio:10.2f}"
            say(f"{arm + ', ' + load:34}{said['a_second']:10.0f}{figures}")


def say(line: str) -> None:
    """Progress goes where it is read."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
