"""The native model server as a process, called by an independent client over HTTP and gRPC, and by ours."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest
import yaml

MODELS = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "models"
PIN = yaml.safe_load((MODELS / "pins.yaml").read_text())["pins"]["models:/fraud-scorer@champion"]


@dataclass(frozen=True, kw_only=True)
class Server:
    url: str
    grpc: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(*, digest: str = PIN["digest"]) -> Server:
    http, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pointsman_serving.native",
            "--model-dir",
            str(MODELS / PIN["folder"]),
            "--digest",
            digest,
        ]
        + ["--name", "fraud-scorer", "--version", "7", "--http-port", str(http), "--grpc-port", str(grpc)],
        stderr=subprocess.DEVNULL,
    )
    return Server(url=f"http://127.0.0.1:{http}", grpc=f"127.0.0.1:{grpc}", process=process)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = start()
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx2.get(f"{server.url}/v2/models/fraud-scorer/ready").status_code == 200:
                break
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


@pytest.fixture(scope="module")
def names(server: Server) -> list[str]:
    described = httpx2.get(f"{server.url}/v2/models/fraud-scorer").json()
    assert described["versions"] == ["7"]
    return [each["name"] for each in described["inputs"]]


def batch(names: list[str], rows: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {name: rng.uniform(0, 50, (rows, 1)).astype(np.float32) for name in names}


def as_json(inputs: dict[str, np.ndarray]) -> dict[str, object]:
    return {
        "inputs": [
            {"name": name, "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
            for name, array in inputs.items()
        ]
    }


def test_http_grpc_and_our_own_client_give_the_same_scores(server: Server, names: list[str]) -> None:
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http

    from pointsman_serving.oip.client import HttpModel

    inputs, scores = batch(names), {}
    for module, address in ((triton_http, server.url.removeprefix("http://")), (triton_grpc, server.grpc)):
        with module.InferenceServerClient(address) as client:
            assert client.is_model_ready("fraud-scorer", "7")
            tensors = []
            for name, array in inputs.items():
                tensors.append(module.InferInput(name, list(array.shape), "FP32"))
                tensors[-1].set_data_from_numpy(array)
            scores[module.__name__] = client.infer("fraud-scorer", tensors).as_numpy("probability").ravel().tolist()
    ours = HttpModel(server.url, "fraud-scorer", "7")
    scores["ours"] = ours.infer(inputs)["probability"].ravel().tolist()
    ours.close()
    answer = httpx2.post(f"{server.url}/v2/models/fraud-scorer/infer", json=as_json(inputs)).json()
    (json_scores,) = [each["data"] for each in answer["outputs"] if each["name"] == "probability"]
    scores["json"] = np.array(json_scores, dtype=np.float32).tolist()
    assert len({tuple(each) for each in scores.values()}) == 1


def test_names_bind_and_positions_do_not(server: Server, names: list[str]) -> None:
    inputs = batch(names)
    turned = dict(reversed(list(inputs.items())))
    url = f"{server.url}/v2/models/fraud-scorer/infer"
    straight, permuted = (httpx2.post(url, json=as_json(each)).json()["outputs"] for each in (inputs, turned))
    assert straight == permuted


def spoiled(names: list[str], **changes: object) -> dict[str, object]:
    body = as_json(batch(names))
    first = body["inputs"][0]  # type: ignore[index]
    first.update(changes)
    return body


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "no-such-input"}, "no such input|missing"),
        ({"datatype": "FP64"}, "FP32"),
        ({"datatype": "FP99"}, "datatype"),
        ({"shape": [3, 2]}, "elements"),
        ({"shape": [1] * 9}, "shape"),
        ({"shape": [-1, 1]}, "shape"),
        ({"data": ["a", "b", "c"]}, "data"),
        ({"data": None}, "data"),
    ],
)
def test_bad_input_is_a_400_that_says_where(
    server: Server, names: list[str], changes: dict[str, object], words: str
) -> None:
    import re

    answer = httpx2.post(f"{server.url}/v2/models/fraud-scorer/infer", json=spoiled(names, **changes))
    assert answer.status_code == 400
    assert re.search(words, answer.json()["error"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/models/fraud-scorer/infer", b"{", 400),
        ("POST", "/v2/models/fraud-scorer/infer", b"[" * 40 + b"]" * 40, 400),
        ("POST", "/v2/models/fraud-scorer/infer", b" " * (8 * 1024 * 1024 + 1), 413),
        ("POST", "/v2/models/other/infer", b"{}", 404),
        ("GET", "/v2/models/fraud-scorer/versions/8", b"", 404),
        ("GET", "/v2/models/fraud-scorer/infer", b"", 405),
        ("GET", "/v2/repository/index", b"", 404),
        ("GET", "/v2/health/live", b"", 200),
        ("GET", "/metrics", b"", 200),
    ],
)
def test_every_address_answers_as_the_protocol_says(
    server: Server, method: str, path: str, body: bytes, status: int
) -> None:
    answer = httpx2.request(method, f"{server.url}{path}", content=body)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["error"]


def test_files_that_are_not_what_was_pinned_are_never_served() -> None:
    server = start(digest="sha256:" + "0" * 64)
    assert server.process.wait(60) == 1
