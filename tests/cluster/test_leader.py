"""Two replicas with a Lease: the leader is killed, told to end or frozen; the other goes on, and there are never two that write."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import operator as harness
from harness import yours
from harness.cluster import Cluster
from harness.operator import NAMESPACE, Operator, model_deployment
from harness.waiting import wait_for
from pointsman_operator.cluster.client import Cluster as Client
from pointsman_operator.cluster.lease import Lease

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

MODEL = {"uri": "s3://models/fraud", "digest": "sha256:" + "1" * 64}
NOWHERE = "http://127.0.0.1:9"
TAKEOVER_SECONDS = 15


@pytest.fixture
def replicas(simulated: Cluster, tmp_path: Path) -> Iterator[list[Operator]]:
    """Two, the leader first."""
    harness.installed(simulated)
    settings = {"POINTSMAN_LEADER_ELECTION": "true"}
    with ExitStack() as running:
        made = [
            running.enter_context(
                harness.operator(simulated, tmp_path, registry=NOWHERE, probes=NOWHERE, environment=settings)
            )
            for _ in range(2)
        ]
        leader = wait_for("one leads", lambda: leading(simulated, made))
        yield sorted(made, key=lambda each: each is not leader)


def leading(cluster: Cluster, replicas: list[Operator]) -> Operator | None:
    holders = [each["spec"].get("holderIdentity", "") for each in cluster.list("lease", NAMESPACE)]
    return next((each for each in replicas if any(held.endswith(f"-{each.process.pid}") for held in holders)), None)


def made(cluster: Cluster, namespace: str) -> list[str]:
    return [each["metadata"]["name"] for each in cluster.list("inferenceservice", namespace)]


def test_when_the_leader_is_killed_reconciling_goes_on_within_15_seconds(
    simulated: Cluster, replicas: list[Operator], namespace: str
) -> None:
    leader, _ = replicas

    leader.kill()
    killed = time.monotonic()
    simulated.apply(model_deployment("fraud", namespace, model=MODEL))

    wait_for("the other reconciles", lambda: made(simulated, namespace))
    assert time.monotonic() - killed < TAKEOVER_SECONDS


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    simulated: Cluster, replicas: list[Operator], namespace: str
) -> None:
    leader, other = replicas

    leader.process.send_signal(signal.SIGTERM)
    assert leader.process.wait(timeout=20) == 0
    ended = time.monotonic()
    simulated.apply(model_deployment("fraud", namespace, model=MODEL))

    wait_for("the other reconciles", lambda: made(simulated, namespace))
    assert time.monotonic() - ended < 5, "without waiting for the lease to run out"
    assert leading(simulated, replicas) is other


def test_a_leader_that_was_frozen_writes_nothing_after_another_has_taken_over(
    simulated: Cluster, replicas: list[Operator], namespace: str
) -> None:
    leader, other = replicas

    leader.process.send_signal(signal.SIGSTOP)
    wait_for("the other leads", lambda: leading(simulated, replicas) is other)
    other.process.send_signal(signal.SIGSTOP)
    simulated.apply(*(model_deployment(f"fraud-{number}", namespace, model=MODEL) for number in range(40)))
    leader.process.send_signal(signal.SIGCONT)

    assert leader.process.wait(timeout=20) == 1, "whoever supervises it starts it anew"
    assert made(simulated, namespace) == []
    other.kill()


def test_a_lease_is_released_though_its_last_renewal_was_broken_off(simulated: Cluster, tmp_path: Path) -> None:
    harness.installed(simulated)

    async def led() -> None:
        async with Client.configured(str(harness.as_the_operator(simulated, tmp_path))) as client:
            lease = Lease(client, namespace=NAMESPACE, identity="me", seconds=0.5)
            await lease.acquire()
            simulated.kubectl(
                "annotate", "lease", "pointsman-operator", "-n", NAMESPACE, "renewed=unseen", "--overwrite"
            )
            await lease.release()

    asyncio.run(led())

    [lease] = simulated.list("lease", NAMESPACE)
    assert lease["spec"]["holderIdentity"] == ""
