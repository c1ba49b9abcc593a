"""What docs/performance.md says of the example on a cluster beside the local runtime: `page.py` calls it."""

from __future__ import annotations

from typing import Any

LOADS = {
    "batch": "batches of {batch:,}, one after the other",
    "steady": "batches of {batch}, {rate} events a second",
    "alone": "single events, {rate} a second",
}


def lines(found: dict[str, Any]) -> list[str]:
    """The section, of what `cluster.py` has measured."""
    local, cluster, again = (found["worlds"][name] for name in ("local", "cluster", "local again"))
    return [
        "",
        "## On a cluster",
        "",
        f"The fraud example on a real node (Kubernetes {found['kubernetes']}, KubeRay, KServe, Triton), through its gateway, "
        "beside the same documents in the local runtime, on one machine in one run: local, cluster, local again. Batches go over "
        f"one connection, each once the one before is durable: {found['rounds']} rounds of {found['events']:,} events, the median, "
        "least and most in brackets. Where a rate is given, a wait begins when an event, or a batch's last one, is due. "
        f"Measured {found['date']}.",
        "",
        "| load | | local runtime | again | cluster | cluster / local | again / local |",
        "|---|---|---|---|---|---|---|",
        *_loads(found, (local, again, cluster)),
        "",
        *_coming_up(found, local, cluster, again),
        "",
        "| | memory after the load, MB (PSS): local | cluster | CPU µs a decision, in batches: local | cluster |",
        "|---|---|---|---|---|",
        *_parts(local, cluster),
    ]


def _loads(found: dict[str, Any], worlds: tuple[dict[str, Any], ...]) -> list[str]:
    def row(load: str, what: str, figures: list[str]) -> str:
        said = LOADS[load].format(**found["loads"][load])
        name = "decisions a second" if what == "rate" else f"{load}, {what}"
        times = [f"{found['ratios'][each][name]:.2f}" for each in ("cluster", "local again")]
        unit = "decisions a second" if what == "rate" else f"{what}, ms"
        return f"| {said} | {unit} | {' | '.join([*figures, *times])} |"

    rates = [each["decisions_a_second"] for each in worlds]
    return [
        row("batch", "rate", [f"{each['median']:,} ({each['min']:,} to {each['max']:,})" for each in rates]),
        *(
            row(load, at, [f"{each[f'{load}_ms'][at]:.1f}" for each in worlds])
            for load in LOADS
            for at in ("p50", "p95")
        ),
    ]


def _coming_up(
    found: dict[str, Any], local: dict[str, Any], cluster: dict[str, Any], again: dict[str, Any]
) -> list[str]:
    writes, up = cluster["writes"], cluster["came_up"]
    first, deciding, rest = (sum(writes[each].values()) for each in ("coming_up", "deciding", "at_rest"))
    each = ", ".join(f"{count} {resource}" for resource, count in writes["coming_up"].items())
    return [
        "From `kubectl apply` of the whole example, on a node that has the images, it takes "
        f"{up['first_decision']:.0f} s to the first decision and {up['ready']:.0f} s to Ready; in the local runtime "
        f"{local['came_up']['ready']:.0f} and {again['came_up']['ready']:.0f} s to Ready. Until then the operator writes {first} "
        f"times to the API server ({each}); {deciding} times while {found['decided']:,} events are decided; in "
        f"{writes['rest_seconds']} s in which nothing happens {rest} times, not counting the renewals of its own lease.",
    ]


def _parts(local: dict[str, Any], cluster: dict[str, Any]) -> list[str]:
    columns = [world[what] for what in ("megabytes", "cpu_us_a_decision") for world in (local, cluster)]
    names = sorted({**cluster["megabytes"], **local["megabytes"]}, key=lambda name: -cluster["megabytes"].get(name, 0))
    rows = {name: [f"{each[name]:,.0f}" if name in each else "" for each in columns] for name in names}
    rows["**together**"] = [f"**{sum(each.values()):,.0f}**" for each in columns]
    return [f"| {name} | {' | '.join(figures)} |" for name, figures in rows.items()]
