"""One HTTP/1.1 exchange at a checked address, with a sharp line between what never left and what may have arrived.

The connector calls it. It stands on h11, which parses; the sockets are asyncio's. A general client is not used here for
two reasons: it hides whether bytes left before a failure, and it cost ten times the CPU of the rest of a freeze.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from pointsman.actions.addresses import Address

LARGEST_ANSWER = 256 * 1024
"""Of a longer body only so much is read, and its connection is closed."""

KEPT_SECONDS = 2.0
"""Below the five seconds after which common servers close an idle connection: few requests meet a closing one."""

Headers = Sequence[tuple[str, str]]


class NotSent(Exception):
    """No byte of the request left this machine."""


class Lost(Exception):
    """The request left, in part or whole, and no whole answer came; `timed_out` when it may still come."""

    def __init__(self, why: str, *, timed_out: bool = False) -> None:
        super().__init__(why)
        self.timed_out = timed_out


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A final answer; `retry_after` is that header as it came."""

    status: int
    retry_after: str | None
    body: bytes


class Wire:
    """Exchanges with one server, each on a connection of its own; with `keep`, an idle connection is used again.

    Bounded by its caller, who has only so many exchanges under way. Use from one event loop.
    """

    def __init__(self, address: Address, *, keep: bool) -> None:
        self._address, self._keep = address, keep
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        self._idle = list[_Connection]()

    async def exchange(self, method: str, path: bytes, headers: Headers, body: bytes, timeout: float) -> Answer:
        """Send one request and return its answer, connecting included within `timeout` seconds.

        Raises NotSent or Lost. Cancelled, the connection is closed.
        """
        end = asyncio.get_running_loop().time() + timeout
        address = self._address
        connection = self._take() or await self._connect(address, end)
        try:
            async with asyncio.timeout_at(end):
                answer = await connection.exchange(
                    h11.Request(
                        method=method,
                        target=address.prefix + path,
                        headers=[
                            ("Host", address.host_header),
                            *headers,
                            *([("Content-Length", str(len(body)))] if method != "GET" else []),
                        ],
                    ),
                    body,
                )
        except TimeoutError:
            raise Lost("no answer in time", timed_out=True) from None
        finally:
            if not (self._keep and connection.reusable and address == self._address):
                connection.close()
        if connection.reusable:
            self._idle.append(connection)
        return answer

    def move(self, address: Address) -> None:
        """Connect there from now on."""
        if address != self._address:
            self._address = address
            self.close()

    def close(self) -> None:
        """Close what is idle; at the end, no exchange may be under way."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _take(self) -> _Connection | None:
        """The connection that was used last, if it can be used again."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and time.monotonic() - connection.used_at < KEPT_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self, address: Address, end: float) -> _Connection:
        try:
            async with asyncio.timeout_at(end):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection,
                    address.ip,
                    address.port,
                    ssl=self._tls,
                    server_hostname=address.host if self._tls is not None else None,
                )
        except TimeoutError:
            raise NotSent("no connection in time") from None
        except ssl.SSLError as error:
            raise NotSent(f"no trusted connection: {error.reason}") from None
        except OSError as error:
            raise NotSent(f"no connection: {type(error).__name__}") from None
        return connection


class _Connection(asyncio.Protocol):
    """One connection; `reusable` while it is open, idle and in step with the server."""

    def __init__(self) -> None:
        self.used_at = time.monotonic()
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._head: h11.Response | None = None
        self._body = bytearray()

    @property
    def reusable(self) -> bool:
        return self._answer is None and self._transport is not None and self._http.our_state is h11.IDLE

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        """Send and wait for the whole answer. Raises NotSent where the connection is gone already, else Lost."""
        if self._transport is None or self._transport.is_closing():
            raise NotSent("connection closed before use")
        self._answer = asyncio.get_running_loop().create_future()
        self._head, self._body = None, bytearray()
        parts = [self._http.send(request), self._http.send(h11.Data(data=body)) if body else b""]
        self._transport.write(b"".join([part or b"" for part in [*parts, self._http.send(h11.EndOfMessage())]]))
        return await self._answer

    def close(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # Nobody asked: whatever this is, it must not be taken for the answer to the next request.
            return
        self._receive(data)

    def eof_received(self) -> None:
        if self._answer is not None:
            self._receive(b"")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's signature
        self._transport = None
        self._fail("connection cut")

    def _receive(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while self._answer is not None:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > LARGEST_ANSWER:
                        self._finish()
                elif isinstance(event, h11.EndOfMessage):
                    self._finish()
                elif isinstance(event, h11.ConnectionClosed):
                    self._fail("connection cut")
        except h11.RemoteProtocolError:
            self._fail("not HTTP")

    def _finish(self) -> None:
        answer, head = self._answer, self._head
        assert answer is not None
        assert head is not None
        in_step = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if in_step and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        self.used_at, self._answer = time.monotonic(), None
        if not answer.done():
            found = [value.decode("latin-1") for name, value in head.headers if name == b"retry-after"]
            retry_after = found[0] if found else None
            answer.set_result(Answer(status=head.status_code, retry_after=retry_after, body=bytes(self._body)))

    def _fail(self, why: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(Lost(why))
