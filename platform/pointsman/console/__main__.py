"""Serves the API: `python -m pointsman.console`, with the store's URL in POINTSMAN_STORE_URL. Waits for a store that is away."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import structlog
import uvicorn

from pointsman.console.app import console_app
from pointsman.console.store import Store
from pointsman.logs import log_as_json
from pointsman.store.database import StoreUrlRefused, store_url

log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM; 2 where there is no URL of a store."""
    parser = argparse.ArgumentParser(prog="pointsman.console", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on  [default: all]")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on  [default: 8080]")
    asked = parser.parse_args()
    log_as_json()
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # its retries are what /readyz says
    try:
        app = console_app(Store(store_url(os.environ)))
    except StoreUrlRefused as error:
        log.error("cannot start", why=str(error))
        return 2
    uvicorn.run(app, host=asked.host, port=asked.port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
