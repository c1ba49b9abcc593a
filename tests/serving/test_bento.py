"""BentoML: its queue joins what many ask at once, and everybody gets the bits of their own rows or their own mistake."""

from __future__ import annotations

import pickle
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest

from pointsman.models.tensors import TensorSpec
from pointsman_serving.bento.rows import as_rows, joined, parted, row_type
from pointsman_serving.oip.client import HttpModel, InferenceFailed

AMOUNT, TEXT = (
    TensorSpec(name="amount", dtype="FP32", shape=(-1, 1)),
    TensorSpec(name="text", dtype="BYTES", shape=(-1,)),
)
SCORE = TensorSpec(name="score", dtype="FP32", shape=(-1, -1))
GIVEN = {"text": np.array(["a", b"b"], dtype=np.object_), "amount": np.array([[1.0], [2.0]], np.float32)}


def test_rows_come_back_as_they_went_in() -> None:
    row = row_type([AMOUNT, TEXT], [SCORE])
    assert row is not None
    rows = as_rows(GIVEN, row)
    assert rows is not None
    turned = parted(np.concatenate([rows[1:], rows[:1]]))
    assert {name: array.tolist() for name, array in turned.items()} == {"amount": [[2.0], [1.0]], "text": [b"b", "a"]}
    assert parted(joined(GIVEN))["amount"].tobytes() == GIVEN["amount"].tobytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": np.array([[1.0]], np.float32)},
        {"amount": np.array([[1.0], [2.0]], np.float64)},
        {"amount": np.array([[1.0, 2.0], [1.0, 2.0]], np.float32)},
        {"amount": np.float32(1.0)},
        {"another": GIVEN["amount"]},
        {name: array[:0] for name, array in GIVEN.items()},
    ],
)
def test_what_does_not_fit_is_no_row(changed: dict[str, Any]) -> None:
    row = row_type([AMOUNT, TEXT], [SCORE])
    assert row is not None
    assert as_rows({**GIVEN, **changed}, row) is None


@pytest.mark.parametrize("shape", [(1, 1), (-1, -1), (), (3,)])
def test_inputs_of_other_sizes_have_no_rows_to_join(shape: tuple[int, ...]) -> None:
    assert row_type([AMOUNT, TensorSpec(name="other", dtype="FP32", shape=shape)], [SCORE]) is None
    assert row_type([AMOUNT], [TensorSpec(name="mean", dtype="FP32", shape=())]) is None


@pytest.fixture
def server(baseline_server):
    return baseline_server("BentoML")


def get(server: Any, path: str, method: str = "GET", **more: Any) -> httpx2.Response:
    with httpx2.Client(timeout=60, trust_env=False) as client:
        return client.request(method, f"http://{server.http}{path}", **more)


def runs_and_requests(server: Any) -> tuple[int, int]:
    """How often BentoML's queue has had the method run, and for how many requests in all."""
    text = get(server, "/metrics").text
    counted = {part: re.search(rf"adaptive_batch_size_{part}{{.*}} (\S+)", text) for part in ("count", "sum")}
    assert counted["count"] is not None, text
    assert counted["sum"] is not None
    return int(float(counted["count"][1])), int(float(counted["sum"][1]))


def until_joined(server: Any, name: str, ask: Callable[[HttpModel, int], None]) -> None:
    """Eight ask at once, again and again, until BentoML has joined some; it takes each on its own while it learns."""
    failures, deadline = list[BaseException](), time.monotonic() + 60

    def asking(number: int) -> None:
        client = HttpModel(f"http://{server.http}", name)
        try:
            for turn in range(20):
                ask(client, number + 8 * turn)
        except BaseException as error:  # noqa: BLE001  the test's own assertions, and it tells them
            failures.append(error)
        finally:
            client.close()

    while True:
        threads = [threading.Thread(target=asking, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not failures, failures
        runs, requests = runs_and_requests(server)
        if runs < requests:
            return
        assert time.monotonic() < deadline, "nothing was ever joined"


@pytest.mark.slow
def test_requests_are_joined_and_each_gets_the_bits_of_its_own_rows(server, rows, expected) -> None:
    given, wanted = rows(256), expected(rows(256))

    def ask(client: HttpModel, number: int) -> None:
        part = slice(number % 200, number % 200 + 1 + number % 40)
        answer = client.infer({name: array[part] for name, array in given.items()})
        assert all(answer[name].tobytes() == wanted[name][part].tobytes() for name in wanted)

    until_joined(server, "fraud-baseline", ask)


@pytest.mark.slow
def test_values_that_are_anothers_mistake_spoil_no_answer(start_runtime, lookup_folder) -> None:
    server = start_runtime("BentoML", lookup_folder, name="lookup").ready()

    def ask(client: HttpModel, number: int) -> None:
        if number % 3 == 0:
            with pytest.raises(InferenceFailed, match="400: the model does not take these values"):
                client.infer({"x": np.array([[99]], np.int64)})
        else:
            assert client.infer({"x": np.array([[number % 3]], np.int64)})["y"].tolist() == [[1.0 + number % 3]]

    until_joined(server, "lookup", ask)


@pytest.mark.slow
def test_more_rows_than_are_joined_are_parted_and_come_back_whole(start_runtime, baseline, rows, expected) -> None:
    server = start_runtime("BentoML", baseline, "--max-batch-size", "7", name="fraud-baseline").ready()
    client = HttpModel(f"http://{server.http}", "fraud-baseline")
    answer, wanted = client.infer(rows(100)), expected(rows(100))
    client.close()
    assert all(answer[name].tobytes() == wanted[name].tobytes() for name in wanted)
    assert runs_and_requests(server)[0] >= 100 // 7


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_scores_of_the_model_over_http(server, rows, expected, binary) -> None:
    from tritonclient import http

    with http.InferenceServerClient(server.http) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fraud-baseline", "3")
        inputs = list[Any]()
        for name, array in rows(9).items():
            inputs.append(http.InferInput(name, array.shape, "FP32"))
            inputs[-1].set_data_from_numpy(array, binary_data=binary)
        answer = client.infer("fraud-baseline", inputs, model_version="3")
    assert answer.as_numpy("probability").tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.slow
def test_kserves_client_gets_the_scores_of_the_model(server, kserve_client, rows, expected) -> None:
    answer = kserve_client("http", server.http, "fraud-baseline", rows(9))
    assert answer["probability"].tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.slow
def test_bentoml_says_that_it_lives_and_is_ready_and_what_it_has_measured(server) -> None:
    assert [get(server, path).status_code for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
    client = HttpModel(f"http://{server.http}", "fraud-baseline")
    assert client.ready()
    client.close()
    measured = get(server, "/metrics").text
    asked = r'bentoml_service_request_total{endpoint="/v2/models/fraud-baseline/ready",http_response_code="200",.*} \d'
    assert re.search(asked, measured)
    assert 'pointsman_model_ready{model="fraud-baseline",version="3"} 1.0' in measured


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/infer", "/schema.json", "/docs.json", "/v2/models/somebody/infer"])
def test_bentomls_own_protocol_and_paths_that_are_not_there_never_reach_it(server, path) -> None:
    pickled = {"content-type": "application/vnd.bentoml+pickle"}
    answer = get(server, path, "POST", content=pickle.dumps([1.0]), headers=pickled)
    assert (answer.status_code, "error" in answer.json()) == (404, True)
    assert f'endpoint="{path}"' not in get(server, "/metrics").text, "a caller could make any number of series"


@pytest.mark.slow
def test_a_pickle_is_not_json(server) -> None:
    pickled = {"content-type": "application/vnd.bentoml+pickle"}
    answer = get(server, "/v2/models/fraud-baseline/infer", "POST", content=pickle.dumps([1.0]), headers=pickled)
    assert (answer.status_code, answer.json()["error"][:14]) == (400, "body: not JSON")


@pytest.mark.slow
def test_it_listens_on_loopback_alone(server) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.http_port), timeout=5).close()


@pytest.mark.slow
def test_a_model_that_does_not_answer_its_example_is_refused_before_bentoml_sees_it(
    start_runtime, broken_folder
) -> None:
    server = start_runtime("BentoML", broken_folder, name="broken")
    assert server.process.wait(60) == 1
    assert "that is not finite" in server.log.read_text()


@pytest.mark.slow
def test_a_port_that_is_taken_is_said(start_runtime, lookup_folder, server) -> None:
    second = start_runtime("BentoML", lookup_folder, "--http-port", str(server.http_port), name="lookup")
    assert second.process.wait(60) == 1
    assert "in use" in second.log.read_text()


@pytest.mark.slow
def test_it_stops_when_it_is_asked_to_and_says_nothing_that_is_no_record(start_runtime, lookup_folder) -> None:
    server = start_runtime("BentoML", lookup_folder, name="lookup").ready()
    server.process.terminate()
    assert server.process.wait(15) == 0
    assert [line for line in server.log.read_text().splitlines() if not line.startswith("{")] == []
