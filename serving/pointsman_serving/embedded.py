"""Hosts a decision graph in this one process: `python -m pointsman_serving.embedded --config FILE`. Up in a second."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

import orjson
import structlog
import uvicorn
import uvloop

from pointsman.logs import log_as_json
from pointsman_serving.graph.app import GraphApp
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.host import GraphHost

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How often the file is looked at: a mounted one is put in place of the one before, which no watcher sees everywhere."""


async def serve(config: HostConfig, file: Path | None = None) -> None:
    """Listen at once, load beside it (the ready check says how far it is), stop on SIGTERM after what was taken in.

    With a file, its changes are taken over.
    """
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
    following = None if file is None or not config.follow else asyncio.create_task(_follow(host, file))
    try:
        done, _ = await asyncio.wait({listening, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting in done:
            starting.result()
        await listening
    finally:
        server.should_exit = True
        starting.cancel()
        if following is not None:
            following.cancel()
        await host.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def _follow(host: GraphHost, file: Path) -> None:
    known = b""
    while True:
        try:
            found = file.read_bytes()
            if found != known:
                known = found
                host.follow(HostConfig.of(orjson.loads(found)))
        except OSError as error:
            log.warning("the configuration cannot be read", file=str(file), error=str(error))
        except ValueError as error:
            host.refuse(f'"{file}" is no configuration of a host: {" ".join(str(error).split())}')
        await asyncio.sleep(LOOK_SECONDS)


def main() -> None:
    """Read the configuration and serve."""
    parser = argparse.ArgumentParser(prog="pointsman_serving.embedded", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the host's configuration, a JSON file")
    log_as_json()
    file = parser.parse_args().config
    uvloop.run(serve(HostConfig.read(file), file))


if __name__ == "__main__":
    main()
