"""The commands of `pointsman` that ask a cluster: explain, history, upgrade preview.

The control plane, KServe and MLflow are real; nodes and pods are simulated.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def operator(
    simulated: Cluster, mlflow_server: Any, tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]
) -> Iterator[Operator]:
    harness.installed(simulated)
    folder = make_model(tmp_path_factory.mktemp("scorer") / "model", bias=0.0)
    with (
        harness.model_server(folder, digest_of(folder), "fraud") as probes,
        harness.operator(
            simulated, tmp_path_factory.mktemp("operator"), registry=mlflow_server.url, probes=probes
        ) as running,
    ):
        yield running


@pytest.fixture
def register(
    mlflow_server: Any, namespace: str, make_model: Callable[..., Path], tmp_path: Path
) -> Callable[[float], str]:
    """Make a model of this bias the champion of this test's own registered model; its reference."""

    def registered(bias: float) -> str:
        mlflow_server.publish(namespace, make_model(tmp_path / f"model-{bias}", bias=bias))
        return f"models:/{namespace}@champion"

    return registered


@pytest.fixture
def pointsman(simulated: Cluster, tmp_path: Path) -> Run:
    """A command of a user whose kubeconfig is this cluster's, and who runs nothing on the machine itself."""

    def run(*arguments: str, program: str = "pointsman") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "KUBECONFIG": str(simulated.kubeconfig),
            "POINTSMAN_HOME": str(tmp_path / "home"),
        }
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


def ready(cluster: Cluster, namespace: str) -> dict[str, Any]:
    cluster.kubectl("wait", "modeldeployment/fraud", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    return cluster.get("modeldeployment", "fraud", namespace)


@contextmanager
def away(operator: Operator) -> Iterator[None]:
    """While the operator does nothing, as between two releases."""
    operator.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.process.send_signal(signal.SIGCONT)


FAULTS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "it ends again and again": (
        {"podTemplate": {"metadata": {"annotations": {ANNOTATION: Behaviour.CRASH_LOOP}}}},
        "container kserve-container: CrashLoopBackOff",
        "Crashing: The process ends again and again.",
        "→ more: kubectl logs fraud-",
    ),
    "no node has as many GPUs": (
        {"resources": {"limits": {"nvidia.com/gpu": "9"}}},
        "no node takes it: ",
        "Unschedulable: No node can take the pod.",
        "→ more: kubectl describe pod fraud-",
    ),
    "its model cannot be fetched": (
        {"podTemplate": {"metadata": {"annotations": {ANNOTATION: Behaviour.STORAGE_INITIALIZER_FAILS}}}},
        "init container storage-initializer: ",
        "FetchFailed: The model's files cannot be brought into the pod.",
        "→ more: kubectl logs fraud-",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_explain_leads_from_the_object_to_the_guilty_line_and_says_what_to_do(
    simulated: Cluster,
    operator: Operator,
    namespace: str,
    register: Callable[[float], str],
    pointsman: Run,
    fault: str,
) -> None:
    spec, guilty, verdict, more = FAULTS[fault]
    simulated.apply(model_deployment("fraud", namespace, model={"uri": register(1.0)}, **spec))

    def explained() -> list[str]:
        told = pointsman("explain", "modeldeployment/fraud", "-n", namespace).stdout.splitlines()
        return told if verdict in told and any("◀ the cause" in line for line in told) else []

    told = wait_for("the cause is told", explained, seconds=60, every=1)

    [line] = [line for line in told if line.endswith("◀ the cause")]
    assert guilty in line
    above = [line.lstrip("│├└─ ").partition(": ")[0].partition("/")[0] for line in told[: told.index(line) + 1]]
    levels = ("ModelDeployment", "InferenceService", "Deployment", "ReplicaSet", "Pod")
    assert [level for level in above if level in levels] == list(levels)
    said = told[told.index(verdict) + 1 :]
    assert said[0].startswith("→ ")
    assert said[1].startswith(more)


def test_explain_as_a_plug_in_of_kubectl_tells_what_is_well_and_what_is_not_there(
    simulated: Cluster, operator: Operator, namespace: str, register: Callable[[float], str], pointsman: Run
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": register(1.0)}))
    ready(simulated, namespace)

    well = pointsman("explain", "pmd", "fraud", "-n", namespace, "-o", "json", program="kubectl-pointsman")
    absent = pointsman("explain", "pmd/fruad", "-n", namespace)

    assert json.loads(well.stdout)["reason"] == "Ready"
    assert absent.returncode == 4
    assert absent.stderr.startswith(f'error: no ModelDeployment is called "fruad" in the namespace "{namespace}"')


def test_history_tells_what_served_before_and_after_the_alias_has_moved(
    simulated: Cluster, operator: Operator, namespace: str, register: Callable[[float], str], pointsman: Run
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": register(1.0)}))
    ready(simulated, namespace)
    register(2.0)

    def told() -> list[dict[str, Any]]:
        done = pointsman("history", "modeldeployment/fraud", "-n", namespace, "-o", "json")
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items if items[0].get("servedFrom") and items[0]["version"] == "2" else []

    newest, before = wait_for("version 2 serves", told, seconds=60, every=1)

    assert (before["version"], before["servedUntil"], newest["servedUntil"]) == ("1", newest["servedFrom"], None)
    assert newest["revision"] != before["revision"]
    heading, *rows = pointsman("history", "pmd/fraud", "-n", namespace).stdout.splitlines()
    assert heading.split()[:2] == ["VERSION", "REVISION"]
    assert [(row.split()[0], " now " in row) for row in rows] == [("2", True), ("1", False)]


def test_upgrade_preview_says_nothing_for_what_this_release_made_and_names_pods_that_another_did(
    simulated: Cluster, operator: Operator, namespace: str, register: Callable[[float], str], pointsman: Run
) -> None:
    labelled = {"metadata": {"labels": {"team": "risk"}}}
    simulated.apply(model_deployment("fraud", namespace, model={"uri": register(1.0)}, podTemplate=labelled))
    revision = ready(simulated, namespace)["status"]["revision"]

    def ours() -> list[dict[str, Any]]:
        items = json.loads(pointsman("upgrade", "preview", "-o", "json").stdout)["items"]
        return [each for each in items if each["namespace"] == namespace]

    def relabelled() -> list[str]:
        pods = {
            each["metadata"]["name"]: each["metadata"]["labels"].get("team")
            for each in simulated.list("pod", namespace)
        }
        return list(pods) if set(pods.values()) == {"other"} else []

    assert ours() == []
    with away(operator):
        patch = json.dumps({"spec": {"predictor": {"labels": {"team": "other"}}}})
        simulated.kubectl(
            "patch", "inferenceservice", f"fraud-{revision}", "-n", namespace, "--type=merge", "-p", patch
        )
        names = wait_for("the pods have the other label", relabelled, seconds=60)

        [restart] = ours()

        assert restart["pods"] == names
        assert restart["because"] == 'spec.predictor.labels.team: "other" becomes "risk"'
        assert names[0] in pointsman("upgrade", "preview").stdout
    wait_for("the operator did what was announced", lambda: ours() == [], seconds=60, every=1)
