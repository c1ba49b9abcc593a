"""A thousand models: every object is written once, and nothing is written when nothing has changed.

Writes are counted where they arrive, in the API server's audit log. What KServe and the kubelets would write is written by the
harness: KServe itself takes a quarter of a second for each model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from harness import operator as harness
from harness import yours
from harness.api import Api
from harness.audit import Audit, Write
from harness.cluster import Cluster
from harness.operator import Operator, model_deployment
from harness.played import playing
from harness.waiting import wait_for
from pointsman_operator.seen import MODEL_DEPLOYMENT

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

MODELS, NAMESPACES, AT_ONCE = 1000, 10, 16
OF_THE_WEBHOOK = {"secrets", "validatingwebhookconfigurations"}
"""Its certificate, the first time"""
ONCE = ("inferenceservices", "poddisruptionbudgets", "networkpolicies")


@pytest.fixture
def namespaces(unattended: Cluster) -> Iterator[list[str]]:
    named = [f"steady-{number}" for number in range(NAMESPACES)]
    unattended.create(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in named))
    for name in named:
        wait_for("the default ServiceAccount", lambda name=name: bool(unattended.list("serviceaccount", name)))
    yield named
    unattended.kubectl("delete", "namespace", "--wait=false", *named)


async def made(cluster: Cluster, namespaces: list[str]) -> None:
    """All the ModelDeployments."""
    left = [
        model_deployment(
            f"model-{number}",
            namespaces[number % len(namespaces)],
            model={"uri": f"s3://models/{number}", "digest": f"sha256:{number:064x}", "format": "ONNX"},
        )
        for number in range(MODELS)
    ]

    async def make(api: Api) -> None:
        while left:
            await api.create(MODEL_DEPLOYMENT, left.pop())

    async with Api(cluster.kubeconfig) as api, asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(make(api))


def ready(cluster: Cluster) -> int:
    """How many are Ready."""
    column = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}"
    return cluster.kubectl("get", "modeldeployments", "-A", "-o", column).split().count("True")


def twice(writes: list[Write]) -> list[tuple[str, str, str, Any]]:
    """What was written with the same content as the time before."""
    found, before = [], dict[tuple[str, str, str], Any]()
    for each in writes:
        key = (each.resource, each.namespace, each.name)
        if before.get(key) == each.body:
            found.append((*key, each.body))
        before[key] = each.body
    return found


def test_a_thousand_models_are_written_once_and_then_nothing_is(
    unattended: Cluster, namespaces: list[str], tmp_path: Any
) -> None:
    audit = Audit(unattended)
    start = audit.now()

    def started(**environment: str) -> Any:
        return harness.operator(
            unattended, tmp_path, registry="http://127.0.0.1:9", probes=played.address, environment=environment
        )

    def looks_at_all_again(operator: Operator) -> None:
        before = operator.reconciled()
        wait_for("all are looked at again", lambda: operator.reconciled() >= before + 2 * MODELS, seconds=60)

    with playing(unattended) as played:
        with started() as first:
            asyncio.run(made(unattended, namespaces))
            wait_for("all are Ready", lambda: ready(unattended) == MODELS, seconds=300, every=1)
            first.kill()
        writes = audit.since(start)
        counts = Counter(each.resource for each in writes)
        assert {each.code for each in writes} <= {200, 201}
        assert {resource: counts[resource] for resource in ONCE} == dict.fromkeys(ONCE, MODELS)
        assert counts["services"] == 2 * MODELS, "once before a revision answers, once when traffic goes to it"
        assert counts["events"] == MODELS, "which revision serves"
        assert {"services", "events", "modeldeployments/status", *ONCE} == set(counts) - OF_THE_WEBHOOK
        assert twice(writes) == []

        played.asked.clear()
        anew = audit.now()
        with started(POINTSMAN_RESYNC_SECONDS="1") as second:
            wait_for("every model was asked again", lambda: len(played.asked) == MODELS, seconds=120)
            looks_at_all_again(second)
        assert audit.since(anew) == []
