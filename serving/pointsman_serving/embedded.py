"""Hosts a decision graph in this one process: `python -m pointsman_serving.embedded --config FILE`. Up in a second."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

import uvicorn
import uvloop

from pointsman.logs import log_as_json
from pointsman_serving.graph.app import GraphApp
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.host import GraphHost


async def serve(config: HostConfig) -> None:
    """Listen at once, load beside it (the ready check says how far it is), stop on SIGTERM after what was taken in."""
    host = GraphHost(config)
    server = uvicorn.Server(
        uvicorn.Config(
            GraphApp(host),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=10,
        )
    )
    listening = asyncio.create_task(server.serve())
    starting = asyncio.create_task(host.start())
    try:
        done, _ = await asyncio.wait({listening, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting in done:
            starting.result()
        await listening
    finally:
        server.should_exit = True
        starting.cancel()
        await host.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


def main() -> None:
    """Read the configuration and serve."""
    parser = argparse.ArgumentParser(prog="pointsman_serving.embedded", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the host's configuration, a JSON file")
    log_as_json()
    uvloop.run(serve(HostConfig.read(parser.parse_args().config)))


if __name__ == "__main__":
    main()
