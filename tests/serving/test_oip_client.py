"""The client keeps connections, replaces closed ones, and makes one error of whatever else a server may do."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pointsman_serving.oip import connection
from pointsman_serving.oip.client import HttpModel, InferenceFailed
from pointsman_serving.oip.codec import encode_response

INPUTS = {"x": np.ones((1, 1), dtype=np.float32)}


def answer(value=1.0, *, head=b"HTTP/1.1 200 OK", more=b""):
    body, length = encode_response(
        name="m", version="1", id_=None, outputs={"y": np.array([value], dtype=np.float32)}, binary=None
    )
    lengths = b"Content-Length: %d\r\nInference-Header-Content-Length: %d\r\n" % (len(body), length)
    return head + b"\r\n" + lengths + more + b"\r\n" + body


def chunked(whole):
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = [each for each in head.split(b"\r\n") if not each.startswith(b"Content-Length")]
    chunks = b"".join(b"%X;note=1\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + chunks + b"0\r\nTrailer: 1\r\n\r\n"


class Scripted:
    """A server that plays a script: for each connection the answers it gives before it closes it."""

    def __init__(self, *script):
        self._script, self.asked = script, list[bytes]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._play)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(10)
        self._listening.close()
        assert not self._thread.is_alive(), "the client did not open as many connections as the script has"

    def _play(self):
        for answers in self._script:
            accepted, _ = self._listening.accept()
            with accepted, accepted.makefile("rb") as reader:
                for each in answers:
                    self.asked.append(self._request(reader))
                    accepted.sendall(each)

    @staticmethod
    def _request(reader):
        lines = list(iter(reader.readline, b"\r\n"))
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length"))
        return b"".join(lines) + b"\r\n" + reader.read(length)


@pytest.fixture
def model():
    made = list[HttpModel]()

    def make(server, **options):
        made.append(HttpModel(server.url, "m", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_calls_after_one_another_use_one_connection(model):
    with Scripted([answer(1), answer(2), answer(3)]) as server:
        client = model(server)
        assert [client.infer(INPUTS)["y"].tolist() for _ in range(3)] == [[1.0], [2.0], [3.0]]


def test_a_kept_connection_that_the_server_closed_is_replaced(model):
    with Scripted([answer(1)], [answer(2)]) as server:
        client = model(server)
        assert client.infer(INPUTS)["y"].tolist() == [1.0]
        assert client.infer(INPUTS)["y"].tolist() == [2.0]


def test_a_connection_that_the_server_will_close_is_not_kept(model):
    with Scripted(
        [answer(1, more=b"Connection: close\r\n")], [answer(2, head=b"HTTP/1.0 200 OK")], [answer(3)]
    ) as server:
        client = model(server)
        assert [client.infer(INPUTS)["y"].tolist() for _ in range(3)] == [[1.0], [2.0], [3.0]]


def test_a_request_names_model_version_and_host_and_no_text_of_its_caller_can_add_a_header():
    with Scripted([answer()]) as server:
        client = HttpModel(f"{server.url}/base/", "a b\r\nx: y", "1/2")
        client.infer(INPUTS)
        client.close()
    head = server.asked[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST /base/v2/models/a%20b%0D%0Ax%3A%20y/versions/1%2F2/infer HTTP/1.1"
    assert head[1] == b"host: " + server.url.removeprefix("http://").encode()
    assert len(head) == 5


@pytest.mark.parametrize(
    "play", [chunked(answer(7)), b"HTTP/1.1 100 Continue\r\n\r\n" + answer(7)], ids=["chunked", "1xx"]
)
def test_other_ways_to_say_the_same_are_understood(model, play):
    with Scripted([play, answer(8)]) as server:
        client = model(server)
        assert client.infer(INPUTS)["y"].tolist() == [7.0]
        assert client.infer(INPUTS)["y"].tolist() == [8.0]


def without_length(whole):
    return b"\r\n".join(each for each in whole.split(b"\r\n") if not each.startswith(b"Content-Length"))


def test_an_answer_without_a_length_ends_with_its_connection(model):
    with Scripted([without_length(answer(7))], [answer(8)]) as server:
        client = model(server)
        assert client.infer(INPUTS)["y"].tolist() == [7.0]
        assert client.infer(INPUTS)["y"].tolist() == [8.0]


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-x\r\n", "a status line"),
        (b"HTTP/1.1 abc\r\n", "a status line"),
        (answer()[:-1], "cut off after"),
        (answer()[:30], "a header line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a header line"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "more than 100 header lines"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n", "a length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "at most"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "a chunk without an end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "outside the protocol: outputs"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "outside the protocol: body: not JSON"),
        (b'HTTP/1.1 400 Bad\r\nContent-Length: 15\r\n\r\n{"error":"why"}', "400: why"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n<p>x", "502: <p>x"),
    ],
)
def test_whatever_else_a_server_does_is_one_error_that_says_where(model, play, words):
    with Scripted([play]) as server:
        client = model(server, version="3")
        with pytest.raises(InferenceFailed, match=rf"(?s){server.url}/v2/models/m/versions/3.*{words}"):
            client.infer(INPUTS)


def test_an_answer_over_the_limit_is_refused_however_it_comes(model, monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_BYTES", 64)
    plays = (answer(), chunked(answer()), without_length(answer()))
    with Scripted(*([each] for each in plays)) as server:
        for _ in plays:
            with pytest.raises(InferenceFailed, match=r"at most 64|more than 64"):
                model(server).infer(INPUTS)


def test_a_server_that_does_not_answer_in_time_is_an_error(model):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpModel(f"http://127.0.0.1:{silent.getsockname()[1]}", "m", timeout_seconds=0.05)
        with pytest.raises(InferenceFailed, match=r"no answer: timed out"):
            client.infer(INPUTS)


def test_nobody_listening_is_an_error_and_not_ready():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = HttpModel(f"http://127.0.0.1:{port}", "m")
    with pytest.raises(InferenceFailed, match=r"refused"):
        client.infer(INPUTS)
    assert not client.ready()


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "unix:/x"])
def test_what_is_not_an_address_is_refused(url):
    with pytest.raises(ValueError, match=r"not an address of a model server"):
        HttpModel(url, "m")


def test_an_array_that_cannot_be_sent_is_an_error_before_anything_is():
    with pytest.raises(InferenceFailed, match=r"nothing was sent.*complex64"):
        HttpModel("http://127.0.0.1:1", "m").infer({"x": np.zeros(1, np.complex64)})


def test_threads_get_their_own_answers(server):
    client = HttpModel(f"http://{server.http}", "scorer")
    text = np.array([["t"]], dtype=object)

    def score(amount):
        inputs = {"amount": np.array([[amount]], np.float32), "count": np.zeros((1, 1), np.float32), "text": text}
        return float(client.infer(inputs)["probability"][0, 0])

    amounts = np.linspace(-3, 3, 200, dtype=np.float32)
    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(score, amounts.tolist()))
    client.close()
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-amounts)), rtol=1e-5)
