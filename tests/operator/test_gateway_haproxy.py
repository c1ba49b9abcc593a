"""A real HAProxy that is told of servers while it runs, and of configurations that it does not take. No cluster."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.routing.haproxy import BUFFER_BYTES, admit, dismiss, render
from pointsman.routing.routes import Backend, Match, Part, Routing, Rule, Server
from pointsman_operator.gateway.haproxy import HAProxy, NotTaken

pytestmark = pytest.mark.slow


class Named(ThreadingHTTPServer):
    """Answers with its name; at /slow only once it is let; what is posted with `status`."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name, self.asked, self.let = name, threading.Event(), threading.Event()
        self.status = 200

    @property
    def server(self) -> Server:
        return Server(address=f"127.0.0.1:{self.server_address[1]}")


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    server: Named

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.server.asked.set()
            self.server.let.wait(20)
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def named(name: str) -> Iterator[Named]:
    server = Named(name)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.let.set()
        server.shutdown()
        thread.join()
        server.server_close()


def config(port: int, *servers: Server, decisions: bool = False) -> str:
    rule = Rule(match=Match(), parts=(Part(backend="a"),))
    routing = Routing(rules=(rule,), backends=(backend(*servers, decisions=decisions),))
    return render(routing, bind=f"127.0.0.1:{port}")


def backend(*servers: Server, decisions: bool = False) -> Backend:
    return Backend(name="a", servers=servers, decisions=decisions)


def get(port: int, path: str = "/") -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


@pytest.fixture
def with_haproxy(tmp_path: Path) -> Callable[[Callable[[HAProxy, int], Awaitable[None]]], None]:
    """Does something with an HAProxy and its port, and ends it."""
    port = Ports(Home(tmp_path)).of("gateway")

    def run(what: Callable[[HAProxy, int], Awaitable[None]]) -> None:
        async def done() -> None:
            haproxy = HAProxy(tmp_path, ended=lambda: None)
            try:
                await what(haproxy, port)
            finally:
                await haproxy.stop(2)
            assert not haproxy.runs

        asyncio.run(done())

    return run


def test_a_server_that_leaves_finishes_what_it_has_and_may_come_back(with_haproxy) -> None:
    async def leave_and_come_back(haproxy: HAProxy, port: int) -> None:
        ask = lambda path="/": asyncio.to_thread(get, port, path)  # noqa: E731
        await haproxy.load(config(port, one.server))
        under_way = asyncio.create_task(ask("/slow"))
        await asyncio.to_thread(one.asked.wait, 20)
        moved = [*admit(backend(), two.server), *dismiss(backend(), one.server)]
        await haproxy.tell(config(port, two.server), moved)
        assert {await ask() for _ in range(4)} == {"two"}
        await haproxy.tell(config(port, one.server), [*admit(backend(), one.server), *dismiss(backend(), two.server)])
        assert {await ask() for _ in range(4)} == {"one"}
        one.let.set()
        assert await under_way == "one"

    with named("one") as one, named("two") as two:
        with_haproxy(leave_and_come_back)


def posted(port: int, body: bytes) -> set[int]:
    """The statuses of twenty requests, whose bodies come a packet after their heads."""
    connection, found = HTTPConnection("127.0.0.1", port, timeout=20), set[int]()
    for _ in range(20):
        connection.request("POST", "/", body=body)
        answer = connection.getresponse()
        answer.read()
        found.add(answer.status)
    connection.close()
    return found


@pytest.mark.parametrize("size", [500, BUFFER_BYTES * 9 // 10])
def test_a_request_for_decisions_is_sent_to_another_host_where_one_has_refused_it(with_haproxy, size: int) -> None:
    async def ask(haproxy: HAProxy, port: int) -> None:
        one.status = 503
        await haproxy.load(config(port, one.server, two.server, decisions=True))
        assert await asyncio.to_thread(posted, port, b"x" * size) == {200}
        await haproxy.load(config(port, one.server, two.server))
        assert await asyncio.to_thread(posted, port, b"x" * size) == {200, 503}, "who asks for anything else is told"

    with named("one") as one, named("two") as two:
        with_haproxy(ask)


def test_what_it_does_not_take_is_told_and_what_it_served_is_served_on(with_haproxy, tmp_path: Path) -> None:
    async def refuse(haproxy: HAProxy, port: int) -> None:
        good = config(port, one.server)
        await haproxy.load(good)
        with pytest.raises(NotTaken, match="unknown keyword 'nonsense'"):
            await haproxy.load(good + "backend b\n    nonsense\n")
        assert await asyncio.to_thread(get, port) == "one"
        assert (tmp_path / "haproxy.cfg").read_text() == good
        with pytest.raises(NotTaken, match="No such server"):
            await haproxy.tell(good, ["set server a/nobody state maint"])

    with named("one") as one:
        with_haproxy(refuse)


def test_one_that_cannot_start_is_told(with_haproxy) -> None:
    async def start(haproxy: HAProxy, port: int) -> None:
        with pytest.raises(NotTaken, match="it does not start"):
            await haproxy.load("nonsense\n")

    with_haproxy(start)
