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
        waiting = "ModelDeployments that wait to be reconciled"
        yield GaugeMetricFamily("pointsman_operator_queue", waiting, value=len(operator.queue))
        oldest = "For how long the ModelDeployment has waited that waits longest or is being reconciled"
        yield GaugeMetricFamily("pointsman_operator_queue_oldest_seconds", oldest, value=operator.queue.oldest_seconds)
        pending = "ModelDeployments whose outcome the model registry has not taken yet"
        yield GaugeMetricFamily("pointsman_operator_registry_tags_pending", pending, value=operator.tags_pending)
        silent = GaugeMetricFamily(
            "pointsman_operator_watch_silent_seconds",
            "For how long the API server has said nothing of a kind; it says something every minute",
            labels=["kind"],
        )
        for kind, seconds in operator.caches.silent_seconds().items():
            silent.add_metric([kind], seconds)
        yield silent
        counted = GaugeMetricFamily(
            "pointsman_operator_modeldeployments",
            "ModelDeployments in the cluster, by their condition Ready and its reason",
            labels=["ready", "reason"],
        )
        for (ready, reason), count in sorted(by_ready(operator.caches.statuses()).items()):
            counted.add_metric([ready, reason], count)
        yield counted


def by_ready(statuses: Iterable[Raw]) -> Counter[tuple[str, str]]:
    """How many have which status and reason of Ready. One of which nothing is said yet is Unknown."""
    said = (condition({"status": status}, READY) for status in statuses)
    return Counter((str(each.get("status", "Unknown")), str(each.get("reason", ""))) for each in said)
