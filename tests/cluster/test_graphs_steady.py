"""What the operator writes for graphs, counted in the API server's audit log: each thing once, and nothing when nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from harness import yours
from harness.audit import Audit
from harness.cluster import Cluster
from harness.graphs import GRAPH, OURS, decided, documents, says
from harness.neighbours import Neighbours
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

KINDS = ("rayservice", "deployment", "service", "job", "configmap", "networkpolicy", "httproute", "poddisruptionbudget")


def test_everything_is_written_once_a_restart_writes_nothing_and_nothing_outlives_the_last_graph_and_target(
    simulated: Cluster, graphs_operator: Callable[..., Any], played: Neighbours, namespace: str
) -> None:
    audit = Audit(simulated)
    begun = audit.now()
    simulated.apply(*documents(namespace))  # before: another owner that comes later is another write
    with graphs_operator() as first:
        decided(simulated, namespace, played)
        first.kill()
    writes = [each for each in audit.since(begun) if each.namespace == namespace]
    assert {each.code for each in writes} <= {200, 201}
    of_kind = lambda *kinds: Counter(f"{each.resource} {each.name}" for each in writes if each.resource in kinds)  # noqa: E731
    made = of_kind(
        "rayservices", "deployments", "jobs", "configmaps", "networkpolicies", "poddisruptionbudgets", "secrets"
    )
    assert set(made.values()) == {1}, made
    written = of_kind("decisiongraphs/status", "actiontargets/status", "eventstreams/status", "featureviews/status")
    assert written["eventstreams/status transactions"] == written["featureviews/status card-activity"] == 1
    assert written[f"decisiongraphs/status {GRAPH}"] <= 12, written

    anew = audit.now()
    with graphs_operator(POINTSMAN_RESYNC_SECONDS="1") as second:
        before = second.reconciled()
        wait_for("all is looked at again", lambda: second.reconciled() > before + 20, seconds=60)
        says(simulated, namespace, "Ready", "True")
        assert [each for each in audit.since(anew) if each.namespace == namespace] == []

        simulated.kubectl("delete", "decisiongraph,actiontarget", "--all", "-n", namespace)
        left = lambda: [  # noqa: E731
            f"{kind} {each['metadata']['name']}"
            for kind in (*KINDS, "secret")
            for each in simulated.list(kind, namespace, OURS)
        ]
        wait_for("nothing is left", lambda: left() == [], seconds=60)
