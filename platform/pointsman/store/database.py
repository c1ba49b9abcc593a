"""Connections to the decision store, for everything that runs SQL.

A URL names a database and a role. An owner migrates; everything else has the rights of `pointsman_app`, which can neither
update nor delete what is append-only. Processes find the URLs in their environment: a password stands in no file of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from pointsman.graphs.pod import STORE_URL

OWNER_ROLE = "pointsman_owner"
APP_ROLE = "pointsman_app"

OWNER_URL = "POINTSMAN_STORE_OWNER_URL"
"""The variable with the owner's URL; STORE_URL has the application's"""
MLFLOW_URL = "POINTSMAN_MLFLOW_URL"
"""The variable with the URL of a registry's database, where a PostgreSQL for trials is to make one"""
KEYS_OF_SECRET: Mapping[str, str] = MappingProxyType({STORE_URL: "url", OWNER_URL: "ownerUrl", MLFLOW_URL: "mlflowUrl"})
"""In which key of the Secret `pointsman-store` a variable's value stands on a cluster"""

CONNECT_TIMEOUT_SECONDS = 10
HOW: Mapping[str, Any] = MappingProxyType(
    {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": "pointsman",
        # a server whose machine is gone says nothing: it is noticed within half a minute, not after TCP's two hours
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
)
"""How every connection to the store is made"""


class StoreUrlRefused(Exception):
    """A URL that is missing or cannot be one. The message holds nothing of it: it may be a password."""


def store_url(environment: Mapping[str, str], variable: str = STORE_URL) -> str:
    """The URL that the environment gives. Raises StoreUrlRefused."""
    url = environment.get(variable, "").strip()
    where = f'on a cluster, key "{KEYS_OF_SECRET[variable]}" of the Secret "pointsman-store"'
    if not url:
        raise StoreUrlRefused(f"{variable}: is not set: postgresql://role:password@host:5432/database; {where}")
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreUrlRefused(f"{variable}: is no URL of PostgreSQL: it begins with postgresql://; {where}")
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreUrlRefused(
            f"{variable}: cannot be read: percent-encode special characters in role and password; {where}"
        ) from None
    return url


def connect(url: str, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """A connection whose session speaks UTC and keeps no statement waiting for ever on a lock.

    Raises psycopg.OperationalError when the server cannot be reached.
    """
    return psycopg.connect(
        url,
        autocommit=autocommit,
        options="-c timezone=UTC -c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
        **HOW,
    )
