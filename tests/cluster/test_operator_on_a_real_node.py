"""The whole of it on a real node: our images in real pods, a real MLflow, models that answer through their Service."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from harness import operator as harness
from harness import triton, yours
from harness.cluster import Cluster, KubectlFailed
from harness.operator import model_deployment
from harness.waiting import wait_for
from pointsman_serving.oip.client import HttpModel

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


@pytest.fixture(scope="module")
def registry(
    real_node: Cluster, on_the_node: Callable[[str], None], mlflow_at: Callable[[str], AbstractContextManager[Any]]
) -> Iterator[Any]:
    """A real MLflow that pods reach, and the operator installed on the node as a user installs it."""
    assert real_node.host is not None
    for image in ("operator", "serving"):
        on_the_node(image)
    with mlflow_at(real_node.host) as server:
        harness.installed(real_node)
        settings = {"POINTSMAN_REGISTRY_URL": server.url, "POINTSMAN_REGISTRY_POLL_SECONDS": "1"}
        harness.run_in_the_cluster(real_node, settings)
        yield server


@pytest.fixture
def registered(
    registry: Any, namespace: str, make_model: Callable[..., Path], tmp_path: Path
) -> Callable[[float], str]:
    """Register a model with this bias under the test's own name; the reference."""

    def register(bias: float) -> str:
        registry.publish(namespace, make_model(tmp_path / f"model-{bias}", bias=bias))
        return f"models:/{namespace}@champion"

    return register


def condition(cluster: Cluster, namespace: str, type_: str = "Ready") -> dict[str, Any]:
    conditions = cluster.get("modeldeployment", "fraud", namespace).get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == type_), {})


def ready(cluster: Cluster, namespace: str) -> dict[str, Any]:
    wait_for("it is Ready", lambda: condition(cluster, namespace).get("status") == "True", seconds=180, every=0.5)
    status: dict[str, Any] = cluster.get("modeldeployment", "fraud", namespace)["status"]
    return status


def says(cluster: Cluster, namespace: str, reason: str) -> str:
    """Wait until Ready is False for this reason; the message."""

    def said() -> str | None:
        found = condition(cluster, namespace)
        return str(found["message"]) if (found.get("status"), found.get("reason")) == ("False", reason) else None

    try:
        return wait_for(f"it is not Ready for {reason}", said, seconds=120, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {condition(cluster, namespace)}") from None


def asked(url: str, opener: urllib.request.OpenerDirector, body: Any = None) -> Any:
    """The JSON that a model server answers; a body is posted."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with opener.open(request, timeout=10) as answer:
        return json.loads(answer.read())


def scored(address: str, opener: urllib.request.OpenerDirector) -> float:
    """What the model says of an amount of 0, over HTTP: the sigmoid of its bias."""
    tensor = {"name": "amount", "datatype": "FP32", "shape": [1, 1], "data": [0.0]}
    found = asked(f"http://{address}/v2/models/fraud/infer", opener, {"inputs": [tensor]})
    return float(found["outputs"][0]["data"][0])


def test_the_api_server_asks_the_operators_pods_through_their_service(
    real_node: Cluster, registry: Any, namespace: str
) -> None:
    wrong = model_deployment(
        "fraud", namespace, model={"uri": "models:/fraud@champion"}, resources={"limits": {"gpu": "1"}}
    )

    def refusal() -> str | None:
        try:
            real_node.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(wrong))
        except KubectlFailed as error:
            return str(error)
        return None

    said = wait_for("it is refused", refusal)
    assert 'spec.resources.limits.gpu: "gpu" is not a resource' in said


def scored_by_grpc(address: str) -> float:
    """The same over gRPC."""
    given = triton_grpc.InferInput("amount", [1, 1], "FP32")
    given.set_data_from_numpy(np.zeros((1, 1), np.float32))
    with triton_grpc.InferenceServerClient(f"{address}:9000") as client:
        answer = client.infer("fraud", [given], client_timeout=10)
    return float(answer.as_numpy("probability")[0, 0])


@pytest.fixture(scope="module")
def images(registry: Any, on_the_node: Callable[[str], None]) -> None:
    """The images of the other runtimes on the node."""
    for image in ("kserve-python", "triton"):
        on_the_node(image)


@pytest.mark.parametrize(
    ("runtime", "server"),
    [
        pytest.param({"type": "Native"}, "pointsman-native", id="Native"),
        pytest.param({"type": "KServePython"}, "kserve", id="KServePython"),
        pytest.param({"type": "Triton", "triton": {"image": triton.IMAGE}}, "triton", id="Triton"),
    ],
)
def test_a_model_out_of_the_registry_answers_over_http_and_grpc(
    real_node: Cluster,
    namespace: str,
    registered: Callable[[float], str],
    images: None,
    runtime: dict[str, Any],
    server: str,
) -> None:
    """Native and KServe Python as they are shipped.

    Of Triton this holds: the fetcher's repository and its config.pbtxt, every flag, port and probe of our ServingRuntime, and
    the pod's security, with a real tritonserver (2.51). It says nothing of NVIDIA's own image (2.71), of its ONNX Runtime
    backend, for which Python stands in, nor of a GPU.
    """
    real_node.apply(model_deployment("fraud", namespace, model={"uri": registered(1.0)}, runtime=runtime))

    status = ready(real_node, namespace)

    assert status["version"] == "1"
    address = real_node.get("service", "fraud", namespace)["spec"]["clusterIP"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert asked(f"http://{address}/v2", opener)["name"] == server
    sigmoid = 1 / (1 + math.exp(-1.0))
    assert scored(address, opener) == pytest.approx(sigmoid, abs=1e-6)
    assert scored_by_grpc(address) == pytest.approx(sigmoid, abs=1e-6)


def test_an_alias_that_moves_under_load_loses_no_request(
    real_node: Cluster, namespace: str, registered: Callable[[float], str]
) -> None:
    real_node.apply(model_deployment("fraud", namespace, model={"uri": registered(0.0)}))
    ready(real_node, namespace)
    address = real_node.get("service", "fraud", namespace)["spec"]["clusterIP"]
    answers, failures, stop = list[float](), list[str](), threading.Event()

    def ask() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not stop.is_set():
            try:
                answers.append(scored(address, opener))
            except OSError as error:
                failures.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        registered(50.0)
        wait_for("the new version answers", lambda: answers and answers[-1] == 1.0, seconds=180)
        services = lambda: len(real_node.list("inferenceservice", namespace))  # noqa: E731
        wait_for("the old revision has gone", lambda: services() == 1, seconds=120, every=0.5)
        after = len(answers)
        wait_for("it is asked on", lambda: len(answers) > after + 50)
    finally:
        stop.set()
        asking.join()

    assert failures == []
    assert set(answers) == {0.5, 1.0}


def test_what_breaks_is_named_as_on_simulated_nodes(
    real_node: Cluster, namespace: str, registered: Callable[[float], str]
) -> None:
    uri = registered(0.0)

    def breaks(**spec: Any) -> None:
        real_node.apply(model_deployment("fraud", namespace, model={"uri": uri}, **spec))

    breaks(resources={"limits": {"nvidia.com/gpu": "1"}})
    assert '1 of "nvidia.com/gpu"' in says(real_node, namespace, "Unschedulable")

    container = {"image": "registry.invalid/none:1"}
    breaks(runtime={"type": "Container", "container": container})
    assert '"registry.invalid/none:1" cannot be pulled' in says(real_node, namespace, "ImagePullFailed")

    ours = "ghcr.io/pointsman/serving:0.1.0"
    secret = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "nobody-made-it", "key": "key"}}}]
    breaks(runtime={"type": "Container", "container": {"image": ours, "env": secret}})
    assert 'the Secret "nobody-made-it" does not exist' in says(real_node, namespace, "SecretNotFound")

    crash = ["python", "-c", "raise SystemExit('no weights here')"]
    breaks(runtime={"type": "Container", "container": {"image": ours, "command": crash}})
    assert "no weights here" in says(real_node, namespace, "Crashing")

    eats = ["python", "-c", "x = [bytearray(1 << 20) for _ in range(1 << 20)]"]
    breaks(
        runtime={"type": "Container", "container": {"image": ours, "command": eats}},
        resources={"limits": {"memory": "64Mi"}},
    )
    assert "of 64Mi" in says(real_node, namespace, "OutOfMemory")

    breaks()
    ready(real_node, namespace)


def test_bentoml_takes_over_from_native_with_the_same_scores_to_the_bit_and_offers_http_alone(
    real_node: Cluster, namespace: str, registered: Callable[[float], str], on_the_node: Callable[[str], None]
) -> None:
    on_the_node("bentoml")
    uri, amounts = registered(0.25), np.linspace(-3, 3, 40, dtype=np.float32).reshape(-1, 1)

    def on(type_: str) -> tuple[str, dict[str, bytes], list[str]]:
        """Serve by this runtime: its revision, its scores, and the Service's ports."""
        real_node.apply(model_deployment("fraud", namespace, model={"uri": uri}, runtime={"type": type_}))
        runtime = {"Native": "pointsman-native", "BentoML": "pointsman-bento"}[type_]
        services = lambda: real_node.list("inferenceservice", namespace)  # noqa: E731
        runs = lambda: [each["spec"]["predictor"]["model"]["runtime"] for each in services()]  # noqa: E731
        wait_for(f"{type_} alone serves", lambda: runs() == [runtime], seconds=180, every=0.5)
        status, service = ready(real_node, namespace), real_node.get("service", "fraud", namespace)["spec"]
        client = HttpModel(f"http://{service['clusterIP']}", "fraud")
        scores = {name: array.tobytes() for name, array in client.infer({"amount": amounts}).items()}
        client.close()
        return status["revision"], scores, [each["name"] for each in service["ports"]]

    native, scores, ports = on("Native")
    assert ports == ["http", "grpc"]
    bento, same, http_alone = on("BentoML")
    assert (bento != native, same, http_alone) == (True, scores, ["http"])
    assert condition(real_node, namespace, "Honoured")["status"] == "True"


def test_explain_shows_what_a_container_says_that_runs_and_does_not_answer(
    real_node: Cluster, namespace: str, registered: Callable[[float], str]
) -> None:
    command = ["python", "-c", "import time; print('still loading', flush=True); time.sleep(3600)"]
    container = {"image": "ghcr.io/pointsman/serving:0.1.0", "command": command}
    runtime = {"type": "Container", "container": container}
    real_node.apply(model_deployment("fraud", namespace, model={"uri": registered(0.0)}, runtime=runtime))
    program = str(Path(sys.executable).with_name("pointsman"))
    asked = [program, "explain", "pmd/fraud", "-n", namespace, "--kubeconfig", str(real_node.kubeconfig)]

    def told() -> str | None:
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        return said if "last log line: still loading" in said else None

    said = wait_for("the log's last line is told", told, seconds=180, every=1)
    assert "container kserve-container: running, not ready" in said
    assert "◀ waits here" in said
