"""One exchange on the wire: what is kept, what is closed, and what is certain when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pointsman.actions.addresses import resolve
from pointsman.actions.wire import LARGEST_ANSWER, Lost, NotSent, Wire

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def exchanges(serve: Serve, count: int = 2, *, keep: bool = True, pause: Callable | None = None, body: bytes = b"{}"):
    """Make exchanges one after the other; what each brought, and on which connections the server saw requests."""

    async def run() -> tuple[list, int]:
        connections = 0

        async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(counted, "127.0.0.1", 0)
        wire = Wire(resolve(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), keep=keep)
        brought = list[object]()
        for _ in range(count):
            try:
                brought.append(await wire.exchange("POST", b"/a", [("X", "y")], body, 0.5))
            except (Lost, NotSent) as error:
                brought.append(error)
            if pause is not None:
                await pause()
        wire.close()
        server.close()
        return brought, connections

    return asyncio.run(run())


def answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"{}"):
            writer.write(answer)
            await writer.drain()

    return serve


def test_a_request_is_written_once_and_whole() -> None:
    seen = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"{}"))
        writer.write(OK)

    ((answer,), _) = exchanges(serve, 1)
    assert (answer.status, answer.body, answer.retry_after) == (200, b"ok", None)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.splitlines()[0] == b"POST /a HTTP/1.1"
    assert {b"X: y", b"Content-Length: 2"} <= set(head.splitlines()[1:])


def test_an_idle_connection_is_used_again() -> None:
    brought, connections = exchanges(answering(OK), 4)
    assert [each.status for each in brought] == [200] * 4
    assert connections == 1


def test_where_a_lost_request_would_trouble_a_person_no_connection_is_used_twice() -> None:
    assert exchanges(answering(OK), 3, keep=False)[1] == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        OK + OK,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"o" * (LARGEST_ANSWER + 1),
    ],
    ids=["the server closes", "more than one answer", "an old server", "an endless body"],
)
def test_a_connection_that_is_out_of_step_is_not_used_again(answer: bytes) -> None:
    brought, connections = exchanges(answering(answer), 2)
    assert [each.status for each in brought] == [200, 200]
    assert connections == 2


def test_what_comes_unasked_is_never_taken_for_an_answer() -> None:
    unasked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)
        await asyncio.sleep(0)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()  # until the client has closed, because it saw the second answer
        unasked.set()

    brought, _ = exchanges(serve, 2, pause=unasked.wait)
    assert [each.status for each in brought] == [200, 200]


def test_interim_answers_are_passed_over_and_chunks_are_joined() -> None:
    chunked = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Away\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
    )
    brought, connections = exchanges(answering(chunked), 2)
    assert [(each.status, each.body, each.retry_after) for each in brought] == [(503, b"ok", "7")] * 2
    assert connections == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"\0\1\2\r\n\r\n"]
    + [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 90000,
    ],
    ids=["nothing", "half a head", "half a body", "nonsense", "two lengths", "an endless head"],
)
def test_a_broken_answer_may_have_arrived(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(answer)
        await writer.drain()

    brought, connections = exchanges(serve, 2)
    assert [type(each) for each in brought] == [Lost, Lost]
    assert not any(each.timed_out for each in brought)
    assert connections == 2


def test_an_answer_that_does_not_come_is_told_from_one_that_was_cut() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    ((lost,), _) = exchanges(serve, 1)
    assert isinstance(lost, Lost)
    assert lost.timed_out


def test_a_connection_that_does_not_come_about_never_left() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await Wire(resolve(f"http://127.0.0.1:{port}"), keep=True).exchange("GET", b"/", [], b"", 0.5)

    with pytest.raises(NotSent):
        asyncio.run(run())


def test_a_server_that_speaks_no_tls_never_sees_the_request() -> None:
    seen = list[bytes]()

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.read(4096))
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = resolve(f"https://localhost:{server.sockets[0].getsockname()[1]}")
        try:
            await Wire(address, keep=True).exchange("POST", b"/", [("Authorization", "Bearer s3cret")], b"", 2)
        finally:
            server.close()

    with pytest.raises(NotSent):
        asyncio.run(run())
    assert b"s3cret" not in b"".join(seen)
