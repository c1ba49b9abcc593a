"""Makes a store ready for this release: `python -m pointsman.store.prepare`, before anything else uses it.

Brings the schema up to date and makes the first API keys known. Run it as often as you like, beside itself too. On a cluster a
Job runs it; the owner's URL and the keys come from its environment.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
METRICS_KEY = "POINTSMAN_METRICS_KEY"
"""The variable with the text of the key by which Prometheus reads the API's metrics, where there is one"""
SHORTEST_KEY = 32
PATIENCE_SECONDS = 120.0
"""How long a server that does not answer yet is waited for"""
AGAIN_SECONDS = 1.0
SAID_EVERY_SECONDS = 10.0
DOCUMENTED = "docs/store.md says what a database of your own needs"


class KeyRefused(Exception):
    """A key is missing, or anybody could guess it. The message does not hold it."""


class StoreRefuses(Exception):
    """The server does not answer, or refuses; the message says what, and what to do. It holds no password."""


@dataclass(frozen=True, kw_only=True)
class FirstKey:
    """A key that is to be known: whose it is, what it may, and its text."""

    name: str
    role: Role
    text: str = field(repr=False)


def first_keys(environment: Mapping[str, str]) -> tuple[FirstKey, ...]:
    """The keys that the environment gives; the administrator's must be there. Raises KeyRefused."""
    found = [FirstKey(name="admin", role=Role.ADMIN, text=_text(environment, ADMIN_KEY, "adminKey"))]
    if environment.get(METRICS_KEY):
        text = _text(environment, METRICS_KEY, "metricsKey")
        found.append(FirstKey(name="prometheus", role=Role.VIEWER, text=text))
    return tuple(found)


def _text(environment: Mapping[str, str], variable: str, key: str) -> str:
    text = environment.get(variable, "").strip()
    where = f'on a cluster, key "{key}" of the Secret "pointsman-keys"'
    if not text:
        raise KeyRefused(f"{variable}: is not set: give the text of the API key that opens everything; {where}")
    if len(text) < SHORTEST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        message = (
            f"{variable}: needs {SHORTEST_KEY} characters or more, ASCII without spaces, chosen by chance; {where}"
        )
        raise KeyRefused(message)
    return text


def prepare(url: str, first: Iterable[FirstKey], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for the server, migrate, and make the keys known. Safe twice and at once. Raises StoreRefuses."""
    _wait(url, patience_seconds)
    try:
        revision = migrate(url)
        log.info("the schema is up to date", revision=revision)
        with connect(url) as connection:
            now = datetime.now(UTC)
            known = [keys.make_known(connection, each.name, each.role, each.text, now=now) for each in first]
    except (DBAPIError, psycopg.Error) as error:
        raise StoreRefuses(f"the decision store refuses: {_said(error)}: {DOCUMENTED}") from None
    for each in known:
        if each.revoked_at is not None:
            log.warning("a key was revoked and stays so", name=each.name, key=each.key_id)
    log.info("the decision store is prepared", keys=[each.key_id for each in known])


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
        prepare(store_url(os.environ, OWNER_URL), first_keys(os.environ))
    except (StoreUrlRefused, KeyRefused) as error:
        log.error("cannot begin", why=str(error))
        return 2
    except StoreRefuses as error:
        log.error("not prepared", why=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
