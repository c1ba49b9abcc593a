"""One HTTP server of this process, over TLS or without: metrics and health, and the webhook."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import nullcontext

import structlog
import uvicorn
from fastapi import FastAPI

from pointsman_operator.settings import RELEASE

log = structlog.get_logger()

KEEP_ALIVE_SECONDS = 120
"""Longer than the API server keeps an idle connection (90 s): were it closed from here, a request could meet its end"""


class Server:
    """Listens on all addresses from now on; port 0 takes a free one, which the log names. Raises OSError where it is taken."""

    def __init__(self, name: str, app: FastAPI, *, port: int, context: ssl.SSLContext | None = None) -> None:
        listening = socket.create_server(("", port))
        log.info("listening", server=name, port=listening.getsockname()[1], release=RELEASE)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=KEEP_ALIVE_SECONDS
        )
        config.load()
        config.ssl = context
        self._server = uvicorn.Server(config)
        self._server.capture_signals = nullcontext  # it would end the process before the lease is released
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]), name=name)

    async def stop(self) -> None:
        """Answer what is under way, and end."""
        self._server.should_exit = True
        await self._serving
