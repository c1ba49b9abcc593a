"""Writes docs/performance.md, docs/certificates.md and their pictures from the results that lie beside this: `make bench` calls it
last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_section
import matplotlib
import orjson

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "pointsman"
import promises_page  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"
NAMES = {
    "kserve": "KServe ModelServer",
    "kserve-again": "KServe, a second time",
    "triton": "Triton (Python backend)",
    "ray": "Ray Serve, defaults",
    "native": "our model server",
    "graph-embedded": "**governed decisions**, embedded",
    "graph-ray": "**governed decisions**, Ray Serve",
}
LOADS = ("c=1", "c=8", "c=32")


def main() -> None:
    """Write the page."""
    peers, stream, features = _read("peers"), _read("stream"), _read("features")
    memory, operator, kafka = _read("memory"), _read("operator"), _read("kafka")
    (DOCS / "performance").mkdir(exist_ok=True)
    rate = "a second, at 32 connections (a stream: batches of 500, 4 in flight)"
    _picture("rates.svg", peers, "a_second", title="Predictions and decisions", unit=rate)
    _picture("cpu.svg", peers, "cpu_us", title="Server CPU", unit="µs for one prediction or decision")
    _memory_picture(memory)
    (DOCS / "performance.md").write_text(
        "\n".join(
            [
                *_page(peers, stream, features, memory),
                *_kafka(kafka),
                *(cluster_section.lines(_read("cluster")) if _is_measured("cluster") else ()),
                *_operator(operator),
            ]
        )
        + "\n"
    )
    promises_page.write()


def _is_measured(name: str) -> bool:
    """Whether a result is there: not every machine can run a node."""
    return (HERE / "results" / f"{name}.json").exists()


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((HERE / "results" / f"{name}.json").read_bytes())
    return found


def _page(peers: dict[str, Any], stream: dict[str, Any], features: dict[str, Any], memory: dict[str, Any]) -> list[str]:
    machine, versions = peers["machine"], peers["versions"]
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    again = peers["ratios"]["kserve-again, c=32"]
    counts, ratio = stream["counts"], features["times_feast"]
    return [
        "# Performance",
        "",
        "Made by `make bench`, `make bench-memory` and `make bench-cluster`; the numbers are data under `benchmarks/results/`. "
        "Whether certified bands keep their promises stands on [a page of its own](certificates.md).",
        "",
        f"Measured {peers['date']} on {machine['cpus']} cores ({machine['platform']}), Python {machine['python']}; {said}.",
        f"Every arm in one run, {peers['rounds']} rounds of {peers['seconds_a_slice']:g} s slices in turned order; medians. "
        f"The same KServe server, started twice, differs from itself by {_spread(again)} at 32 connections: that is the noise, "
        "and absolute numbers of this machine swing several fold between hours. Read the ratios.",
        "",
        "## Beside what others serve predictions with",
        "",
        "The peers answer one row of the example's boosted trees over Open Inference Protocol, as one packed tensor, which suits "
        "them best. A governed decision is the whole fraud example: contract, windowed features, both models, rules, lists, "
        "bands, and a record that is durable in PostgreSQL, with its ledger leaf, before the answer is given; with an API key.",
        "",
        "| | load | a second | p50 ms | p95 ms | p99 ms | server CPU µs | × KServe |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(peers),
        "",
        "![a second](performance/rates.svg)",
        "",
        "![server CPU](performance/cpu.svg)",
        "",
        "× KServe: what is done a second by what KServe does at as many connections, the median of the rounds, least and most in "
        "brackets; for a stream, by KServe at 32 connections. `open` asks at fixed moments whether or not it was answered; its "
        f"waits begin when an event is due. {peers.get('note', '')}".rstrip(),
        "",
        "## Where a decision's time goes",
        "",
        f"The engine in one process, batches of 1,000: {stream['events_per_second']['median']:,} events a second "
        f"({stream['events_per_second']['min']:,} to {stream['events_per_second']['max']:,}), "
        f"{stream['host_cpu_us_per_event']:g} µs of the host's CPU an event. `commit` overlaps with deciding the next batch.",
        "",
        "| step | µs an event, batches of 1,000 | µs, an event alone |",
        "|---|---|---|",
        *(
            f"| {name} | {value:g} | {stream['us_alone_by_step'].get(name, 0):,.0f} |"
            for name, value in stream["us_per_event_by_step"].items()
        ),
        "",
        f"A batch is {counts['statements_per_batch']} SQL statements (which ids are known; the commit) and "
        f"{counts['wal_fsyncs_per_batch']:g} flushes of the write-ahead log, {counts['wal_bytes_per_event']:,} bytes an event. "
        f"Python runs {counts['python_lines_per_event']:g} lines for each event, in {counts['python_loops_per_event']} loops "
        "(named in `stream.json`); all else is done by columns.",
        "",
        f"Features of {features['rows']} events, looked up: {features['lookup_milliseconds']:g} ms; Feast's online lookup of as "
        f"many features {features['feast_milliseconds']:g} ms: {ratio['median']:g} times as long ({ratio['min']:g} to "
        f"{ratio['max']:g}). Looked up *and added*: {features['milliseconds']:g} ms, so Feast's lookup alone takes "
        f"{features['times_feast_adding_too']['median']:g} times as long, and its lookup and writing of the same rows, "
        f"{features['feast_write_milliseconds'] + features['feast_milliseconds']:,.0f} ms, "
        f"{features['times_feast_with_write']['median']:g} times.",
        "",
        "## Memory",
        "",
        f"{memory['events']:,} events of {memory['entities']['card-activity']:,} cards, a day's partition dropped half-way while "
        f"the stream ran: the process grew by {memory['growth_over_the_second_half_megabytes']:g} MB over the second half; "
        f"the ledger of {memory['ledger_leaves']:,} leaves held.",
        "",
        "![memory](performance/memory.svg)",
    ]


def _kafka(kafka: dict[str, Any]) -> list[str]:
    rates, cpu, times = kafka["events_per_second"], kafka["host_cpu_us_per_event"], kafka["times_http"]
    return [
        "",
        "## From Kafka",
        "",
        f"The embedded host of the fraud example reads {kafka['events_a_round']:,} events of a topic of three partitions and "
        f"commits them: {_said(times)} times as many a second as the same host is sent over HTTP, 500 a request on four "
        f"connections. Measured {kafka['date']}, {kafka['rounds']} rounds each way in turn, in one run; broker, PostgreSQL and "
        "sender share the cores with the host: read the ratio.",
        "",
        "| | events a second | host's CPU µs an event |",
        "|---|---|---|",
        f"| **from Kafka** | {_whole(rates['kafka'])} | {_said(cpu['kafka'])} |",
        f"| over HTTP | {_whole(rates['http'])} | {_said(cpu['http'])} |",
    ]


def _whole(spread: dict[str, float]) -> str:
    return f"{spread['median']:,.0f} ({spread['min']:,.0f} to {spread['max']:,.0f})"


def _operator(operator: dict[str, Any]) -> list[str]:
    arms, models, versions = operator["arms"], operator["models"], operator["versions"]
    writes = sum(operator["writes"].values()) / models
    return [
        "",
        "## The operator",
        "",
        f"{models:,} ModelDeployments that are there when it starts, on Kubernetes {versions['kubernetes']} with KServe's "
        f"definitions and without its controller: {writes:g} writes each, no more. Measured {operator['date']}, "
        f"{operator['rounds']} rounds, each arm on a control plane of its own; medians, least and most in brackets. The raw client "
        f"writes the same children through the same library, {operator['workers']} at a time as the operator does, and decides "
        f"nothing. kopf {versions['kopf']} is a stock `on.create` and `on.resume` handler that creates them, from documents made "
        "before; its time counts from its start.",
        "",
        "| | s until all children are written | CPU ms a model | KB of memory a model | MB with no model |",
        "|---|---|---|---|---|",
        f"| a raw client | {_said(arms['raw']['seconds'])} | | | |",
        *(
            f"| {name} | {_said(arms[arm]['seconds'])} | {_said(arms[arm]['cpu_ms'])} | {_said(arms[arm]['kilobytes'])} | "
            f"{_said(arms[arm]['megabytes_with_none'])} |"
            for arm, name in (("operator", "**our operator**"), ("kopf", "kopf"))
        ),
        "",
        f"The operator writes children at {_said(operator['times_raw'])} times the raw client's speed, though it writes each "
        f"model's status in between; beside a raw client that writes the statuses too, {_said(operator['times_raw_with_status'])} "
        f"times. The raw client beside itself: {_said(operator['raw_again'])}: where that is far from 1, times say little, and CPU "
        "says more: API server, etcd and the raw client, statuses too, together "
        f"take {_said(operator['times_raw_cpu'])} times what API server, etcd and the operator do. What limits both is the API "
        "server, which shares the cores with them. Started anew over as many Ready models the operator writes nothing: "
        "`tests/cluster/test_steady.py` counts it in the API server's audit log.",
    ]


def _said(spread: dict[str, float]) -> str:
    return f"{spread['median']:.3g} ({spread['min']:.3g} to {spread['max']:.3g})"


def _rows(peers: dict[str, Any]) -> list[str]:
    lines = list[str]()
    for arm, name in NAMES.items():
        for load, said in peers["arms"].get(arm, {}).items():
            ratio = peers["ratios"].get(f"{arm}, {load}")
            shown = "" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
            waits = " | ".join(f"{said[each]:,.2f}" for each in ("p50", "p95", "p99"))
            lines.append(f"| {name} | {load} | {said['a_second']:,.0f} | {waits} | {said['cpu_us']:,.0f} | {shown} |")
    return lines


def _spread(ratio: list[float]) -> str:
    return f"{abs(ratio[0] - 1):.0%} (single rounds {ratio[1] - 1:+.0%} to {ratio[2] - 1:+.0%})"


def _picture(file: str, peers: dict[str, Any], what: str, *, title: str, unit: str) -> None:
    names, values, colours = list[str](), list[float](), list[str]()
    for arm, name in NAMES.items():
        loads = peers["arms"].get(arm, {})
        for load in ("stream", "c=32"):
            if load in loads:
                ours = arm.startswith("graph")
                names.append(name.replace("**", "") + (", streamed" if load == "stream" else ""))
                values.append(loads[load][what])
                colours.append(ORANGE if ours else BLUE if arm == "native" else GREY)
    figure = Figure(figsize=(8, 0.45 * len(names) + 1), layout="constrained")
    axes: Axes = figure.subplots()
    bars = axes.barh(names[::-1], values[::-1], color=colours[::-1])
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 4, max(values) * 2.5)
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11)
    figure.savefig(DOCS / "performance" / file, metadata={"Date": None})


def _memory_picture(memory: dict[str, Any]) -> None:
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot(
        [each["events"] / 1e6 for each in memory["samples"]],
        [each["megabytes"] for each in memory["samples"]],
        color=BLUE,
    )
    axes.set_ylim(0, 1.2 * max(each["megabytes"] for each in memory["samples"]))
    axes.set_xlabel("million events")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("the process's memory, MB", loc="left", fontsize=11)
    figure.savefig(DOCS / "performance" / "memory.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
