"""Simulated nodes: what KServe makes of an InferenceService there, and how pods fail as on a real kubelet."""

from __future__ import annotations

import pytest

from harness import workloads, yours
from harness.cluster import Cluster, KubectlFailed
from harness.pod_stages import ANNOTATION, Behaviour
from harness.pods import SEEN, waits_as
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


def condition(document: dict, kind: str) -> str | None:
    conditions = document.get("status", {}).get("conditions", ())
    return next((one["status"] for one in conditions if one["type"] == kind), None)


def test_an_inference_service_that_wants_a_gpu_becomes_ready_on_a_gpu_node(simulated: Cluster, namespace: str) -> None:
    simulated.apply(
        workloads.storage_initializer(),
        workloads.serving_runtime(namespace, gpus=1),
        workloads.inference_service("fraud", namespace),
    )

    wait_for(
        "the InferenceService is Ready",
        lambda: condition(simulated.get("inferenceservice", "fraud", namespace), "Ready") == "True",
    )

    [pod] = simulated.list("pod", namespace, "serving.kserve.io/inferenceservice=fraud")
    assert pod["spec"]["nodeName"].startswith("gpu-")
    assert pod["metadata"]["labels"]["component"] == "predictor"


def test_more_gpus_than_there_are_leave_a_pod_unscheduled_with_the_reason(simulated: Cluster, namespace: str) -> None:
    simulated.apply(workloads.pod("greedy", namespace, gpus=9))

    def unscheduled() -> str | None:
        conditions = simulated.get("pod", "greedy", namespace)["status"].get("conditions", ())
        return next((one["message"] for one in conditions if one.get("reason") == "Unschedulable"), None)

    assert "Insufficient nvidia.com/gpu" in wait_for("the scheduler gives up", unscheduled)


@pytest.mark.parametrize("behaviour", SEEN)
def test_a_pod_fails_as_on_a_real_node(simulated: Cluster, namespace: str, behaviour: Behaviour) -> None:
    simulated.apply(workloads.pod("failing", namespace, behaviour))

    assert waits_as(simulated, namespace, "failing", SEEN[behaviour].waiting) == SEEN[behaviour]


def test_a_model_that_is_not_there_fails_in_the_init_container_that_kserve_adds(
    simulated: Cluster, namespace: str
) -> None:
    simulated.apply(
        workloads.serving_runtime(namespace),
        workloads.storage_initializer(),
        workloads.inference_service("lost", namespace, behaviour=Behaviour.STORAGE_INITIALIZER_FAILS),
    )
    [pod] = wait_for("KServe makes its pod", lambda: simulated.list("pod", namespace))

    failed = waits_as(simulated, namespace, pod["metadata"]["name"], "CrashLoopBackOff", init=True)

    assert failed.container == "storage-initializer"
    assert (failed.phase, failed.last_reason, failed.exit_code) == ("Pending", "Error", 1)
    assert failed.conditions["Initialized"] == "False"


def test_a_running_pod_falls_when_it_is_told_to_and_heals_when_it_is_told_no_more(
    simulated: Cluster, namespace: str
) -> None:
    simulated.apply(workloads.pod("main", namespace))
    ready = ("wait", "pod/main", "-n", namespace, "--for=condition=Ready", "--timeout=20s")
    simulated.kubectl(*ready)

    simulated.kubectl("annotate", "pod", "main", "-n", namespace, f"{ANNOTATION}={Behaviour.OOM}")
    assert waits_as(simulated, namespace, "main", "CrashLoopBackOff").last_reason == "OOMKilled"

    simulated.kubectl("annotate", "pod", "main", "-n", namespace, f"{ANNOTATION}-")
    simulated.kubectl(*ready)


def test_what_breaks_the_restricted_level_is_refused(simulated: Cluster, namespace: str) -> None:
    pod = workloads.pod("root", namespace)
    pod["spec"]["hostNetwork"] = True

    with pytest.raises(KubectlFailed, match="violates PodSecurity"):
        simulated.apply(pod)
