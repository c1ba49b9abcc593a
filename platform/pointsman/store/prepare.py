"""Makes a store ready for this release: `python -m pointsman.store.prepare`, before anything else uses it.

Brings the schema up to date and makes the administrator's API key known. Run it as often as you like, beside itself too.
On a cluster a Job runs it; the owner's URL and the key come from its environment.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import psycopg
import structlog
from psycopg.pq import PGconn, Ping
from sqlalchemy.exc import DBAPIError

from pointsman.governance import keys
from pointsman.governance.access import Role
from pointsman.logs import log_as_json
from pointsman.store.database import OWNER_URL, StoreUrlRefused, connect, store_url
from pointsman.store.migrate import migrate

log = structlog.get_logger()

ADMIN_KEY = "POINTSMAN_ADMIN_KEY"
"""The variable with the text of the key that opens everything"""
SHORTEST_KEY = 32
PATIENCE_SECONDS = 120.0
"""How long a server that does not answer yet is waited for"""
AGAIN_SECONDS = 1.0
SAID_EVERY_SECONDS = 10.0
DOCUMENTED = "docs/store.md says what a database of your own needs"


class KeyRefused(Exception):
    """The administrator's key is missing, or anybody could guess it. The message does not hold it."""


class StoreRefuses(Exception):
    """The server does not answer, or refuses; the message says what, and what to do. It holds no password."""


def admin_key(environment: Mapping[str, str]) -> str:
    """The key's text that the environment gives. Raises KeyRefused."""
    text = environment.get(ADMIN_KEY, "").strip()
    where = 'on a cluster, key "adminKey" of the Secret "pointsman-keys"'
    if not text:
        raise KeyRefused(f"{ADMIN_KEY}: is not set: give the text of the API key that opens everything; {where}")
    if len(text) < SHORTEST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        message = (
            f"{ADMIN_KEY}: needs {SHORTEST_KEY} characters or more, ASCII without spaces, chosen by chance; {where}"
        )
        raise KeyRefused(message)
    return text


def prepare(url: str, key: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for the server, migrate, and make the key known. Safe twice and at once. Raises StoreRefuses."""
    _wait(url, patience_seconds)
    try:
        revision = migrate(url)
        with connect(url) as connection:
            known = keys.make_known(connection, "admin", Role.ADMIN, key, now=datetime.now(UTC))
    except (DBAPIError, psycopg.Error) as error:
        raise StoreRefuses(f"the decision store refuses: {_said(error)}: {DOCUMENTED}") from None
    if known.revoked_at is not None:
        log.warning("the administrator's key was revoked and stays so", key=known.key_id)
    log.info("the decision store is prepared", revision=revision, key=known.key_id)


def _wait(url: str, patience_seconds: float) -> None:
    """Until the server takes connections: one that starts, recovers or is not there yet is given time."""
    conninfo, began, said = url.encode(), time.monotonic(), float("-inf")
    while (found := PGconn.ping(conninfo)) in (Ping.NO_RESPONSE, Ping.REJECT):
        if time.monotonic() - began > patience_seconds:
            raise StoreRefuses(f"the decision store did not answer within {patience_seconds:.0f} s: {_refusal(url)}")
        if time.monotonic() - said > SAID_EVERY_SECONDS:
            said = time.monotonic()
            state = "it is starting" if found is Ping.REJECT else "it does not answer"
            log.info("waiting for the decision store", why=state, at_most_seconds=patience_seconds)
        time.sleep(AGAIN_SECONDS)


def _refusal(url: str) -> str:
    """What the server, or the way to it, says."""
    try:
        connect(url).close()
    except psycopg.Error as error:
        return _said(error)
    return "it answers now: run this again"


def _said(error: Exception) -> str:
    """The server's words in one line. It names hosts and roles, never a password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())


def main() -> int:
    """The command: 0 prepared, 1 not, 2 where the environment lacks something."""
    log_as_json()
    try:
        prepare(store_url(os.environ, OWNER_URL), admin_key(os.environ))
    except (StoreUrlRefused, KeyRefused) as error:
        log.error("cannot begin", why=str(error))
        return 2
    except StoreRefuses as error:
        log.error("not prepared", why=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
