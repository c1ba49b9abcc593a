"""Serves the API: `python -m pointsman.console --config FILE`, a JSON file with `databaseUrl`, `host` and `port`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import orjson
import structlog
import uvicorn

from pointsman.console.app import console_app
from pointsman.console.store import Store


def main() -> None:
    """Read the configuration and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="pointsman.console", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the API's configuration, a JSON file")
    config = orjson.loads(parser.parse_args().config.read_bytes())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # its retries are what /readyz says
    app = console_app(Store(config["databaseUrl"]))
    uvicorn.run(
        app, host=config["host"], port=config["port"], log_config=None, access_log=False, timeout_graceful_shutdown=5
    )


if __name__ == "__main__":
    main()
