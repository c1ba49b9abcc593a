"""What Prometheus reads of a running operator beside its counters: taken from what it remembers, at the moment of the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pointsman.api.conditions import READY
from pointsman_operator.causes.cause import condition
from pointsman_operator.operator import Operator
from pointsman_operator.seen import Raw


class Measures(Collector):
    """The gauges of one operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering it would ask for everything

    def collect(self) -> Iterator[Metric]:
        operator = self._operator
        leads = "1 where this replica reconciles: of all replicas one does"
        yield GaugeMetricFamily("pointsman_operator_leads", leads, value=float(operator.is_working))
        models, namespaces = operator.queue, operator.graphs.queue
        waiting = "ModelDeployments, and namespaces with graphs, that wait to be reconciled"
        yield GaugeMetricFamily("pointsman_operator_queue", waiting, value=len(models) + len(namespaces))
        oldest = "For how long the one has waited that waits longest or is being reconciled"
        longest = max(models.oldest_seconds, namespaces.oldest_seconds)
        yield GaugeMetricFamily("pointsman_operator_queue_oldest_seconds", oldest, value=longest)
        pending = "ModelDeployments whose outcome the model registry has not taken yet"
        yield GaugeMetricFamily("pointsman_operator_registry_tags_pending", pending, value=operator.tags_pending)
        silent = GaugeMetricFamily(
            "pointsman_operator_watch_silent_seconds",
            "For how long the API server has said nothing of a kind; it says something every minute",
            labels=["kind"],
        )
        of_models, of_graphs = operator.caches.silent_seconds(), operator.graphs.caches.silent_seconds()
        for kind in sorted(of_models | of_graphs):
            silent.add_metric([kind], max(of_models.get(kind, 0.0), of_graphs.get(kind, 0.0)))
        yield silent
        counted = GaugeMetricFamily(
            "pointsman_operator_modeldeployments",
            "ModelDeployments in the cluster, by their condition Ready and its reason",
            labels=["ready", "reason"],
        )
        for (ready, reason), count in sorted(by_ready(operator.caches.statuses()).items()):
            counted.add_metric([ready, reason], count)
        yield counted
        graphs = GaugeMetricFamily(
            "pointsman_operator_graph_ready",
            "1 where the DecisionGraph is Ready, and the reason of that condition",
            labels=["namespace", "graph", "reason"],
        )
        for raw in operator.graphs.caches.graphs():
            said = condition(raw, READY)
            metadata, is_ready = raw["metadata"], said.get("status") == "True"
            graphs.add_metric([metadata["namespace"], metadata["name"], str(said.get("reason", ""))], is_ready)
        yield graphs


def by_ready(statuses: Iterable[Raw]) -> Counter[tuple[str, str]]:
    """How many have which status and reason of Ready. One of which nothing is said yet is Unknown."""
    said = (condition({"status": status}, READY) for status in statuses)
    return Counter((str(each.get("status", "Unknown")), str(each.get("reason", ""))) for each in said)
