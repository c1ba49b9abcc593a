"""KServe's own server, answering every client with the scores of the model itself."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest

from pointsman_serving.oip.client import HttpModel, InferenceFailed

pytestmark = pytest.mark.slow


@pytest.fixture
def server(baseline_server):
    return baseline_server("KServePython")


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_scores_of_the_model_over_http(server, rows, expected, binary) -> None:
    from tritonclient import http

    with http.InferenceServerClient(server.http) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fraud-baseline")
        inputs = list[Any]()
        for name, array in rows(9).items():
            inputs.append(http.InferInput(name, array.shape, "FP32"))
            inputs[-1].set_data_from_numpy(array, binary_data=binary)
        outputs = [http.InferRequestedOutput("probability", binary_data=binary)]
        said = None if binary else {"content-type": "application/json"}  # tritonclient does not say so, KServe wants it
        answer = client.infer("fraud-baseline", inputs, outputs=outputs, headers=said)
    assert answer.as_numpy("probability").tobytes() == expected(rows(9))["probability"].tobytes()


def test_tritonclient_gets_the_scores_of_the_model_over_grpc(server, rows, expected) -> None:
    from tritonclient import grpc

    with grpc.InferenceServerClient(server.grpc) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("fraud-baseline")
        inputs = list[Any]()
        for name, array in rows(9).items():
            inputs.append(grpc.InferInput(name, array.shape, "FP32"))
            inputs[-1].set_data_from_numpy(array)
        answer = client.infer("fraud-baseline", inputs)
    assert answer.as_numpy("probability").tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.parametrize("runtime", ["KServePython", "Native"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_kserves_client_gets_the_scores_of_the_model(
    baseline_server, kserve_client, rows, expected, protocol, runtime
) -> None:
    server = baseline_server(runtime)
    answer = kserve_client(protocol, getattr(server, protocol), "fraud-baseline", rows(9))
    assert answer["probability"].tobytes() == expected(rows(9))["probability"].tobytes()


def test_our_client_gets_the_scores_of_many_rows_at_once(server, rows, expected) -> None:
    client = HttpModel(f"http://{server.http}", "fraud-baseline")
    assert client.max_rows() is None
    answer, wanted = client.infer(rows(5000)), expected(rows(5000))
    client.close()
    assert all(answer[name].tobytes() == wanted[name].tobytes() for name in wanted)


def test_it_listens_on_loopback_alone(server) -> None:
    for port in (server.http_port, server.grpc_port):
        with pytest.raises(ConnectionRefusedError):  # it would answer there if it listened on every address
            socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_values_that_the_model_does_not_take_are_the_callers_mistake(start_runtime, lookup_folder) -> None:
    server = start_runtime("KServePython", lookup_folder, name="lookup").ready()
    client = HttpModel(f"http://{server.http}", "lookup")
    with pytest.raises(InferenceFailed, match="400: the model does not take these values"):
        client.infer({"x": np.array([[99]], np.int64)})
    assert client.infer({"x": np.array([[2]], np.int64)})["y"].tolist() == [[3.0]]
    client.close()


def test_text_arrives_and_leaves_as_it_was(start_runtime, scorer_folder) -> None:
    server = start_runtime("KServePython", scorer_folder, name="scorer").ready()
    client = HttpModel(f"http://{server.http}", "scorer")
    one = np.array([[3.0]], np.float32)
    answer = client.infer({"text": np.array([["ä"]], dtype=np.object_), "count": one, "amount": one})
    client.close()
    assert answer["probability"].tolist() == [[0.5]]
    assert answer["code"].ravel()[0].decode() == "ä"


def test_a_model_that_does_not_answer_its_example_is_refused_before_kserve_sees_it(
    start_runtime, broken_folder
) -> None:
    server = start_runtime("KServePython", broken_folder, name="broken")
    assert server.process.wait(60) == 1
    assert "that is not finite" in server.log.read_text()


def test_it_stops_when_it_is_asked_to(start_runtime, lookup_folder) -> None:
    server = start_runtime("KServePython", lookup_folder, name="lookup").ready()
    server.process.terminate()
    assert server.process.wait(15) == 0
