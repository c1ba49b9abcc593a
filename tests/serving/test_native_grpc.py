"""A native server over gRPC: the same answers and the same refusals as over HTTP."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from pointsman_serving.oip.client import HttpModel

AMOUNT = np.array([[3.0], [1.0], [2.0]], dtype=np.float32)
COUNT = np.array([[1.0], [2.0], [2.0]], dtype=np.float32)
TEXT = np.array([["a"], ["é"], [""]], dtype=object)
ARRAYS = {"amount": (AMOUNT, "FP32"), "count": (COUNT, "FP32"), "text": (TEXT, "BYTES")}
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture
def call(server):
    """Bytes in, bytes out."""
    with grpc.insecure_channel(server.grpc) as channel:
        yield lambda content, method=INFER: channel.unary_unary(method)(content, timeout=30)


def scored(client, names):
    inputs = []
    for name in names:
        array, type_ = ARRAYS[name]
        inputs.append(triton.InferInput(name, list(array.shape), type_))
        inputs[-1].set_data_from_numpy(array)
    answer = client.infer("scorer", inputs, model_version="3", request_id="r1")
    assert answer.get_response().id == "r1"
    return answer.as_numpy("probability"), answer.as_numpy("code")


def test_any_order_of_inputs_gives_the_same_answer_and_http_gives_it_too(client, server):
    scores, codes = scored(client, ["amount", "count", "text"])
    other, _ = scored(client, ["text", "count", "amount"])
    model = HttpModel(f"http://{server.http}", "scorer")
    over_http = model.infer({"amount": AMOUNT, "count": COUNT, "text": TEXT})
    model.close()
    assert scores.tobytes() == other.tobytes() == over_http["probability"].tobytes()
    assert codes.ravel().tolist() == over_http["code"].ravel().tolist() == [b"a", "é".encode(), b""]
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(COUNT - AMOUNT)), rtol=1e-6)


def test_a_client_learns_that_the_server_and_its_model_are_there(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scorer")
    assert client.get_server_metadata().name == "pointsman-native"
    metadata = client.get_model_metadata("scorer", "3", as_json=True)
    assert [each["name"] for each in metadata["inputs"]] == ["amount", "count", "text"]
    assert [each["datatype"] for each in metadata["outputs"]] == ["FP32", "BYTES"]


def tensor(name, **but):
    contents = {"bytes_contents": [b"t"]} if name == "text" else {"fp32_contents": [1.0]}
    return {
        "name": name,
        "datatype": "BYTES" if name == "text" else "FP32",
        "shape": [1, 1],
        "contents": contents,
    } | but


def request(*more, without="", raws=(), outputs=(), model="scorer", version="", **but):
    inputs = [tensor(name) for name in ("amount", "count", "text") if name != without]
    inputs[0] = inputs[0] | but
    return service_pb2.ModelInferRequest(
        model_name=model,
        model_version=version,
        inputs=[*inputs, *more],
        raw_input_contents=raws,
        outputs=[{"name": name} for name in outputs],
    )


def test_typed_contents_are_taken_and_only_the_outputs_asked_for_come_back(call):
    answer = service_pb2.ModelInferResponse.FromString(call(request(outputs=["probability"]).SerializeToString()))
    assert [each.name for each in answer.outputs] == ["probability"]
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [0.5]


BAD = {
    "a missing input": (request(without="count"), 'input "count": it is missing'),
    "an input that the model has not": (request(tensor("more")), 'input "more"'),
    "an input twice": (request(tensor("amount")), 'inputs[3].name: "amount" is there twice'),
    "no inputs": (service_pb2.ModelInferRequest(model_name="scorer"), "inputs: 0 tensors"),
    "65 inputs": (request(*[tensor(f"x{at}") for at in range(62)]), "inputs: 65 tensors"),
    "a datatype that nobody knows": (request(datatype="FP33"), "inputs[0].datatype"),
    "a datatype that has no contents": (request(datatype="FP16"), "goes by raw_input_contents alone"),
    "contents of another type": (
        request(datatype="FP64"),
        "inputs[0].contents.fp32_contents: FP64 goes by fp64_contents",
    ),
    "a number out of range": (
        request(datatype="INT8", contents={"int_contents": [300]}),
        "inputs[0].contents: a number out of the range of INT8",
    ),
    "a wrong datatype": (
        request(datatype="INT32", contents={"int_contents": [1]}),
        "it is int32, the model takes FP32",
    ),
    "a wrong shape": (request(shape=[1]), 'input "amount": its shape is [1]'),
    "a shape that the contents have not": (request(shape=[2, 1]), "inputs[0].contents: 1 elements"),
    "a negative size": (request(shape=[-1, 1]), "inputs[0].shape"),
    "a rank of 9": (request(shape=[1] * 9), "inputs[0].shape: at most 8 sizes"),
    "no rows": (request(shape=[0, 1], contents={}), 'input "amount": it is empty'),
    "rows over the most that is taken": (
        request(shape=[501, 1], contents={"fp32_contents": [0.0] * 501}),
        "501 rows in one request, at most 500",
    ),
    "raw and typed contents": (request(raws=[b"1234"] * 3), "inputs[0].contents: they are there beside"),
    "too few raw contents": (request(raws=[b"1234"]), "raw_input_contents: 1 for 3 inputs"),
    "an output that the model has not": (request(outputs=["sum"]), 'output "sum"'),
    "an output twice": (request(outputs=["code", "code"]), "outputs: a name is there twice"),
    "shared memory": (
        request(parameters={"shared_memory_region": service_pb2.InferParameter(string_param="r")}),
        "inputs[0].parameters.shared_memory_region: it is not offered",
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_an_invalid_argument_that_says_where(call, content, words):
    with pytest.raises(grpc.RpcError) as caught:
        call(content.SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.details()


@pytest.mark.parametrize("content", [b"\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xff"])
def test_bytes_that_are_no_message_are_an_invalid_argument(call, content):
    with pytest.raises(grpc.RpcError) as caught:
        call(content)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the message is not a ModelInferRequest"


@pytest.mark.parametrize("but", [{"model": "other"}, {"version": "4"}])
def test_an_unknown_model_or_version_is_not_found(call, but):
    with pytest.raises(grpc.RpcError) as caught:
        call(request(**but).SerializeToString())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("method", ["RepositoryIndex", "ModelConfig", "SystemSharedMemoryRegister", "Other"])
def test_what_is_not_offered_is_unimplemented(call, method):
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", f"/inference.GRPCInferenceService/{method}")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_over_8_mib_is_refused(call):
    with pytest.raises(grpc.RpcError) as caught:
        call(request(raws=[b"\0" * (8 * 2**20)]).SerializeToString())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
