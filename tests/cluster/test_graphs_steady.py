"""What the operator writes for graphs, counted in the API server's audit log: each thing once, and nothing when nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from harness import yours
from harness.audit import Audit
from harness.cluster import Cluster
from harness.graphs import GRAPH, OURS, decided, documents, said, says
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


def test_what_a_host_tells_of_its_decisions_is_written_once_each_time_that_it_differs(
    simulated: Cluster, graphs_operator: Callable[..., Any], played: Neighbours, namespace: str
) -> None:
    audit = Audit(simulated)
    simulated.apply(*documents(namespace))
    with graphs_operator(POINTSMAN_RESYNC_SECONDS="1") as operator:
        host, revision = decided(simulated, namespace, played)

        def told(percent: int, newest: str) -> list[str]:
            """Let the host tell this; what was written until all was looked at often enough afterwards."""
            begun = audit.now()
            activity = {"automaticPercent": percent, "newestEvents": {"card-activity": newest}}
            played.decides(namespace, host, revision, activity=activity)
            wait_for("the graph says it", lambda: status("decisiongraph", GRAPH).get("automaticShare") == f"{percent}%")
            wait_for("the view says it", lambda: status("featureview", "card-activity").get("freshness") == newest)
            before = operator.reconciled()
            wait_for("all is looked at again", lambda: operator.reconciled() > before + 10, seconds=60)
            return sorted(f"{each.resource} {each.name}" for each in audit.since(begun) if each.namespace == namespace)

        status = lambda kind, name: said(simulated, namespace, kind, name)["status"]  # noqa: E731
        graph, view = f"decisiongraphs/status {GRAPH}", "featureviews/status card-activity"
        assert told(86, "2026-03-02T10:00:00Z") == [graph, view]
        assert told(87, "2026-03-02T10:00:00Z") == [graph]
        assert told(87, "2026-03-02T10:10:00Z") == [view]
