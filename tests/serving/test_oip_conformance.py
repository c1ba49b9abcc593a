"""Open Inference Protocol v2, asked of every runtime: where they agree, and what each really answers where they do not.

Ours answers every mistake with 4xx and `{"error": …}` that says where. The others' answers stand here as facts, so that a
release that changes one of them is noticed.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from pointsman.models.artifact import digest_of, open_artifact
from pointsman.models.session import OnnxSession
from pointsman_serving.oip.client import HttpModel, InferenceFailed

pytestmark = pytest.mark.slow

RUNTIMES = ("Native", "Triton", "KServePython", "BentoML")
OURS = ("Native", "BentoML")
"""BentoML speaks no Open Inference Protocol: it is ours that is mounted there, over HTTP alone, and it answers as Native does."""
NAME = "fraud-baseline"
INFER = f"/v2/models/{NAME}/infer"


def as_in_the_table(runtime: str, row: tuple[Any, ...]) -> Any:
    """The column of a runtime in a row of Native, Triton and KServe."""
    native, triton, kserve = row
    return native if runtime in OURS else {"Triton": triton, "KServePython": kserve}[runtime]


@pytest.fixture(params=RUNTIMES)
def server(request, baseline_server):
    return baseline_server(request.param)


@pytest.fixture
def ask(server):
    def asked(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx2.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        with httpx2.Client(timeout=60, trust_env=False) as client:
            return client.request(method, f"http://{server.http}{path}", content=content, headers=sent)

    return asked


@pytest.fixture
def request_body(rows) -> dict[str, Any]:
    """One valid row, as JSON."""
    return {
        "inputs": [
            {"name": name, "datatype": "FP32", "shape": [1, 1], "data": array.ravel().tolist()}
            for name, array in rows(1).items()
        ]
    }


def probability(answer: httpx2.Response) -> float:
    assert answer.status_code == 200, answer.text
    return next(each["data"][0] for each in answer.json()["outputs"] if each["name"] == "probability")


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"/v2/models/{NAME}/ready"])
def test_it_says_that_it_lives_and_is_ready(ask, path) -> None:
    assert ask("GET", path).status_code == 200


def test_it_describes_the_model_with_the_names_types_and_shapes_of_its_signature(ask, server, baseline, rows) -> None:
    answer = ask("GET", f"/v2/models/{NAME}").json()
    assert answer["name"] == NAME
    assert answer["inputs"] == [{"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in rows(1)]
    rows_alone = [-1, 1] if server.runtime == "Triton" else [-1]  # Triton knows no tensor of rows alone
    assert answer["outputs"] == [
        {"name": "label", "datatype": "INT64", "shape": rows_alone},
        {"name": "probability", "datatype": "FP32", "shape": [-1, 1]},
    ]
    assert answer["versions"] == (None if server.runtime == "KServePython" else ["3"])  # KServe knows none


def test_it_describes_itself(ask, server) -> None:
    names = {"Native": "pointsman-native", "Triton": "triton", "KServePython": "kserve", "BentoML": "pointsman-bentoml"}
    assert ask("GET", "/v2").json()["name"] == names[server.runtime]


def test_inputs_bind_by_name_in_whatever_order_they_come(ask, request_body, rows, expected) -> None:
    turned = {"inputs": request_body["inputs"][::-1]}
    there, back = probability(ask("POST", INFER, request_body)), probability(ask("POST", INFER, turned))
    assert np.float32(there) == np.float32(back) == expected(rows(1))["probability"][0, 0]


@pytest.mark.parametrize("count", [1, 7, 256])
def test_our_client_gets_the_very_bytes_that_the_model_gives(server, rows, expected, count) -> None:
    client = HttpModel(f"http://{server.http}", NAME)
    answer, wanted = client.infer(rows(count)), expected(rows(count))
    client.close()
    assert answer["probability"].tobytes() == wanted["probability"].tobytes()
    assert answer["label"].ravel().tolist() == wanted["label"].tolist()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_gradient_boosting_has_the_same_scores_to_the_bit_whatever_runs_it(start_runtime, rows, runtime) -> None:
    folder = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "models" / "fraud-scorer"
    artifact = open_artifact(folder, expected_digest=digest_of(folder))
    server = start_runtime(runtime, artifact, name="fraud-scorer").ready()
    client = HttpModel(f"http://{server.http}", "fraud-scorer")
    answer, wanted = client.infer(rows(256)), OnnxSession(artifact).infer(rows(256))
    client.close()
    assert answer["probability"].tobytes() == wanted["probability"].tobytes()
    assert len(np.unique(wanted["probability"])) > 10


@pytest.mark.parametrize(
    ("runtime", "status"), [("Native", 400), ("Triton", 400), ("KServePython", 500), ("BentoML", 400)]
)
def test_text_goes_through_and_what_is_not_utf_8_is_refused(start_runtime, scorer_folder, runtime, status) -> None:
    server = start_runtime(runtime, scorer_folder, name="scorer").ready()
    client, one = HttpModel(f"http://{server.http}", "scorer"), np.array([[3.0]], np.float32)

    def code(text: bytes) -> str:
        given = {"text": np.array([[text]], dtype=np.object_), "count": one, "amount": one}
        return str(client.infer(given)["code"].ravel()[0].decode())

    assert code("ä".encode()) == "ä"
    with pytest.raises(InferenceFailed, match=f": {status}: "):
        code(b"\xff\xfe")
    assert code(b"") == ""
    client.close()


def test_onnx_runtime_keeps_no_record_to_report_to_its_maker(server) -> None:
    assert not (server.scratch / ".ses").exists()


def test_only_the_outputs_that_are_asked_for_come_back(ask, request_body) -> None:
    answer = ask("POST", INFER, {**request_body, "outputs": [{"name": "label"}]})
    assert [each["name"] for each in answer.json()["outputs"]] == ["label"]


def test_the_id_of_a_request_comes_back(ask, request_body) -> None:
    assert ask("POST", INFER, {**request_body, "id": "one"}).json()["id"] == "one"


def change(**fields: Any):
    """The first input, changed."""

    def changed(body: dict[str, Any]) -> Any:
        body["inputs"][0].update(fields)
        return body

    return changed


def drop_one(body: dict[str, Any]) -> Any:
    body["inputs"].pop()
    return body


MISTAKES = {
    # what is wrong: (the body, the words of ours, and the statuses of Native, Triton, KServe)
    "an input of another name": (change(name="nobody"), '"amount": it is missing', (400, 400, 400)),
    "an input too few": (drop_one, "it is missing", (400, 400, 400)),
    "another shape": (change(shape=[1, 2], data=[1.0, 2.0]), '"amount": its shape is [1, 2]', (400, 400, 400)),
    "more rows than the others": (change(shape=[2, 1], data=[1.0, 2.0]), "rows", (400, 400, 400)),
    "fewer data than the shape": (change(shape=[2, 1]), "inputs[0].data", (400, 500, 400)),
    "another datatype": (change(datatype="INT64", data=[1]), '"amount": it is int64', (400, 400, 400)),
    "no such datatype": (change(datatype="FP8"), "inputs[0].datatype", (400, 400, 400)),
    "text for a number": (change(data=["a"]), "inputs[0].data", (400, 500, 400)),
    "an output of another name": (
        lambda body: {**body, "outputs": [{"name": "nobody"}]},
        'output "nobody"',
        (400, 400, 400),
    ),
    "JSON that breaks off": (lambda body: b'{"inputs": [', "line 1, column 13", (400, 500, 422)),
    "JSON without inputs": (lambda body: {}, "inputs: a list", (400, 500, 422)),
    "JSON that is no object": (lambda body: [1], "a JSON object", (400, 500, 422)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_as_the_table_says_and_by_ours_with_its_place(
    ask, server, request_body, mistake, expected, rows
) -> None:
    make, words, statuses = MISTAKES[mistake]
    answer = ask("POST", INFER, make(copy.deepcopy(request_body)))
    assert answer.status_code == as_in_the_table(server.runtime, statuses), answer.text
    if answer.status_code != 422:  # KServe's web framework answers these, with {"detail": …}
        assert isinstance(answer.json()["error"], str)
    if server.runtime in OURS:
        assert words in answer.json()["error"]
    assert np.float32(probability(ask("POST", INFER, request_body))) == expected(rows(1))["probability"][0, 0]


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/v2/models/nobody", (404, 404, 404)),
        ("/v2/models/nobody/ready", (404, 400, 404)),
        ("/v2/models/nobody/infer", (404, 404, 404)),
        (f"/v2/models/{NAME}/versions/9", (404, 404, 501)),
        (f"/v2/models/{NAME}/versions/3", (200, 200, 501)),  # KServe: "Model versioning not supported yet."
        ("/v2/nobody", (404, 404, 404)),
    ],
)
def test_what_is_not_there_is_answered_as_the_table_says(ask, server, request_body, path, statuses) -> None:
    infers = path.endswith("/infer")
    answer = ask("POST" if infers else "GET", path, request_body if infers else None)
    assert answer.status_code == as_in_the_table(server.runtime, statuses), answer.text


def test_a_body_over_8_mib_is_refused_by_ours_and_taken_by_the_others(ask, server, request_body) -> None:
    body = b" " * (9 * 1024 * 1024) + json.dumps(request_body).encode()
    answer = ask("POST", INFER, body)
    if server.runtime in OURS:
        assert (answer.status_code, "more than 8388608 bytes" in answer.json()["error"]) == (413, True)
    else:
        assert answer.status_code == 200


def test_more_rows_than_the_most_are_refused_where_there_is_a_most(ask, server, rows) -> None:
    def many(count: int) -> httpx2.Response:
        return ask(
            "POST",
            INFER,
            {
                "inputs": [
                    {"name": name, "datatype": "FP32", "shape": [count, 1], "data": array.ravel().tolist()}
                    for name, array in rows(count).items()
                ]
            },
        )

    assert many(256).status_code == 200
    assert many(257).status_code == (400 if server.runtime == "Triton" else 200)
    assert many(16_385).status_code == (200 if server.runtime == "KServePython" else 400)


def test_a_length_that_does_not_fit_the_body_is_refused_by_all_but_kserve(ask, server, request_body) -> None:
    answer = ask("POST", INFER, request_body, {"Inference-Header-Content-Length": "99999999"})
    assert answer.status_code == (
        200 if server.runtime == "KServePython" else 400
    )  # KServe looks only beside raw bytes


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        (f"/v2/repository/models/{NAME}/unload", (404, 403, 501)),
        (f"/v2/repository/models/{NAME}/load", (404, 403, 501)),
        ("/v2/repository/index", (404, 403, 404)),
        ("/v2/systemsharedmemory/region/a/register", (404, 403, 404)),
    ],
)
def test_nobody_changes_what_is_served(ask, server, request_body, path, statuses) -> None:
    answer = ask("POST", path, {})
    assert answer.status_code == as_in_the_table(server.runtime, statuses), answer.text
    assert ask("GET", f"/v2/models/{NAME}/ready").status_code == 200


GRPC_MISTAKES = {
    # what is wrong: the codes of Native, Triton, KServe
    "an input of another name": ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    "another shape": ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    "another datatype": ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    "an unknown model": ("NOT_FOUND", "NOT_FOUND", "NOT_FOUND"),
}


@pytest.mark.parametrize("server", [each for each in RUNTIMES if each != "BentoML"], indirect=True)
@pytest.mark.parametrize("mistake", GRPC_MISTAKES)
def test_a_mistake_over_grpc_has_the_code_that_the_table_says(server, rows, expected, mistake) -> None:
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    def inputs(**changed: Any) -> list[Any]:
        given = [(name, array) for name, array in rows(1).items()]
        name, array = given[0]
        given[0] = changed.get("name", name), changed.get("array", array)
        found = [grpc.InferInput(each, of.shape, "INT64" if of.dtype == np.int64 else "FP32") for each, of in given]
        for tensor, (_, of) in zip(found, given, strict=True):
            tensor.set_data_from_numpy(of)
        return found

    asked, model = inputs(), NAME
    match mistake:
        case "an input of another name":
            asked = inputs(name="nobody")
        case "another shape":
            asked = inputs(array=np.ones((1, 2), np.float32))
        case "another datatype":
            asked = inputs(array=np.ones((1, 1), np.int64))
        case "an unknown model":
            model = "nobody"
    with grpc.InferenceServerClient(server.grpc) as client:
        with pytest.raises(InferenceServerException) as refused:
            client.infer(model, asked)
        assert refused.value.status() == f"StatusCode.{as_in_the_table(server.runtime, GRPC_MISTAKES[mistake])}"
        turned = client.infer(NAME, inputs()[::-1]).as_numpy("probability")
    assert turned.tobytes() == expected(rows(1))["probability"].tobytes()
