"""One control plane a session for each world, a fresh namespace a test; whatever is missing is said loudly.

Programs are built the first time (about twenty minutes with two cores) and kept; a start takes seconds after that.
`POINTSMAN_TEST_KUBECONFIG=1` takes the cluster of the user's own `KUBECONFIG` in place of one started here.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import operator as operators
from harness import parts, triton, yours
from harness.cluster import Cluster
from harness.graphs import EXAMPLE
from harness.helm import Helm
from harness.model_deployments import URI
from harness.neighbours import Neighbours, neighbours
from harness.operator import Operator
from harness.real import real_node as real_world
from harness.simulated import simulated as simulated_world
from harness.simulated import unattended as unattended_world
from harness.waiting import wait_for
from pointsman.demo.register import register
from pointsman.models.artifact import digest_of
from pointsman_images.build import build
from pointsman_images.cache import Missing, Say

Start = Callable[[Say], AbstractContextManager[Cluster]]
CLUSTER = pytest.StashKey[list[Cluster]]()


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Tell the person at the terminal what takes long, past pytest's capture."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n[test cluster] {line}\n")
            sys.stderr.flush()

    return say


def _started(start: Start, say: Say, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if yours.asked_for():
        start = yours.cluster
    try:
        with start(say) as cluster:
            running = request.config.stash.setdefault(CLUSTER, [])
            running.append(cluster)
            yield cluster
            running.remove(cluster)
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no test cluster: {missing}", pytrace=False)
        say(f"skipping what needs a {request.fixturename}: {missing}")
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def simulated(say: Say, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real control plane with KServe and KubeRay, on simulated nodes."""
    yield from _started(simulated_world, say, request)


@pytest.fixture(scope="module")
def untouched(say: Say, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Another one like `simulated`, in which nothing of ours is installed yet."""
    yield from _started(simulated_world, say, request)


@pytest.fixture(scope="session")
def helm(say: Say, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, built the first time."""
    try:
        return Helm(program=parts.build(parts.HELM, say), folder=tmp_path_factory.mktemp("helm"))
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no Helm: {missing}", pytrace=False)
        say(f"skipping what needs Helm: {missing}")
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def unattended(say: Say, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real control plane with KServe's definitions, our manifests, and nobody else: for many objects."""
    for cluster in _started(unattended_world, say, request):
        operators.installed(cluster)
        yield cluster


@pytest.fixture(scope="session")
def real_node(say: Say, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real node in namespaces of its own, with KServe and KubeRay."""
    yield from _started(real_world, say, request)


@pytest.fixture(scope="session")
def on_the_node(real_node: Cluster, say: Say) -> Callable[[str], None]:
    """Have an image of this release on the real node, or the tests' "triton": built and loaded once a session."""
    assert real_node.log_folder is not None
    folder = real_node.log_folder.parent / "tmp"  # it goes with the node

    @cache
    def load(name: str) -> None:
        tar = triton.build(folder, say) if name == "triton" else build(name, folder, say=say).path
        real_node.load_image(tar)
        tar.unlink()

    return load


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace at the restricted Pod Security level, in the cluster whose fixture the test asks for.

    A test of both worlds has a parameter `world`, the name of the fixture.
    """
    parameters = getattr(request.node, "callspec", None)
    named = "real_node" if "real_node" in request.fixturenames else "simulated"
    world = parameters.params.get("world", named) if parameters else named
    cluster: Cluster = request.getfixturevalue(world)
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    accounts = lambda: cluster.list("serviceaccount", name)  # noqa: E731
    wait_for("the namespace's default ServiceAccount, without which no pod is admitted", lambda: bool(accounts()))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def operator(
    simulated: Cluster, mlflow_server: Any, tmp_path_factory: pytest.TempPathFactory, probes: str
) -> Iterator[Operator]:
    operators.installed(simulated)
    folder = tmp_path_factory.mktemp("operator")
    with operators.operator(simulated, folder, registry=mlflow_server.url, probes=probes) as running:
        yield running


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Iterator[str]:
    """Where every model named "fraud" answers: its pods are simulated."""
    folder = make_model(tmp_path_factory.mktemp("scorer") / "model", bias=0.0)
    with operators.model_server(folder, digest_of(folder), "fraud") as address:
        yield address


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


@pytest.fixture(scope="module")
def played() -> Iterator[Neighbours]:
    with neighbours() as found:
        yield found


@pytest.fixture(scope="module")
def fraud_models(mlflow_server: Any) -> str:
    """A registry in which the example's models are."""
    for _ in register(EXAMPLE, mlflow_server.url):
        pass
    return str(mlflow_server.url)


@pytest.fixture(scope="module")
def graphs_operator(
    simulated: Cluster, fraud_models: str, played: Neighbours, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Starts an operator whose hosts, dispatchers and models are played. One at a time."""
    operators.installed(simulated)
    folder = tmp_path_factory.mktemp("operator")

    def start(**environment: str) -> Any:
        settings = {"POINTSMAN_GRAPH_ADDRESS": played.graphs, **environment}
        return operators.operator(simulated, folder, registry=fraud_models, probes=played.models, environment=settings)

    return start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test of a cluster shows the end of each part's log."""
    report = yield
    if report.failed and item.get_closest_marker("cluster"):
        for cluster in item.config.stash.get(CLUSTER, []):
            report.sections.append((f"logs of the {cluster.world} cluster", cluster.log_tails()))
    return report
