"""A webhook that a test runs on this machine is asked by the cluster's API server, in either world."""

from __future__ import annotations

import base64

import pytest

from harness import workloads, yours
from harness.cluster import Cluster, KubectlFailed
from harness.refusing import webhook
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="your cluster may not reach this machine"),
]


@pytest.mark.parametrize("world", ["simulated", "real_node"])
def test_a_webhook_on_this_machine_can_refuse_an_object(request: pytest.FixtureRequest, world: str) -> None:
    cluster: Cluster = request.getfixturevalue(world)
    namespace: str = request.getfixturevalue("namespace")
    assert cluster.webhook

    with webhook(cluster) as url:
        bundle = base64.b64encode(cluster.webhook.authority.read_bytes()).decode()
        cluster.apply(workloads.refusing(namespace, url, bundle))

        def refused() -> bool:
            try:
                cluster.kubectl("create", "configmap", "any", "-n", namespace, "--dry-run=server")
            except KubectlFailed as refusal:
                return "refused by the test" in str(refusal)
            return False

        wait_for("the webhook is asked", refused)
        cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)
