"""The accounts service: it stands for a bank's core system, where the demonstration freezes accounts.

`python -m pointsman.demo.accounts`, with PORT, ACCOUNTS_TOKEN, and if wanted HOST (default 127.0.0.1) and ACCOUNTS_DB
(its SQLite file; default `accounts.sqlite` in $XDG_STATE_HOME, else in the current folder). It honours an
Idempotency-Key, is durable before it answers, and its journal shows how often each key was applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response

STATUS_AFTER = {"freeze": "frozen", "unfreeze": "active"}
ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[\x21-\x7e]{1,128}")

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, request TEXT NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operations (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, account TEXT NOT NULL,
    operation TEXT NOT NULL, applied_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS operations_by_key ON operations (key);
"""
JOURNAL = """
SELECT seq, key, account, operation, applied_at,
    (SELECT count(*) FROM operations same WHERE same.key = operations.key) AS applied_count
FROM operations WHERE seq > ? ORDER BY seq LIMIT ?
"""
SUMMARY = """
SELECT coalesce(sum(times), 0) AS count, count(*) AS distinct_keys, coalesce(max(times), 0) AS max_applied
FROM (SELECT count(*) AS times FROM operations GROUP BY key)
"""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One freeze or unfreeze that waits for the next commit."""

    key: str
    account: str
    operation: Literal["freeze", "unfreeze"]
    done: asyncio.Future[tuple[int, str]]


class Accounts:
    """The accounts in their SQLite file. Requests that come while one commit runs share the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = list[Asked]()
        self._some = asyncio.Event()
        self._writer, self._reader = self._open(), self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {SCHEMA}")
        return connection

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def read(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What is committed."""
        return [dict(row) for row in self._reader.execute(query, parameters)]

    async def apply(self, key: str, account: str, operation: Literal["freeze", "unfreeze"]) -> tuple[int, str]:
        """The status and the body to answer with, once they are durable."""
        asked = Asked(key=key, account=account, operation=operation, done=asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._some.set()
        return await asked.done

    async def commit_for_ever(self) -> None:
        """One transaction after the other, each with all that has come meanwhile."""
        while True:
            await self._some.wait()
            self._some.clear()
            batch, self._waiting = self._waiting, []
            try:
                answers = await asyncio.to_thread(self._commit, batch)
            except sqlite3.Error:
                answers = [(503, '{"error": "the journal cannot be written"}')] * len(batch)
            for asked, answer in zip(batch, answers, strict=True):
                if not asked.done.done():
                    asked.done.set_result(answer)

    def _commit(self, batch: Sequence[Asked]) -> list[tuple[int, str]]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            answers = [self._apply(asked) for asked in batch]
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        return answers

    def _apply(self, asked: Asked) -> tuple[int, str]:
        request = hashlib.sha256(f"{asked.operation} {asked.account}".encode()).hexdigest()
        known = self._writer.execute("SELECT request, answer FROM answers WHERE key = ?", (asked.key,)).fetchone()
        if known is not None:
            if known["request"] == request:
                return 200, str(known["answer"])
            return 422, '{"error": "this Idempotency-Key was used for another request"}'
        status, at = STATUS_AFTER[asked.operation], datetime.now(UTC).isoformat()
        answer = f'{{"account":"{asked.account}","status":"{status}","appliedAt":"{at}"}}'
        self._writer.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?)", (asked.account, status))
        applied = (None, asked.key, asked.account, asked.operation, at)
        self._writer.execute("INSERT INTO operations VALUES (?, ?, ?, ?, ?)", applied)
        self._writer.execute("INSERT INTO answers VALUES (?, ?, ?)", (asked.key, request, answer))
        return 200, answer


def create_app(path: Path, token: str) -> FastAPI:
    """The service on one file; everything but its health needs the token."""
    expected = f"Bearer {token}".encode()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.accounts = accounts = Accounts(path)
        committing = asyncio.create_task(accounts.commit_for_ever())
        yield
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        accounts.close()

    async def allowed(request: Request) -> Accounts:
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, expected):
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        found: Accounts = request.app.state.accounts
        return found

    app = FastAPI(title="Accounts", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    needs_token = Depends(allowed)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/accounts/{account}/{operation}")
    async def operate(
        account: str, operation: Literal["freeze", "unfreeze"], request: Request, accounts: Accounts = needs_token
    ) -> Response:
        key = request.headers.get("idempotency-key", "")
        if not KEY.fullmatch(key):
            raise HTTPException(400, "an Idempotency-Key is needed")
        status, body = await accounts.apply(key, _account(account), operation)
        return Response(body, status_code=status, media_type="application/json")

    @app.get("/accounts/{account}")
    async def account(account: str, accounts: Accounts = needs_token) -> dict[str, str]:
        rows = accounts.read("SELECT status FROM accounts WHERE account = ?", _account(account))
        return {"account": account, "status": rows[0]["status"] if rows else "active"}

    @app.get("/operations")
    async def operations(after: int = 0, limit: int = 1000, accounts: Accounts = needs_token) -> dict[str, Any]:
        return {"items": accounts.read(JOURNAL, after, min(max(limit, 1), 10_000))}

    @app.get("/operations/summary")
    async def summary(accounts: Accounts = needs_token) -> dict[str, Any]:
        return accounts.read(SUMMARY)[0]

    return app


def _account(name: str) -> str:
    if not ACCOUNT.fullmatch(name):
        raise HTTPException(404, "no such account")
    return name


def main() -> int:
    """Serve until SIGTERM; 2 where the environment lacks something."""
    token, port = os.environ.get("ACCOUNTS_TOKEN", ""), os.environ.get("PORT", "")
    if not token or not port.isdigit():
        print("accounts: PORT and ACCOUNTS_TOKEN must be set", file=sys.stderr)  # noqa: T201
        return 2
    path = Path(os.environ.get("ACCOUNTS_DB") or Path(os.environ.get("XDG_STATE_HOME") or ".") / "accounts.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    host = os.environ.get("HOST", "127.0.0.1")
    uvicorn.run(create_app(path, token), host=host, port=int(port), log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
