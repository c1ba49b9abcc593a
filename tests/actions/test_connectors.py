"""What the connector makes of each way in which a call can end, on real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from pointsman.actions.addresses import AddressRefused, NameNotResolved, resolve
from pointsman.actions.connectors import HttpConnector, Seen
from pointsman.actions.effects import Answered, NeverLeft, NoAnswer, ReadFailed, ReadValue, Unsendable
from pointsman.api.action_target import ActionTarget
from pointsman.api.reasons import Reason

KEY = "5f0c7bc8-6c0a-4d3e-9a27-1d0c8a3f9b11"
FROZEN = (200, {}, b'{"status": "frozen"}')


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "accounts-token").mkdir()
    (tmp_path / "accounts-token" / "token").write_text("s3cret\n")
    return tmp_path


@pytest.fixture
def call(document: Callable[..., dict], secrets: Path) -> Callable[..., Seen]:
    def run(url: str, *, account: str = "A-1", read: bool = False, operation: str = "freeze", **spec: object) -> Seen:
        target = ActionTarget.model_validate(document(**spec))

        async def once() -> Seen:
            connector = HttpConnector(target, resolve(url), secrets)
            try:
                if read:
                    return await connector.read_back(operation, {"account": account})
                return await connector.send(operation, {"account": account}, KEY)
            finally:
                connector.close()

        return asyncio.run(once())

    return run


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server below HTTP: `serve` is given one accepted connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_a_request_carries_key_and_token_and_nothing_that_was_not_asked_for(call, misbehaving) -> None:
    seen = call(f"{misbehaving.url}/core/v2/")
    assert seen.evidence == Answered(status=200)
    ((method, path, headers, body),) = misbehaving.requests
    assert (method, path, body) == ("POST", "/core/v2/accounts/A-1/freeze", b"")
    assert headers == {
        "host": misbehaving.url.removeprefix("http://"),
        "accept": "application/json",
        "user-agent": "pointsman",
        "authorization": "Bearer s3cret",
        "idempotency-key": KEY,
        "content-length": "0",
    }


def test_a_path_is_sent_as_it_was_encoded(call, misbehaving) -> None:
    call(misbehaving.url, account="a?b#c;d e~ü@:")
    assert misbehaving.requests[0][1] == "/accounts/a%3Fb%23c%3Bd%20e~%C3%BC%40%3A/freeze"


@pytest.mark.parametrize("account", ["../..", "a/unfreeze", "%2e%2e", "..", ""])
def test_a_parameter_that_would_change_the_path_sends_nothing(call, misbehaving, account: str) -> None:
    assert call(misbehaving.url, account=account).evidence == Unsendable()
    assert isinstance(call(misbehaving.url, account=account, read=True).evidence, ReadFailed)
    assert misbehaving.requests == []


def test_an_operation_that_the_target_lost_sends_nothing(call, misbehaving) -> None:
    assert call(misbehaving.url, operation="close").evidence == Unsendable(reason=Reason.OperationNotFound)
    assert misbehaving.requests == []


@pytest.mark.parametrize("status", [200, 404, 409, 429, 500, 503])
def test_an_answer_is_reported_with_its_status(call, misbehaving, status: int) -> None:
    misbehaving.answer = lambda method, path: (status, {}, b"")
    assert call(misbehaving.url).evidence == Answered(status=status)


def test_a_redirect_is_an_answer_and_is_not_followed(call, misbehaving) -> None:
    misbehaving.answer = lambda method, path: (307, {"Location": f"{misbehaving.url}/accounts/B-2/freeze"}, b"")
    assert call(misbehaving.url).evidence == Answered(status=307)
    assert len(misbehaving.requests) == 1


def test_retry_after_is_read_as_seconds_or_date_and_else_ignored(call, misbehaving) -> None:
    def asked_for(value: str) -> timedelta | None:
        misbehaving.answer = lambda method, path: (503, {"Retry-After": value}, b"")
        return call(misbehaving.url).evidence.retry_after

    assert asked_for("17") == timedelta(seconds=17)
    later = asked_for(format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True))
    assert timedelta(minutes=4) < later <= timedelta(minutes=5)
    assert asked_for("Mon, 01 Jan 2001 00:00:00 GMT") == timedelta(0)
    for nonsense in ("soon", "-3", "1e9", "9" * 40, "²"):
        assert asked_for(nonsense.encode().decode("latin-1")) is None


def test_a_refused_connection_never_left(call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert call(url).evidence == NeverLeft()
    assert call(url, read=True).evidence == ReadFailed(reason=Reason.TargetUnreachable)


def test_a_connection_cut_after_the_request_may_have_arrived(call) -> None:
    with server(lambda connection: connection.recv(65536)) as url:
        assert call(url).evidence == NoAnswer(reason=Reason.TargetError)


def test_an_answer_that_does_not_come_in_time_may_have_arrived(call, misbehaving) -> None:
    misbehaving.hold.clear()
    misbehaving.answer = lambda method, path: (misbehaving.hold.wait(30) and 200, {}, b"")
    assert call(misbehaving.url, timeout="100ms").evidence == NoAnswer(reason=Reason.TargetTimeout)
    assert call(misbehaving.url, timeout="100ms", read=True).evidence == ReadFailed(reason=Reason.TargetTimeout)


def test_an_answer_that_trickles_is_cut_off_at_the_timeout(call) -> None:
    done = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not done.wait(0.02):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    with server(trickle) as url:
        seen = call(url, timeout="200ms")
        done.set()
    assert seen.evidence == NoAnswer(reason=Reason.TargetTimeout)
    assert 150 < seen.elapsed_ms < 2000


def test_nonsense_for_an_answer_may_have_arrived(call) -> None:
    def nonsense(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

    with server(nonsense) as url:
        assert call(url).evidence == NoAnswer(reason=Reason.TargetError)


def test_a_read_back_compares_one_field(call, misbehaving) -> None:
    for content, shows in [
        (b'{"status": "frozen"}', True),
        (b'{"status": "active"}', False),
        (b'{"status": "FROZEN"}', False),
        (b"{}", False),
        (b"frozen", False),
    ]:
        misbehaving.answer = lambda method, path, content=content: (200, {}, content)
        assert call(misbehaving.url, read=True).evidence == ReadValue(shows_effect=shows)
    method, path, headers, _ = misbehaving.requests[0]
    assert (method, path, headers["authorization"]) == ("GET", "/accounts/A-1", "Bearer s3cret")
    assert "idempotency-key" not in headers


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_a_read_back_that_is_no_200_says_nothing(call, misbehaving, status: int) -> None:
    misbehaving.answer = lambda method, path: (status, {}, b"")
    assert isinstance(call(misbehaving.url, read=True).evidence, ReadFailed)


def test_an_endless_answer_is_read_only_so_far(call, misbehaving) -> None:
    misbehaving.answer = lambda method, path: (200, {}, b'{"status": "frozen", "x": "' + b"x" * 4_000_000 + b'"}')
    assert call(misbehaving.url, read=True).evidence == ReadValue(shows_effect=False)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (
            {
                "type": "Basic",
                "basic": {"username": "pm", "password": {"secretKeyRef": {"name": "accounts-token", "key": "token"}}},
            },
            "authorization",
            "Basic " + base64.b64encode(b"pm:s3cret").decode(),
        ),
        (
            {"type": "APIKey", "apiKey": {"secretKeyRef": {"name": "accounts-token", "key": "token"}}},
            "x-api-key",
            "s3cret",
        ),
        (
            {"type": "HMAC", "hmac": {"secretKeyRef": {"name": "accounts-token", "key": "token"}}},
            "x-signature",
            hmac.new(b"s3cret", b"", hashlib.sha256).hexdigest(),
        ),
    ],
    ids=["basic", "api key", "hmac"],
)
def test_other_ways_to_prove_who_we_are(call, misbehaving, auth: dict, header: str, value: str) -> None:
    call(misbehaving.url, auth=auth)
    assert misbehaving.requests[0][2][header] == value


def test_a_target_without_auth_is_sent_no_credentials(call, misbehaving) -> None:
    call(misbehaving.url, auth=None)
    assert "authorization" not in misbehaving.requests[0][2]


@pytest.mark.parametrize("content", [None, "", "\n", "two\nlines", "bell\x07", "sécret"])
def test_without_a_usable_secret_nothing_is_sent_and_the_secret_is_not_told(
    call, document, misbehaving, secrets: Path, content: str | None
) -> None:
    file = secrets / "accounts-token" / "token"
    file.unlink()
    if content is not None:
        file.write_text(content, "utf-8")
    seen = call(misbehaving.url)
    assert seen.evidence == NeverLeft(reason=Reason.SecretNotFound)
    assert not content or content.strip() == "" or content not in str(seen)
    assert misbehaving.requests == []

    async def fault() -> Reason | None:
        target = ActionTarget.model_validate(document())
        connector = HttpConnector(target, resolve(misbehaving.url), secrets)
        try:
            return connector.fault()
        finally:
            connector.close()

    assert asyncio.run(fault()) is Reason.SecretNotFound


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "http://",
        "http://user@127.0.0.1/",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/#a",
        "http://127.0.0.1:port/",
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
    ],
)
def test_an_address_that_no_target_may_have_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(url)


def test_a_name_that_leads_back_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", ("127.0.0.1", 80))])
    with pytest.raises(AddressRefused):
        resolve("http://rebound.example/")
    assert resolve("http://localhost:8080/a/").ip == "127.0.0.1"


def test_a_name_is_resolved_once_and_still_named_to_the_server(call, misbehaving, monkeypatch) -> None:
    port = int(misbehaving.url.rpartition(":")[2])
    asked = []

    def answer(host: str, *rest: object, **more: object) -> list:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", answer)
        address = resolve(f"http://localhost:{port}/")
    assert (address.ip, address.host_header, asked) == ("127.0.0.1", f"localhost:{port}", ["localhost"])


@pytest.mark.parametrize(("code", "is_unknown"), [(socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)])
def test_a_name_without_an_address_may_have_one_later(
    code: int, is_unknown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*rest: object, **more: object) -> list:
        raise socket.gaierror(code, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(NameNotResolved) as refused:
        resolve("https://bank.example/")
    assert refused.value.name_is_unknown is is_unknown
