"""A session with the store that outlives the server's restarts: one connection, opened again when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
from psycopg.rows import TupleRow

from pointsman.store.database import connect

T = TypeVar("T")

IDLE_SESSION_SECONDS = 30
"""After this long without a word the server ends the session, and with it the locks of a process that stands still."""


class Session:
    """Runs transactions one at a time, each in a thread. `generation` rises with every new connection."""

    def __init__(self, url: str, threads: ThreadPoolExecutor) -> None:
        self._url, self._threads = url, threads
        self._turn = asyncio.Lock()
        self._connection: psycopg.Connection[TupleRow] | None = None
        self.generation = 0

    async def run(self, work: Callable[[psycopg.Cursor[TupleRow]], T]) -> T:
        """Run `work` in a transaction of its own. Raises psycopg.Error; the connection is then given up.

        Cancelled, it still waits for the transaction to end: half-known outcomes are worse than a short wait.
        """
        async with self._turn:
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                await asyncio.wait([future])
                raise

    async def close(self) -> None:
        """Close the connection; a later `run` opens a new one."""
        async with self._turn:
            self._close()

    def _run(self, work: Callable[[psycopg.Cursor[TupleRow]], T]) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
            self.generation += 1
            self._connection.execute(f"SET idle_session_timeout = '{IDLE_SESSION_SECONDS}s'")
            self._connection.commit()
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                return work(cursor)
        except psycopg.Error:
            self._close()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
