"""Triton: what is rendered for it, and the real server answering every client, with the scores of the model itself."""

from __future__ import annotations

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pointsman.local.triton_here import why_not_triton
from pointsman.models.tensors import TensorSpec
from pointsman_serving.graph.load import RemoteModel
from pointsman_serving.handover import checked, lay_out
from pointsman_serving.oip.client import HttpModel, InferenceFailed
from pointsman_serving.triton.repository import Batching, Served, config, joins_rows, render


def served(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (), **changes: Any) -> Served:
    return Served(
        **{
            "name": "fraud",
            "version": "3",
            "onnx": Path("/models/m.onnx"),
            "inputs": inputs or (TensorSpec(name="x", dtype="FP32", shape=(-1, 1)),),
            "outputs": outputs or (TensorSpec(name="y", dtype="FP32", shape=(-1, 1)),),
            "batching": Batching(max_batch_size=64, max_queue_delay_microseconds=500),
            **changes,
        }
    )


def tensor(name: str, dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def test_the_configuration_has_the_signature_and_the_batching_of_the_deployment() -> None:
    model = served(tensor("amount", "FP32", -1, 1), tensor("code", "BYTES", -1, 1), instances=2)
    assert config(model).splitlines() == [
        'name: "fraud"',
        'backend: "python"',
        "max_batch_size: 64",
        'input [ { name: "amount" data_type: TYPE_FP32 dims: [ 1 ] } ]',
        'input [ { name: "code" data_type: TYPE_STRING dims: [ 1 ] } ]',
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]',
        "instance_group [ { kind: KIND_CPU count: 2 } ]",
        "version_policy: { specific: { versions: [ 3 ] } }",
        "dynamic_batching { max_queue_delay_microseconds: 500 }",
    ]


@pytest.mark.parametrize(
    ("shape", "dims"), [((-1, 20, 12), "[ 20, 12 ]"), ((-1, -1, 12), "[ -1, 12 ]"), ((-1, 2, 3, 4), "[ 2, 3, 4 ]")]
)
def test_any_shape_whose_rows_come_first_is_joined_by_rows(shape: tuple[int, ...], dims: str) -> None:
    model = served(TensorSpec(name="x", dtype="FP32", shape=shape))
    assert joins_rows(model)
    assert f'"x" data_type: TYPE_FP32 dims: {dims} ' in config(model)


@pytest.mark.parametrize("shape", [(1, 20, 12), (-1,), (20,), ()])
def test_a_model_that_triton_cannot_join_by_rows_takes_each_request_as_it_comes(shape: tuple[int, ...]) -> None:
    text = config(served(TensorSpec(name="x", dtype="FP32", shape=shape)))
    assert "max_batch_size: 0" in text
    assert "dynamic_batching" not in text


def test_an_output_of_rows_alone_does_not_keep_requests_from_being_joined() -> None:
    text = config(served(outputs=(tensor("label", "INT64", -1),)))
    assert 'output [ { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape: { shape: [ ] } } ]' in text
    assert "dynamic_batching" in text


def test_no_name_of_a_tensor_gets_out_of_its_quotes() -> None:
    text = config(served(tensor('a" } ] backend: "other', "FP32", -1, 1), tensor("ä\n", "FP32", -1, 1)))
    assert r'name: "a\042 } ] backend: \042other"' in text
    assert r'name: "\303\244\012"' in text


def test_a_version_that_is_no_number_is_one() -> None:
    assert "fraud/3/model.py" in render(served())
    assert "fraud/1/model.py" in render(served(version="7be3211d"))


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (("darwin", "arm64", (3, 11)), "Linux on x86-64, this is darwin on arm64"),
        (("linux", "aarch64", (3, 12)), "Linux on x86-64, this is linux on aarch64"),
        (("linux", "x86_64", (3, 13)), "Python 3.11 or 3.12, this is 3.13"),
    ],
)
def test_a_machine_that_cannot_run_triton_is_told_why(machine: tuple[Any, ...], words: str) -> None:
    assert words in (why_not_triton(*machine) or "")
    assert why_not_triton("linux", "x86_64", (3, 12)) is None


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_scores_of_the_model_over_http(baseline_server, rows, expected, binary) -> None:
    from tritonclient import http

    with http.InferenceServerClient(baseline_server("Triton").http) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fraud-baseline", "3")
        outputs = [http.InferRequestedOutput("probability", binary_data=binary)]
        answer = client.infer(
            "fraud-baseline", [_input(http, *each, binary) for each in rows(9).items()], outputs=outputs
        )
    assert answer.as_numpy("probability").tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.slow
def test_tritonclient_gets_the_scores_of_the_model_over_grpc(baseline_server, rows, expected) -> None:
    from tritonclient import grpc

    with grpc.InferenceServerClient(baseline_server("Triton").grpc) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("fraud-baseline")
        inputs = list[Any]()
        for name, array in rows(9).items():
            inputs.append(grpc.InferInput(name, array.shape, "FP32"))
            inputs[-1].set_data_from_numpy(array)
        answer = client.infer("fraud-baseline", inputs)
    assert answer.as_numpy("probability").tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_kserves_client_gets_the_scores_of_the_model(baseline_server, kserve_client, rows, expected, protocol) -> None:
    server, health = baseline_server("Triton"), protocol == "grpc"  # over HTTP it reads Triton's empty answer as JSON
    answer = kserve_client(protocol, getattr(server, protocol), "fraud-baseline", rows(9), health=health)
    assert answer["probability"].tobytes() == expected(rows(9))["probability"].tobytes()


@pytest.mark.slow
def test_a_graphs_port_sends_more_rows_than_triton_takes_in_parts(baseline_server, rows, expected) -> None:
    client = HttpModel(f"http://{baseline_server('Triton').http}", "fraud-baseline")
    outputs = (tensor("label", "INT64", -1), tensor("probability", "FP32", -1, 1))
    with pytest.raises(InferenceFailed, match="batch-size must be <= 256"):
        client.infer(rows(257))
    port = RemoteModel(client, (), outputs, max_rows=client.max_rows())
    answer, wanted = port.infer(rows(700)), expected(rows(700))
    client.close()
    assert {name: each.shape for name, each in answer.items()} == {"label": (700,), "probability": (700, 1)}
    assert all(answer[name].tobytes() == wanted[name].tobytes() for name in wanted)


@pytest.mark.slow
def test_it_listens_on_loopback_alone_and_its_metrics_count_rows(baseline_server, rows) -> None:
    server = baseline_server("Triton")
    before = counted(server, "nv_inference_count")
    client = HttpModel(f"http://{server.http}", "fraud-baseline")
    client.infer(rows(5))
    client.close()
    assert counted(server, "nv_inference_count") == before + 5
    for port in (server.http_port, server.grpc_port, server.metrics_port):
        with pytest.raises(ConnectionRefusedError):  # it would answer there if it listened on every address
            socket.create_connection(("127.0.0.2", port), timeout=5).close()


@pytest.mark.slow
def test_who_reads_its_command_line_cannot_open_what_is_closed(baseline_server) -> None:
    server = baseline_server("Triton")
    line = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()
    key = line.partition("pointsman-key=")[2].partition("\0")[0]
    url = f"http://{server.http}/v2/repository/index"
    assert len(key) == 33
    assert httpx2.post(url, headers={"pointsman-key": key.strip()}, trust_env=False).status_code == 403


@pytest.mark.slow
def test_it_stops_when_it_is_asked_to_and_leaves_no_shared_memory(start_runtime, lookup_folder) -> None:
    server = start_runtime("Triton", lookup_folder, name="lookup").ready()
    server.process.terminate()
    assert server.process.wait(15) == 0
    assert not list(Path("/dev/shm").glob(f"pointsman-{server.http_port}-*"))


@pytest.mark.slow
def test_a_killed_server_starts_again_in_its_folder_and_a_folder_of_another_is_left_alone(
    start_runtime, lookup_folder, tmp_path
) -> None:
    server = start_runtime("Triton", lookup_folder, name="lookup").ready()
    server.process.kill()
    server.process.wait()
    (server.folder / "repository" / "lookup" / "config.pbtxt").write_text("not this")
    assert lay_out(server.folder, checked(lookup_folder.folder, lookup_folder.digest), {"a/b": b"c"}) == server.folder
    assert sorted(each.name for each in server.folder.iterdir()) == ["a", "example.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(FileExistsError, match="it holds something else, choose another --folder"):
        lay_out(tmp_path / "mine", checked(lookup_folder.folder, lookup_folder.digest), {})
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


@pytest.mark.slow
def test_requests_that_wait_for_each_other_are_run_at_once_and_each_gets_its_rows(
    start_runtime, baseline, rows, expected
) -> None:
    server = start_runtime(
        "Triton", baseline, "--max-queue-delay-microseconds", "300000", name="fraud-baseline"
    ).ready()
    runs, wanted = counted(server, "nv_inference_exec_count"), expected(rows(16))["probability"]

    def one(at: int) -> bytes:
        client = HttpModel(f"http://{server.http}", "fraud-baseline")
        try:
            return client.infer({name: array[at : at + 1] for name, array in rows(16).items()})["probability"].tobytes()
        finally:
            client.close()

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(one, range(16)))
    assert b"".join(answers) == wanted.tobytes()
    assert counted(server, "nv_inference_exec_count") - runs < 8


@pytest.mark.slow
def test_one_requests_values_spoil_no_answer_of_those_it_was_joined_with(start_runtime, lookup_folder) -> None:
    server = start_runtime("Triton", lookup_folder, "--max-queue-delay-microseconds", "300000", name="lookup").ready()

    def one(x: int) -> list[float] | str:
        client = HttpModel(f"http://{server.http}", "lookup")
        try:
            return client.infer({"x": np.array([[x]], np.int64)})["y"].ravel().tolist()
        except InferenceFailed as error:
            return str(error)
        finally:
            client.close()

    with ThreadPoolExecutor(4) as threads:
        first, second, bad, third = threads.map(one, [0, 1, 99, 2])
    assert (first, second, third) == ([1.0], [2.0], [3.0])
    assert "400" in str(bad)
    assert "the model does not take these values" in str(bad)


@pytest.mark.slow
def test_text_and_three_dimensional_inputs_arrive_and_leave_by_name(start_runtime, pin, tmp_path) -> None:
    server = start_runtime("Triton", pin(tmp_path / "sequence", sequence_model()), name="sequence").ready()
    x = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    text = np.array([["ä"], ["b"]], dtype=np.object_)
    client = HttpModel(f"http://{server.http}", "sequence")
    answer = client.infer({"text": text, "x": x})
    client.close()
    assert answer["total"].tolist() == x.sum(axis=(1, 2)).reshape(2, 1).tolist()
    assert [each.decode() for each in answer["code"].ravel()] == ["ä", "b"]


@pytest.mark.slow
def test_a_model_that_does_not_answer_its_example_is_refused_before_triton_sees_it(
    start_runtime, broken_folder
) -> None:
    server = start_runtime("Triton", broken_folder, name="broken")
    assert server.process.wait(60) == 1
    assert 'answers its example with a \\"y\\" that is not finite' in server.log.read_text()


def test_a_start_without_the_environment_says_how_to_build_it(tmp_path: Path, baseline) -> None:
    if (why := why_not_triton()) is not None:
        pytest.skip(why)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pointsman_serving.triton", "--name", "x", "--digest", baseline.digest),
            *("--model-dir", str(baseline.folder), "--folder", str(tmp_path / "server")),
            *("--http-port", "1", "--grpc-port", "2", "--metrics-port", "3"),
        ],
        env={"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "-m pointsman_serving.triton.environment`" in done.stderr


def counted(server: Any, metric: str) -> int:
    """The sum of one of Triton's counters."""
    text = httpx2.get(f"http://127.0.0.1:{server.metrics_port}/metrics", trust_env=False).text
    return int(sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{metric}{{")))


def _input(module: Any, name: str, array: Any, binary: bool) -> Any:
    found = module.InferInput(name, array.shape, "FP32")
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def sequence_model() -> onnx.ModelProto:
    """total = the sum of a row's 4 x 3 numbers, code = the text as it came."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
            helper.make_node("Reshape", ["sum", "column"], ["total"]),
            helper.make_node("Identity", ["text"], ["code"]),
        ],
        "graph",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 3]),
            helper.make_tensor_value_info("text", TensorProto.STRING, ["N", 1]),
        ],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("code", TensorProto.STRING, ["N", 1]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
