"""What the tests of actions share: the example's target, an outbox to fill, processes, a target that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

ACCOUNTS = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "accounts.yaml"
TOKEN = "token-that-must-not-be-logged"
PATIENCE_SECONDS = 60.0

Document = dict[str, Any]


def wait_until(fact: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Wait for a fact, looking again and again; fail with `what` when it does not come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        if time.monotonic() > end:
            pytest.fail(f"did not come: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[[Callable[[], object], str | Callable[[], str]], None]:
    return wait_until


@pytest.fixture
def document() -> Callable[..., Document]:
    """The example's ActionTarget, hastier and without budget; named spec members and parts of `freeze` replace its."""
    example = next(each for each in yaml.safe_load_all(ACCOUNTS.read_text("utf-8")) if each["kind"] == "ActionTarget")

    def build(
        url: str | None = None, *, freeze: Document | None = None, name: str = "accounts", **spec: Any
    ) -> Document:
        built = deepcopy(example)
        built["metadata"]["name"] = name
        built["spec"].pop("budget")
        built["spec"] |= {"timeout": "500ms"} | spec
        built["spec"]["operations"][0] |= freeze or {}
        for part in (built["spec"], *built["spec"]["operations"]):
            for member in [key for key, value in part.items() if value is None]:
                del part[member]
        return built | ({} if url is None else {"url": url})

    return build


class OutboxTable:
    """The store, seen and filled by a test."""

    def __init__(self, url: str) -> None:
        from pointsman.store.database import connect

        self.connection = connect(url, autocommit=True)
        self.graph = uuid.uuid4()

    def add(
        self,
        count: int = 1,
        *,
        target: str = "accounts",
        operation: str = "freeze",
        account: str | None = None,
        expires_in: float | None = None,
        notify: bool = True,
    ) -> list[uuid.UUID]:
        """Commit approved actions, as a graph does; each for an account of its own unless one is named."""
        ids = [uuid.uuid4() for _ in range(count)]
        expiry = "now() + make_interval(secs => %s)" if expires_in is not None else "%s::timestamptz"
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO outbox (action_id, day, decision_id, graph_uid, target, operation, parameters, "
                f"created_at, expires_at) VALUES (%s, current_date, %s, %s, %s, %s, %s::jsonb, now(), {expiry})",
                [
                    (
                        id_,
                        uuid.uuid4(),
                        self.graph,
                        target,
                        operation,
                        json.dumps({"account": f"A-{id_}" if account is None else account}),
                        expires_in,
                    )
                    for id_ in ids
                ],
            )
            if notify:
                cursor.execute("NOTIFY pointsman_outbox")
        return ids

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def states(self) -> Counter[str]:
        return Counter(state for (state,) in self.rows("SELECT state FROM outbox"))

    def reasons(self) -> Counter[str]:
        return Counter(reason for (reason,) in self.rows("SELECT reason FROM outbox"))

    def final_effects(self) -> Counter[uuid.UUID]:
        """How many settled effects are recorded for each action."""
        rows = self.rows("SELECT action_id FROM effects WHERE state IN ('observed', 'rejected', 'unknown')")
        return Counter(id_ for (id_,) in rows)

    def ledger_commits_to_every_effect(self) -> bool:
        """Each effect has one leaf, and the leaf is its body's."""
        from pointsman.ledger.leaf import leaf

        rows = self.rows(
            "SELECT e.body, s.salt, l.leaf FROM effects e "
            "LEFT JOIN ledger l ON l.ref = e.effect_id AND l.kind = 'effect' LEFT JOIN salts s USING (index)"
        )
        (leaves,) = self.rows("SELECT count(*) FROM ledger WHERE kind = 'effect'")
        held = [found is not None and leaf(bytes(salt), bytes(body)) == bytes(found) for body, salt, found in rows]
        return all(held) and leaves[0] == len(rows)


@pytest.fixture
def table(database_url: str) -> Iterator[OutboxTable]:
    found = OutboxTable(database_url)
    yield found
    found.connection.close()


class Process:
    """A process of a test. Ended at the latest when the test is over."""

    def __init__(self, log: Path, module: str, *arguments: str, **environment: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                stdout=out,
                stderr=out,
            )

    def said(self, event: str) -> bool:
        """Has it logged this?"""
        return event in self.log.read_text("utf-8")

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        """The exit code, once it has ended by itself; negative is the signal that ended it."""
        return self.popen.wait(PATIENCE_SECONDS)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it and return its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.wait()


class Accounts:
    """A running accounts service."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url, self._folder, self._port = f"http://127.0.0.1:{port}", folder, port
        self.process: Process | None = None

    def start(self) -> None:
        self.process = Process(
            self._folder / "accounts.log",
            "pointsman.demo.accounts",
            PORT=str(self._port),
            ACCOUNTS_TOKEN=TOKEN,
            ACCOUNTS_DB=str(self._folder / "accounts.sqlite"),
        )
        wait_until(self._answers, "the accounts service answers")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def summary(self) -> dict[str, int]:
        request = Request(f"{self.url}/operations/summary", headers={"Authorization": f"Bearer {TOKEN}"})
        with urlopen(request, timeout=10) as answer:
            found: dict[str, int] = json.load(answer)
            return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stopped_accounts(tmp_path: Path) -> Iterator[Accounts]:
    """The accounts service with an address, not started yet."""
    service = Accounts(tmp_path, free_port())
    yield service
    if service.process is not None:
        service.process.end()


@pytest.fixture
def accounts(stopped_accounts: Accounts) -> Accounts:
    stopped_accounts.start()
    return stopped_accounts


class Dispatchers:
    """Starts dispatchers on one settings file."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder, self._database_url, self._started = folder, database_url, list[Process]()
        self.path = folder / "dispatcher.json"
        secrets = folder / "secrets" / "accounts-token"
        secrets.mkdir(parents=True)
        self.token = secrets / "token"
        self.token.write_text(TOKEN + "\n")
        self.settings: Document = {
            "targets": [],
            "secretsFolder": str(folder / "secrets"),
            "leaseSeconds": 1.5,
            "pollSeconds": 0.1,
        }

    def write(self, *targets: Document, **changes: Any) -> None:
        """Write the settings file anew, in one step, as a supervisor does."""
        self.settings |= {"targets": list(targets), **changes}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.settings))
        new.replace(self.path)

    def start(self, **environment: str) -> Process:
        log = self._folder / f"dispatcher-{len(self._started)}.log"
        settings = {"POINTSMAN_STORE_URL": self._database_url, **environment}
        process = Process(log, "pointsman.actions.dispatcher", "--config", str(self.path), **settings)
        self._started.append(process)
        return process

    def logs(self) -> str:
        return "".join(process.log.read_text("utf-8") for process in self._started)

    def end_all(self) -> None:
        for process in self._started:
            process.send(signal.SIGCONT)
            process.end(signal.SIGKILL)


@pytest.fixture
def dispatchers(tmp_path: Path, database_url: str) -> Iterator[Dispatchers]:
    found = Dispatchers(tmp_path, database_url)
    yield found
    found.end_all()


class Misbehaving:
    """A target whose answers a test writes: one function from a request to (status, headers, body).

    It applies nothing by itself; it keeps every request that it was sent.
    """

    def __init__(self) -> None:
        self.requests = list[tuple[str, str, dict[str, str], bytes]]()
        self.frozen = set[str]()
        self.answer: Callable[[str, str], tuple[int, dict[str, str], bytes]] = self.behave
        self.hold = threading.Event()
        self.hold.set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, content = target.answer(self.command, self.path)
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def behave(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Freeze on POST and say so on GET."""
        account = path.split("/")[2]
        if method == "POST":
            self.frozen.add(account)
        status = "frozen" if account in self.frozen else "active"
        return 200, {}, json.dumps({"status": status}).encode()

    def times_sent(self) -> Counter[str]:
        """How often each path was asked to act."""
        return Counter(path for method, path, _, _ in list(self.requests) if method != "GET")

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def misbehaving() -> Iterator[Misbehaving]:
    found = Misbehaving()
    yield found
    found.close()
