"""Who reaches whom on a cluster, as a page: `python -m pointsman_operator.network_page [--check]` writes it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pointsman_operator.resources.graphs import edges
from pointsman_operator.resources.graphs.edges import EVERY, Edge, Edges, Ports
from pointsman_operator.resources.graphs.platform import Gateway, Platform, Redis
from pointsman_operator.seen import Installed

PAGE = Path("docs/network.md")
PLATFORM = Platform(
    gateway=Gateway(namespace="gateways", name="public"),
    redis=Redis(address="redis.example.com:6379"),
    installed=Installed(gateway=True, monitors=True),
)
"""An installation in which every edge is there"""
HEAD = """<!-- Made by: make manifests -->
# Who reaches whom

The operator makes a NetworkPolicy for every kind of pod that it makes; what stands in no row is closed, in both directions. This
is an installation with a Gateway in the namespace `gateways`, Redis at `redis.example.com:6379` and Prometheus' operator;
what an installation does not have, it has no row for.

A policy names pods by their labels, and what has none by its port. So the store, whose address is a secret, and what lies outside
the cluster are reached at their port, wherever they are; a Service of the cluster (`name`, or `name.namespace.svc`) is reached in
its namespace at every port, since what stands behind it may listen at another. Policies add up: what your code in a graph's image
needs beside this, a NetworkPolicy of yours may open for pods with `pointsman.dev/part: host`. So it may for events that
`kubectl pointsman` posts: they come from the API server, which no label names; by the Gateway they need nothing.

A CNI that enforces NetworkPolicies is yours to install. The pods of a ModelDeployment are reached by every pod of the cluster at
the ports of Open Inference Protocol and of metrics, and may reach anything: a model's files may lie anywhere.
"""


def page() -> str:
    """The whole text; the same edges give the same bytes."""
    return HEAD + "".join(line for title, found in _sections().items() for line in _section(title, found))


def _sections() -> Mapping[str, Edges]:
    kafka, target, token = "kafka.example.com:9093", "https://core.example.com", "https://login.example.com:8443"
    service = "http://accounts.risk.svc:80"
    return {
        "The host of a graph, and Ray's head": edges.of_host(
            "card-fraud", "1a2b3c4d", PLATFORM, on_ray=True, sources=[kafka]
        ),
        "The API": edges.of_api(PLATFORM),
        "The dispatcher": edges.of_dispatcher(PLATFORM, [target, token, service]),
        "Migrations": edges.of_migration(PLATFORM),
    }


def _section(title: str, found: Edges) -> Iterator[str]:
    yield f"\n## {title}\n\n| | whom | ports | why |\n|---|---|---|---|\n"
    for side, each in (("from", found.incoming), ("to", found.outgoing)):
        yield from (_row(side, edge) for edge in each)


def _row(side: str, edge: Edge) -> str:
    ports = "every" if EVERY in edge.ports else ", ".join(map(_port, edge.ports))
    return f"| {side} | {edge.words} | {ports} | {edge.why} |\n"


def _port(ports: Ports) -> str:
    text = str(ports.start) if ports.end is None else f"{ports.start}-{ports.end}"
    return text if ports.protocol == "TCP" else f"{text} ({ports.protocol})"


def main() -> int:
    """Write the page; with --check say whether it differs, and 1."""
    parser = argparse.ArgumentParser(prog="pointsman_operator.network_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"write nothing; exit 1 where {PAGE} differs")
    options = parser.parse_args()
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    if options.check:
        print(f"{PAGE} is not what the code makes: make manifests", file=sys.stderr)  # noqa: T201
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
