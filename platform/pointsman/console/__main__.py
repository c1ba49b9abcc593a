"""Serves the API: `python -m pointsman.console`, with the store's URL in POINTSMAN_STORE_URL. Waits for a store that is away.

POINTSMAN_POLICIES names a file with Cedar policies; while there is none, those of the release are in force.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import structlog
import uvicorn

from pointsman.console.app import console_app
from pointsman.console.store import Store
from pointsman.console.sweeping import PolicyFile
from pointsman.governance.access import POLICIES
from pointsman.governance.policies import PolicyRefused
from pointsman.logs import log_as_json
from pointsman.store.database import StoreUrlRefused, store_url

log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM; 2 where there is no URL of a store, or the policies cannot be in force."""
    parser = argparse.ArgumentParser(prog="pointsman.console", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on  [default: all]")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on  [default: 8080]")
    asked = parser.parse_args()
    log_as_json()
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # its retries are what /readyz says
    try:
        file = os.environ.get(POLICIES)
        policies = PolicyFile(Path(file)) if file else None
        app = console_app(Store(store_url(os.environ)), policies)
    except (StoreUrlRefused, PolicyRefused) as error:
        log.error("cannot start", why=str(error))
        return 2
    uvicorn.run(app, host=asked.host, port=asked.port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
