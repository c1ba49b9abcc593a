"""The HTTP server of one model: where it listens, and uvicorn's settings. Used by Native and by BentoML."""

from __future__ import annotations

import socket
from typing import Any, Literal

import uvicorn

GRACE_SECONDS = 10
"""How long what is in flight may take after SIGTERM."""
IDLE_SECONDS = 75
"""How long a connection is kept between two requests."""


def listen(host: str, port: int) -> socket.socket:
    """asyncio does not know these connections for TCP and would leave each answer's body waiting for 40 ms."""
    listening = socket.create_server((host, port), backlog=1024)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def settings(app: Any, *, lifespan: Literal["on", "off"] = "off") -> uvicorn.Config:
    """How an ASGI application is served: nothing is logged for a request, no header says what serves."""
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan=lifespan,
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
