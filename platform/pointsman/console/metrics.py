"""What Prometheus scrapes of the store: one cheap query a figure, read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pointsman.console.store import Connection

HEADS = """
SELECT o.name, h.received, h.duplicates, h.next_seq FROM graph_heads h JOIN objects o ON o.uid = h.graph_uid
"""
TODAY = """
SELECT o.name, d.outcome, coalesce(d.band, ''), count(*) FROM decisions d JOIN objects o ON o.uid = d.graph_uid
WHERE d.day = (now() AT TIME ZONE 'UTC')::date GROUP BY 1, 2, 3
"""
REVIEWS = """
SELECT o.name, count(*), count(*) FILTER (WHERE r.escalated_at IS NOT NULL),
    coalesce(extract(epoch FROM now() - min(r.opened_at)), 0)
FROM reviews r JOIN objects o ON o.uid = r.graph_uid WHERE r.state = 'open' GROUP BY 1
"""
LETTERS = """
SELECT o.name, d.state, d.reason, count(*) FROM dead_letters d JOIN objects o ON o.uid = d.graph_uid GROUP BY 1, 2, 3
"""
OUTBOX = "SELECT target, state, count(*) FROM outbox GROUP BY 1, 2"
LEDGER = "SELECT size FROM ledger_head"


class StoreFigures(Collector):
    """The store's figures over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        """All metrics, read now."""
        received = CounterMetricFamily("pointsman_events_received", "Events taken in.", labels=["graph"])
        duplicates = CounterMetricFamily("pointsman_events_duplicate", "Events seen before.", labels=["graph"])
        decided = CounterMetricFamily("pointsman_decisions", "Decisions committed.", labels=["graph"])
        for graph, in_, again, next_seq in self._connection.execute(HEADS).fetchall():
            received.add_metric([graph], in_)
            duplicates.add_metric([graph], again)
            decided.add_metric([graph], next_seq)
        yield from (received, duplicates, decided)
        today = GaugeMetricFamily(
            "pointsman_decisions_today", "Decisions of this UTC day.", labels=["graph", "outcome", "band"]
        )
        for graph, outcome, band, count in self._connection.execute(TODAY).fetchall():
            today.add_metric([graph, outcome, band], count)
        yield today
        waiting = GaugeMetricFamily("pointsman_reviews_open", "Items that wait for a person.", labels=["graph"])
        escalated = GaugeMetricFamily(
            "pointsman_reviews_escalated", "Open items past their deadline.", labels=["graph"]
        )
        oldest = GaugeMetricFamily("pointsman_reviews_oldest_seconds", "Age of the oldest open item.", labels=["graph"])
        for graph, count, late, age in self._connection.execute(REVIEWS).fetchall():
            waiting.add_metric([graph], count)
            escalated.add_metric([graph], late)
            oldest.add_metric([graph], float(age))
        yield from (waiting, escalated, oldest)
        letters = GaugeMetricFamily("pointsman_dead_letters", "Dead letters.", labels=["graph", "state", "reason"])
        for graph, state, reason, count in self._connection.execute(LETTERS).fetchall():
            letters.add_metric([graph, state, reason], count)
        yield letters
        outbox = GaugeMetricFamily("pointsman_outbox", "Actions by state.", labels=["target", "state"])
        for target, state, count in self._connection.execute(OUTBOX).fetchall():
            outbox.add_metric([target, state], count)
        yield outbox
        size = GaugeMetricFamily("pointsman_ledger_leaves", "Leaves of the ledger.")
        for (leaves,) in self._connection.execute(LEDGER).fetchall():
            size.add_metric([], leaves)
        yield size


def exposition(connection: Connection) -> bytes:
    """The figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreFigures(connection))
    return generate_latest(registry)
