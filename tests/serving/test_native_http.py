"""A native server over HTTP: any client of the protocol gets its answer, and bad input gets a 4xx that says where."""

from __future__ import annotations

import asyncio
import http.client
import json

import numpy as np
import orjson
import pytest
import tritonclient.http as triton

from pointsman.models.session import ProbeFailed
from pointsman_serving.native.http import BODY_BYTES, HttpApp
from pointsman_serving.native.model import ServedModel
from pointsman_serving.oip.client import HttpModel

AMOUNT = np.array([[3.0], [1.0], [2.0]], dtype=np.float32)
COUNT = np.array([[1.0], [2.0], [2.0]], dtype=np.float32)
TEXT = np.array([["a"], ["é"], [""]], dtype=object)
ARRAYS = {"amount": (AMOUNT, "FP32"), "count": (COUNT, "FP32"), "text": (TEXT, "BYTES")}


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.http) as client:
        yield client


def asked(client, names, *, binary_in, binary_out):
    inputs = []
    for name in names:
        array, type_ = ARRAYS[name]
        inputs.append(triton.InferInput(name, list(array.shape), type_))
        inputs[-1].set_data_from_numpy(array, binary_data=binary_in)
    outputs = [triton.InferRequestedOutput(each, binary_data=binary_out) for each in ("code", "probability")]
    answer = client.infer("scorer", inputs, outputs=outputs, model_version="3", request_id="r1")
    assert answer.get_response()["id"] == "r1"
    codes = [each.decode() if isinstance(each, bytes) else each for each in answer.as_numpy("code").ravel()]
    return answer.as_numpy("probability"), codes


def test_any_order_of_inputs_and_any_encoding_give_the_same_answer(client):
    expected, _ = asked(client, ["amount", "count", "text"], binary_in=True, binary_out=True)
    np.testing.assert_allclose(expected, 1 / (1 + np.exp(COUNT - AMOUNT)), rtol=1e-6)
    for names in (["amount", "count", "text"], ["text", "count", "amount"]):
        for binary_in in (True, False):
            for binary_out in (True, False):
                scores, codes = asked(client, names, binary_in=binary_in, binary_out=binary_out)
                assert scores.tobytes() == expected.tobytes()
                assert codes == ["a", "é", ""]


def test_a_client_learns_that_the_server_and_its_model_are_there(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scorer")
    assert client.is_model_ready("scorer", "3")
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("scorer", "4")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    column = {"datatype": "FP32", "shape": [-1, 1]}
    assert client.get_model_metadata("scorer") == {
        "name": "scorer",
        "versions": ["3"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "amount", **column},
            {"name": "count", **column},
            {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "probability", **column}, {"name": "code", "datatype": "BYTES", "shape": [-1, 1]}],
    }


def test_our_own_client_speaks_to_it(server):
    model = HttpModel(f"http://{server.http}", "scorer", "3")
    answer = model.infer({"text": TEXT, "count": COUNT, "amount": AMOUNT})
    assert answer["code"].ravel().tolist() == [b"a", "é".encode(), b""]
    np.testing.assert_allclose(answer["probability"], 1 / (1 + np.exp(COUNT - AMOUNT)), rtol=1e-6)
    assert model.ready()
    assert model.metadata()["versions"] == ["3"]
    model.close()
    other = HttpModel(f"http://{server.http}", "scorer", "4")
    assert not other.ready()
    other.close()


def tensor(name, **but):
    data = ["t"] if name == "text" else [1.0]
    return {"name": name, "datatype": "BYTES" if name == "text" else "FP32", "shape": [1, 1], "data": data} | but


def body(*more, without="", outputs=None, **but):
    """A good request, but for what is said: `more` tensors, one left out, or fields of `amount` replaced."""
    inputs = [tensor(name) for name in ("amount", "count", "text") if name != without]
    inputs[0] = inputs[0] | but
    return orjson.dumps({"inputs": [*inputs, *more]} | ({"outputs": outputs} if outputs else {}))


def binary(sizes=(4, 4, 5), tail=b"\0" * 4 + b"\0" * 4 + b"\1\0\0\0t"):
    inputs = [
        {k: v for k, v in tensor(name).items() if k != "data"} | {"parameters": {"binary_data_size": size}}
        for name, size in zip(("amount", "count", "text"), sizes, strict=True)
    ]
    head = orjson.dumps({"inputs": inputs})
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


INFER = "/v2/models/scorer/infer"


def ask(server, method, path, content=b"", headers=None):
    host, port = server.http.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request(method, path, content, headers or {}, encode_chunked=not isinstance(content, bytes))
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_a_good_request_is_good(server):
    assert ask(server, "POST", INFER, body())[0] == 200
    assert ask(server, "POST", INFER, *binary())[0] == 200
    assert ask(server, "POST", "/v2/models/scorer/versions/3/infer", body())[0] == 200


def wide(rank):
    return [1] * rank


def nested(depth):
    return b'{"inputs":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


BAD = {
    "a missing input": (body(without="count"), 'input "count": it is missing'),
    "an input that the model has not": (body(tensor("more")), 'input "more": the model has no such input'),
    "a wrong name": (body(name="amonut"), 'input "amount": it is missing'),
    "an input twice": (body(tensor("amount")), 'inputs[3].name: "amount" is there twice'),
    "a wrong datatype": (body(datatype="FP64"), 'input "amount": it is float64, the model takes FP32'),
    "a datatype that nobody knows": (body(datatype="FP33"), "inputs[0].datatype: 'FP33' is not one of"),
    "a datatype that is a list": (body(datatype=["FP32"]), "inputs[0].datatype"),
    "a wrong shape": (body(shape=[1]), 'input "amount": its shape is [1], the model takes [-1, 1]'),
    "a shape that the data does not have": (body(shape=[2, 1]), "inputs[0].data: 1 elements"),
    "a negative size": (body(shape=[-1, 1]), "inputs[0].shape"),
    "a size that is text": (body(shape=["1", 1]), "inputs[0].shape"),
    "a shape that overflows": (body(shape=[2**31 - 1] * 8), "inputs[0].data"),
    "a rank of 9": (body(shape=wide(9)), "inputs[0].shape: a list of at most 8 sizes"),
    "a rank of 8, which the model has not": (body(shape=wide(8)), 'input "amount": its shape is'),
    "no rows": (body(shape=[0, 1], data=[]), 'input "amount": it is empty'),
    "rows that differ": (body(shape=[2, 1], data=[1.0, 2.0]), 'input "count": it has 1 rows'),
    "65 inputs": (body(*[tensor(f"x{at}") for at in range(62)]), "inputs: 65 tensors, at most 64"),
    "64 inputs, which the model has not": (body(*[tensor(f"x{at}") for at in range(61)]), "no such input"),
    "rows over the most that is taken": (
        body(shape=[501, 1], data=[0.0] * 501),
        "501 rows in one request, at most 500",
    ),
    "text for a number": (body(data=["1"]), "inputs[0].data: the elements are not all of FP32"),
    "a number too large": (body(data=[1e39]), "inputs[0].data: a number out of the range of FP32"),
    "an output that the model has not": (body(outputs=[{"name": "sum"}]), 'output "sum": the model has probability'),
    "an output twice": (body(outputs=[{"name": "code"}, {"name": "code"}]), "outputs[1].name"),
    "an output without a name": (body(outputs=[{}]), "outputs[0].name"),
    "parameters that are a list": (body(parameters=[1]), "inputs[0].parameters"),
    "shared memory": (body(parameters={"shared_memory_region": "r"}), "shared_memory_region: it is not offered"),
    "a classification": (body(outputs=[{"name": "code", "parameters": {"classification": 2}}]), "not offered"),
    "no inputs": (b'{"inputs":[]}', "inputs: a list of tensors is needed"),
    "an empty body": (b"", "body: not JSON: line 1, column 1"),
    "half of a JSON": (body()[:40], "body: not JSON: line 1, column 41"),
    "NaN in JSON": (b'{"inputs":[NaN]}', "body: not JSON"),
    "a JSON list": (b"[]", "body: a JSON object is needed"),
    "JSON 33 deep": (nested(33), "body: the JSON is nested more than 32 deep"),
    "JSON 5000 deep": (nested(5000), "body: "),
    "bytes that are no UTF-8": (b'{"inputs":"\xff"}', "body: not JSON"),
    "a binary size too small": (binary(sizes=(3, 4, 5)), "inputs[0]: 3 bytes, FP32[1, 1] has 4"),
    "a binary size too large": (binary(sizes=(4, 4, 6)), "inputs[2].parameters.binary_data_size: 6 does not fit"),
    "a negative binary size": (binary(sizes=(-4, 4, 5)), "inputs[0].parameters.binary_data_size: -4 does not fit"),
    "bytes that nobody names": (binary(tail=b"\0" * 8 + b"\1\0\0\0t?"), "body: 1 bytes follow the last tensor"),
    "BYTES cut off": (binary(tail=b"\0" * 8 + b"\2\0\0\0t"), "inputs[2]: the BYTES end in the middle of an element"),
    "text that is no UTF-8": (binary(tail=b"\0" * 8 + b"\1\0\0\0\xff"), 'input "text": it is not UTF-8'),
    "a header length over the body": ((body(), {"Inference-Header-Content-Length": "99999"}), "does not fit the body"),
    "a header length of 2²": ((body(), {"Inference-Header-Content-Length": "2²"}), "Inference-Header-Content-Length"),
    "a header length below 0": ((body(), {"Inference-Header-Content-Length": "-1"}), "Inference-Header-Content-Length"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_a_400_that_says_where(server, content, words):
    content, headers = content if isinstance(content, tuple) else (content, {})
    status, answer, _ = ask(server, "POST", INFER, content, headers)
    assert status == 400
    assert words in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/other", 404, 'model "other" is not served here, "scorer" is'),
        ("POST", "/v2/models/other/infer", 404, 'model "other"'),
        ("GET", "/v2/models/scorer/versions/4", 404, 'version "4" of "scorer"'),
        ("POST", "/v2/models/scorer/versions/4/infer", 404, 'version "4"'),
        ("GET", "/v2/models/scorer/config", 404, "nothing is served at"),
        ("GET", "/v2/models/scorer/stats", 404, "nothing is served at"),
        ("POST", "/v2/repository/index", 404, "nothing is served at"),
        ("POST", "/v2/repository/models/scorer/unload", 404, "nothing is served at"),
        ("POST", "/v2/systemsharedmemory/region/r/register", 404, "nothing is served at"),
        ("GET", "/v2/models/scorer%0a/ready", 404, "is not served here"),
        ("GET", "/v2/models/..%2f..%2fetc", 404, "nothing is served at"),
        ("GET", "/", 404, "nothing is served at"),
        ("GET", INFER, 405, "GET is not taken here, POST is"),
        ("POST", "/v2/models/scorer", 405, "POST is not taken here, GET is"),
        ("DELETE", "/v2/models/scorer", 405, "DELETE is not taken"),
        ("POST", "/v2/health/ready", 405, "GET is"),
        ("PUT", "/metrics", 405, "GET is"),
    ],
)
def test_what_is_not_served_is_said(server, method, path, status, words):
    found, answer, headers = ask(server, method, path, b"{}" if method == "POST" else b"")
    assert found == status
    assert words in json.loads(answer)["error"]
    assert ("allow" in headers) == (status == 405)


def test_a_body_of_8_mib_is_read_and_one_more_byte_is_a_413(server):
    padded = body()[:-1] + b" " * (BODY_BYTES - len(body())) + b"}"
    assert ask(server, "POST", INFER, padded)[0] == 200
    status, answer, _ = ask(server, "POST", INFER, padded + b" ")
    assert (status, json.loads(answer)["error"]) == (
        413,
        f"body: more than {BODY_BYTES} bytes, which is the most that is taken",
    )


def test_a_body_that_comes_in_chunks_has_the_same_limit(server):
    assert ask(server, "POST", INFER, iter([body()[:9], body()[9:]]), {"Transfer-Encoding": "chunked"})[0] == 200
    assert ask(server, "POST", INFER, iter([b" " * 2**20] * 9), {"Transfer-Encoding": "chunked"})[0] == 413


def test_a_body_that_says_it_is_huge_is_refused_unread(server):
    host, port = server.http.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", INFER)
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.headers["connection"]) == (413, "close")
    response.read()
    connection.close()


def test_a_compressed_body_is_a_415(server):
    assert ask(server, "POST", INFER, body(), {"Content-Encoding": "gzip"})[0] == 415


def test_requests_and_refusals_are_counted(server):
    def counts():
        lines = ask(server, "GET", "/metrics")[1].decode().splitlines()
        return {name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")}

    label = 'model="scorer",protocol="http",version="3"'
    before = counts()
    ask(server, "POST", INFER, body())
    ask(server, "POST", INFER, b"{}")
    after = counts()
    for outcome, more in (("answered", 1), ("refused", 1), ("failed", 0)):
        name = f'pointsman_model_requests_total{{model="scorer",outcome="{outcome}",protocol="http",version="3"}}'
        assert after[name] - before[name] == more, outcome
    seconds = f"pointsman_model_request_seconds_count{{{label}}}"
    assert after[seconds] - before[seconds] == 1
    assert after['pointsman_model_rows_total{model="scorer",version="3"}'] > 0
    assert after['pointsman_model_ready{model="scorer",version="3"}'] == 1


class Called:
    """The application, called without a network."""

    def __init__(self, model):
        self._app = HttpApp(model)

    def __call__(self, method, path, content=b""):
        sent = []

        async def receive():
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": []}
        asyncio.run(self._app(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def served(name="lookup"):
    return ServedModel(name=name, version="1", max_batch_size=10)


LOOKUP = "/v2/models/lookup/infer"


def looked_up(value):
    return orjson.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1, 1], "data": [value]}]})


def test_a_model_is_ready_only_once_it_has_answered_its_example(lookup_folder):
    model = served()
    call = Called(model)
    paths = ("/v2/health/ready", "/v2/models/lookup/ready", "/v2/models/lookup")
    assert call("GET", "/v2/health/live")[0] == 200
    assert [call("GET", path)[0] for path in paths] == [503, 503, 503]
    status, headers, answer = call("POST", LOOKUP, looked_up(1))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert b"has not answered its example yet" in answer
    model.load(lookup_folder.folder, lookup_folder.digest)
    assert [call("GET", path)[0] for path in paths] == [200, 200, 200]
    assert call("POST", LOOKUP, looked_up(1))[0] == 200
    model.leave()
    assert [call("GET", path)[0] for path in paths] == [503, 503, 200]
    assert call("POST", LOOKUP, looked_up(1))[0] == 200


def test_a_model_that_fails_its_probe_never_is_ready(broken_folder):
    model = served()
    with pytest.raises(ProbeFailed):
        model.load(broken_folder.folder, broken_folder.digest)
    assert Called(model)("GET", "/v2/health/ready")[0] == 503


def test_a_value_that_the_model_cannot_use_is_the_callers_mistake(lookup_folder):
    model = served()
    model.load(lookup_folder.folder, lookup_folder.digest)
    status, _, answer = Called(model)("POST", LOOKUP, looked_up(7))
    assert status == 400
    assert b"does not take these values" in answer


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("secret"), 500), (MemoryError("secret"), 503)])
def test_a_mistake_of_the_servers_own_is_told_to_its_log_alone(lookup_folder, monkeypatch, capsys, error, status):
    model = served()
    loaded = model.load(lookup_folder.folder, lookup_folder.digest)

    def fail(inputs):
        raise error

    monkeypatch.setattr(loaded.session, "infer", fail)
    call = Called(model)
    found, _, answer = call("POST", LOOKUP, looked_up(1))
    assert found == status
    assert b"secret" not in answer
    assert "secret" in "".join(capsys.readouterr())
    assert b'outcome="failed",protocol="http",version="1"} 1.0' in call("GET", "/metrics")[2]
