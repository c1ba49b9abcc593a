"""The fraud example on a cluster: what a namespace's graphs become, what is missing said and mended, and nothing left behind.

The control plane and MLflow are real; nodes and pods are simulated, and nobody acts on RayServices. What hosts and the
dispatcher answer is played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import operator as harness
from harness import yours
from harness.cluster import Cluster
from harness.neighbours import Neighbours, neighbours
from harness.operator import Operator
from harness.waiting import wait_for
from pointsman.demo.register import register

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
GRAPH = "card-fraud"
KINDS = ("rayservice", "deployment", "service", "job", "configmap", "networkpolicy", "httproute", "poddisruptionbudget")
OURS = "app.kubernetes.io/managed-by=pointsman,!pointsman.dev/modeldeployment"


@pytest.fixture(scope="module")
def played() -> Iterator[Neighbours]:
    with neighbours() as found:
        yield found


@pytest.fixture(scope="module")
def registry(mlflow_server: Any) -> str:
    for _ in register(EXAMPLE, mlflow_server.url):
        pass
    return str(mlflow_server.url)


@pytest.fixture(scope="module")
def start(
    simulated: Cluster, registry: str, played: Neighbours, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    harness.installed(simulated)
    folder = tmp_path_factory.mktemp("operator")

    def start(**environment: str) -> Any:
        settings = {"POINTSMAN_GRAPH_ADDRESS": played.graphs, **environment}
        return harness.operator(simulated, folder, registry=registry, probes=played.models, environment=settings)

    return start


@pytest.fixture(scope="module")
def operator(start: Callable[..., Any]) -> Iterator[Operator]:
    with start() as running:
        yield running


def documents(namespace: str, *kinds: str) -> list[dict[str, Any]]:
    """The example's documents of ours, of these kinds or of all."""
    files = ("models", "transactions", "views", "accounts", "graph")
    found = [each for name in files for each in yaml.safe_load_all((EXAMPLE / f"{name}.yaml").read_text())]
    ours = [each for each in found if each["apiVersion"].startswith("pointsman.dev/")]
    return [
        {**each, "metadata": {**each["metadata"], "namespace": namespace}}
        for each in ours
        if not kinds or each["kind"] in kinds
    ]


def said(cluster: Cluster, namespace: str, kind: str = "decisiongraph", name: str = GRAPH) -> dict[str, Any]:
    """What an object's conditions say, by type; the whole status below "status"."""
    status = cluster.get(kind, name, namespace).get("status", {})
    return {"status": status, **{each["type"]: each for each in status.get("conditions", ())}}


def says(cluster: Cluster, namespace: str, reason: str, status: str = "False", *named: str) -> dict[str, Any]:
    """Wait until Ready has this status and reason; the condition."""

    def found() -> Any:
        ready = said(cluster, namespace, *named).get("Ready", {})
        return ready if (ready.get("status"), ready.get("reason")) == (status, reason) else None

    try:
        return dict(wait_for(f"Ready is {status} for {reason}", found, seconds=60))
    except AssertionError as error:
        raise AssertionError(f"{error}: {said(cluster, namespace, *named)['status']}") from None


def hosts(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The RayServices by name, each with the revision that it was handed."""
    found = {}
    for raw in cluster.list("rayservice", namespace):
        [application] = yaml.safe_load(raw["spec"]["serveConfigV2"])["applications"]
        found[raw["metadata"]["name"]] = application["deployments"][0]["user_config"]["resolved"]["revision"]
    return found


def decided(cluster: Cluster, namespace: str, played: Neighbours) -> tuple[str, str]:
    """Let the one host that there is decide, and wait until the graph is Ready; its name and revision."""
    [(host, revision)] = wait_for("there is a host", lambda: list(hosts(cluster, namespace).items()), seconds=60)
    played.decides(namespace, host, revision)
    played.reports(namespace, accounts={})
    says(cluster, namespace, "Ready", "True")
    return host, revision


def test_the_example_becomes_a_host_and_what_a_namespace_shares_and_is_ready_once_the_host_decides(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))

    host, revision = decided(simulated, namespace, played)

    status = said(simulated, namespace)["status"]
    assert status["revision"] == revision
    assert status["url"] == f"http://{GRAPH}.{namespace}.svc/v1/graphs/{GRAPH}/decisions"
    assert {node: each["deployment"] for node, each in status["models"].items()} == {
        "boosted": "fraud-scorer",
        "sequence": "card-sequence",
    }
    selector = simulated.get("service", GRAPH, namespace)["spec"]["selector"]
    assert host == f"{GRAPH}-{selector['pointsman.dev/shape']}"
    assert {each["metadata"]["name"] for each in simulated.list("deployment", namespace, OURS)} == {
        "pointsman-api",
        "pointsman-dispatcher",
    }
    for kind, name in (
        ("eventstream", "transactions"), ("featureview", "card-activity"), ("actiontarget", "accounts"),
    ):  # fmt: skip
        says(simulated, namespace, "Ready", "True", kind, name)
    keys = simulated.get("secret", "pointsman-keys", namespace)["data"]
    assert set(keys) == {"adminKey", "controlToken", "metricsKey"}
