"""What is installed is looked at: by name and version in the log and the metrics, and in the status where it is too old."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import operator as harness
from harness import workloads, yours
from harness.cluster import Cluster
from harness.operator import model_deployment
from harness.waiting import wait_for
from pointsman_operator.supported import KUBERNETES, SUPPORTED

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def old_kserve(simulated: Cluster) -> Iterator[None]:
    """The controller's Deployment as KServe 0.14.1 would have it, without a pod."""
    controller = workloads.deployment("kserve-controller-manager", "kserve", replicas=0)
    pod = controller["spec"]["template"]["spec"]
    pod["containers"] = [{"name": "manager", "image": "kserve/kserve-controller:v0.14.1"}]
    controller["metadata"]["labels"] = {"control-plane": "kserve-controller-manager"}
    simulated.apply(controller)
    yield
    simulated.kubectl("delete", "deployment", "kserve-controller-manager", "-n", "kserve")


def test_a_kserve_that_is_too_old_is_named_and_nothing_is_made(
    simulated: Cluster, old_kserve: None, namespace: str, tmp_path: Path
) -> None:
    harness.installed(simulated)
    with harness.operator(simulated, tmp_path, registry=NOWHERE, probes=NOWHERE) as operator:
        model = {"uri": "s3://models/fraud", "digest": "sha256:" + "1" * 64}
        simulated.apply(model_deployment("fraud", namespace, model=model))

        def message() -> str:
            conditions = simulated.get("modeldeployment", "fraud", namespace).get("status", {}).get("conditions", ())
            return next((each["message"] for each in conditions if each["reason"] == "KServeUnsupported"), "")

        assert "KServe v0.14.1 is older than 0.16" in wait_for("the status says it", message)
        assert simulated.list("inferenceservice", namespace) == []
        tested = f"v{SUPPORTED[KUBERNETES].tested}"
        assert operator.counted("pointsman_operator_supported") == {
            f"Kubernetes {tested}": 1.0,
            "KServe v0.14.1": 0.0,
        }
        assert '"part": "KServe", "version": "v0.14.1"' in operator.log.read_text()
