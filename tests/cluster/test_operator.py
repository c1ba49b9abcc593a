"""A ModelDeployment on a cluster: what the operator makes of it, how a new version takes over, and what the status says.

The control plane, KServe and MLflow are real; nodes and pods are simulated. Probe inferences reach one real model server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import operator as harness
from harness import yours
from harness.cluster import Cluster
from harness.operator import Operator, model_deployment
from harness.pod_stages import ANNOTATION, Behaviour
from harness.waiting import wait_for
from pointsman.models.artifact import digest_of

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

URI = "models:/{}@champion"


@pytest.fixture(scope="module")
def operator(
    simulated: Cluster, mlflow_server: Any, tmp_path_factory: pytest.TempPathFactory, scorer: Path
) -> Iterator[Operator]:
    harness.installed(simulated)
    folder = tmp_path_factory.mktemp("operator")
    with (
        harness.model_server(scorer, digest_of(scorer), "fraud") as probes,
        harness.operator(simulated, folder, registry=mlflow_server.url, probes=probes) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Path:
    return make_model(tmp_path_factory.mktemp("scorer") / "model", bias=0.0)


@pytest.fixture
def registered(
    mlflow_server: Any, namespace: str, make_model: Callable[..., Path], tmp_path: Path
) -> Callable[..., str]:
    """Register another version under this test's own model name; its reference."""
    count = 0

    def register(**of_version: Any) -> str:
        nonlocal count
        count += 1
        folder = make_model(tmp_path / f"model-{count}", bias=float(count))
        mlflow_server.publish(namespace, folder, **of_version)
        return URI.format(namespace)

    return register


def seen(cluster: Cluster, namespace: str, name: str = "fraud") -> dict[str, Any]:
    return cluster.get("modeldeployment", name, namespace)


def condition(raw: dict[str, Any], type_: str = "Ready") -> dict[str, Any]:
    conditions = raw.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == type_), {})


def ready(cluster: Cluster, namespace: str, name: str = "fraud") -> dict[str, Any]:
    """Wait until it is Ready, for its newest generation; what it is then."""

    def is_ready() -> dict[str, Any] | None:
        raw = seen(cluster, namespace, name)
        said = condition(raw)
        is_current = said.get("observedGeneration") == raw["metadata"]["generation"]
        return raw if said.get("status") == "True" and is_current else None

    return wait_for("the ModelDeployment is Ready", is_ready, seconds=60)


def says(cluster: Cluster, namespace: str, reason: str, type_: str = "Ready", status: str = "False") -> dict[str, Any]:
    """Wait until a condition has this status and reason; the condition."""

    def found() -> dict[str, Any] | None:
        said = condition(seen(cluster, namespace), type_)
        return said if (said.get("status"), said.get("reason")) == (status, reason) else None

    try:
        return wait_for(f"{type_} is {status} for {reason}", found, seconds=60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen(cluster, namespace).get('status')}") from None


def behaving(behaviour: Behaviour) -> dict[str, Any]:
    return {"metadata": {"annotations": {ANNOTATION: behaviour}}}


def test_a_model_deployment_becomes_an_inference_service_and_is_ready_once_the_model_answers(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))

    raw = ready(simulated, namespace)

    status = raw["status"]
    assert status["version"] == "1"
    assert status["replicas"] == 1
    assert status["url"] == f"http://fraud.{namespace}.svc"
    [service] = simulated.list("inferenceservice", namespace)
    assert service["metadata"]["name"] == f"fraud-{status['revision']}"
    [pod] = simulated.list("pod", namespace)
    assert pod["spec"]["initContainers"][0]["args"][0].endswith(f"#{status['digest']}")
    stable = simulated.get("service", "fraud", namespace)
    assert stable["spec"]["selector"]["pointsman.dev/revision"] == status["revision"]
    assert stable["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
