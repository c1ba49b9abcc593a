"""The real node: pods answer through Services, and fail with the fields that simulated pods show."""

from __future__ import annotations

import urllib.request

import pytest

from harness import workloads, yours
from harness.cluster import Cluster
from harness.pod_stages import Behaviour
from harness.pods import SEEN, waits_as
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

FAILING = {
    Behaviour.CRASH_LOOP: {"command": ["python3", "-c", "raise SystemExit(1)"]},
    Behaviour.OOM: {"command": ["python3", "-c", "x = []\nwhile True: x.append(bytearray(1 << 20))"]},
    Behaviour.IMAGE_PULL: {"image": "registry.invalid/none:1"},
}


def answer(url: str) -> str | None:
    """The body, or None while nobody answers: an EndpointSlice may come a second after its pods are ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            body: bytes = response.read()
    except OSError:
        return None
    return body.decode()


def test_a_deployment_answers_through_its_service(real_node: Cluster, namespace: str) -> None:
    real_node.apply(
        workloads.deployment("web", namespace, replicas=2, environment={"VERSION": "7"}),
        workloads.service("web", namespace),
    )
    real_node.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    address = real_node.get("service", "web", namespace)["spec"]["clusterIP"]

    assert "version=7 path=/hello" in wait_for("the Service answers", lambda: answer(f"http://{address}/hello"))


def test_pods_fail_with_the_fields_that_simulated_pods_show(real_node: Cluster, namespace: str) -> None:
    for behaviour, of_container in FAILING.items():
        real_node.apply(workloads.pod(behaviour, namespace, **of_container))

    seen = {behaviour: waits_as(real_node, namespace, behaviour, SEEN[behaviour].waiting) for behaviour in SEEN}

    assert seen == dict(SEEN)


def test_an_inference_service_answers_through_its_service(real_node: Cluster, namespace: str) -> None:
    real_node.apply(
        workloads.storage_initializer(),
        workloads.serving_runtime(namespace),
        workloads.inference_service("fraud", namespace),
    )
    ready = ("wait", "inferenceservice/fraud", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    real_node.kubectl(*ready)
    address = real_node.get("service", "fraud-predictor", namespace)["spec"]["clusterIP"]

    assert "host=fraud-predictor-" in wait_for("the Service answers", lambda: answer(f"http://{address}/"))
