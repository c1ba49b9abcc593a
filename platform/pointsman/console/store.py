"""What the API's routes share: connections to the store, the graphs by name, the keys, the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from pointsman.api.decision_graph import DecisionGraph
from pointsman.governance.keyring import Keyring, Known, known
from pointsman.store import revision
from pointsman.store.database import HOW

Connection = psycopg.Connection[TupleRow]
POOL = 8
WAIT_SECONDS = 5.0
CONNECTING_SECONDS = 2.0
"""How long a connection is tried in the background; the next request tries again at once, however long the store was away"""

GRAPHS = "SELECT name, uid, document, status FROM objects WHERE kind = 'DecisionGraph' ORDER BY name"


class Unavailable(Exception):
    """The store is away, or all its connections are busy."""


class NoSuchGraph(Exception):
    """No graph has the name."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """An applied graph."""

    name: str
    uid: UUID
    applied: Mapping[str, Any]
    address: str | None
    """Where its ingress takes events; None while it is not served."""

    @cached_property
    def document(self) -> DecisionGraph:
        """What was applied."""
        return DecisionGraph.model_validate(self.applied)


class Store:
    """The API's connections. `open` and `close` around its life."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=POOL,
            open=False,
            timeout=WAIT_SECONDS,
            reconnect_timeout=CONNECTING_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={**HOW, "options": "-c timezone=UTC -c lock_timeout=10s -c statement_timeout=30s"},
        )
        self.keys = Keyring(self._known)

    def open(self) -> None:
        """Begin to connect; returns at once."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One connection for one request. Raises Unavailable."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise Unavailable("the decision store does not answer") from error
        except psycopg.OperationalError as error:
            raise Unavailable(f"the decision store went away: {' '.join(str(error).split())}") from error

    def check(self) -> None:
        """Whether requests would be answered: the store is there, and has what this release needs. Raises Unavailable."""
        with self.connection() as connection:
            try:
                revision.check(connection)
            except revision.NotPrepared as error:
                raise Unavailable(str(error)) from error

    def graphs(self) -> list[Graph]:
        """All graphs, by name."""
        with self.connection() as connection:
            rows = connection.execute(GRAPHS).fetchall()
        return [
            Graph(name=name, uid=uid, applied=document, address=status.get("address"))
            for name, uid, document, status in rows
        ]

    def graph(self, name: str) -> Graph:
        """One graph. Raises NoSuchGraph."""
        graphs = self.graphs()
        for each in graphs:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in graphs)
        raise NoSuchGraph(f'graph: no graph is called "{name[:80]}"; there are: {known or "none"}')

    def _known(self) -> Known:
        with self.connection() as connection:
            return known(connection)


def now() -> datetime:
    """The moment of a request."""
    return datetime.now(UTC)
