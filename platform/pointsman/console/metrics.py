"""What Prometheus scrapes of the API: the store's figures, one cheap query each, and what people decided through this process.

docs/metrics.md says what each figure means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pointsman.actions.effects import State
from pointsman.console.store import Connection, Graph
from pointsman.monitoring.monitor import Monitor
from pointsman.reviews.queue import Item

HEADS = """
SELECT o.name, h.received, h.duplicates, h.next_seq FROM graph_heads h JOIN objects o ON o.uid = h.graph_uid
"""
REVIEWS = """
SELECT o.name, count(*), count(*) FILTER (WHERE r.escalated_at IS NOT NULL),
    count(*) FILTER (WHERE r.deadline_at <= now()), coalesce(extract(epoch FROM now() - min(r.opened_at)), 0),
    coalesce(sum(greatest(r.priority, 0)), 0)
FROM reviews r JOIN objects o ON o.uid = r.graph_uid WHERE r.state = 'open' GROUP BY 1
"""
LETTERS = """
SELECT o.name, d.state, d.reason, count(*) FROM dead_letters d JOIN objects o ON o.uid = d.graph_uid GROUP BY 1, 2, 3
"""
OUTBOX = "SELECT target, state, count(*) FROM outbox GROUP BY 1, 2"
OLDEST = """
SELECT target, extract(epoch FROM now() - min(created_at)) FROM outbox
WHERE state NOT IN ('checked', 'observed', 'rejected', 'unknown', 'compensated') GROUP BY 1
"""
APPROVALS = """
SELECT o.name, count(*), extract(epoch FROM now() - min(a.created_at)) FROM outbox a JOIN objects o ON o.uid = a.graph_uid
WHERE a.state = 'checked' GROUP BY 1
"""
MONITORS = """
SELECT o.name, m.band, m.segment, m.wrong, m.labelled, m.alpha, m.stake FROM monitors m JOIN objects o ON o.uid = m.graph_uid
"""
DEMOTED = """
SELECT o.name, e.band, e.segment, e.change = 'demoted' FROM (
    SELECT DISTINCT ON (graph_uid, band, segment) * FROM certificate_events ORDER BY graph_uid, band, segment, seq DESC) e
JOIN objects o ON o.uid = e.graph_uid
"""
LEDGER = "SELECT size, size - coalesce((SELECT max(index) + 1 FROM ledger), 0) FROM ledger_head"

WAITING = (State.APPROVED, State.LEASED, State.ATTEMPTED)
BECAME = {"Escalate": "escalated", "Expire": "expired"}
"""By `review.onDeadline`, what items become"""
WAITS = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200)


class StoreFigures(Collector):
    """The store's figures over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering it would ask for everything

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
        yield from self._reviews()
        letters = GaugeMetricFamily("pointsman_dead_letters", "Dead letters.", labels=["graph", "state", "reason"])
        for graph, state, reason, count in self._connection.execute(LETTERS).fetchall():
            letters.add_metric([graph, state, reason], count)
        yield letters
        yield from self._outbox()
        waiting = GaugeMetricFamily("pointsman_approvals_waiting", "Actions that wait for approval.", labels=["graph"])
        oldest = GaugeMetricFamily("pointsman_approvals_oldest_seconds", "Age of the oldest of them.", labels=["graph"])
        for graph, count, age in self._connection.execute(APPROVALS).fetchall():
            waiting.add_metric([graph], count)
            oldest.add_metric([graph], float(age))
        yield from (waiting, oldest)
        yield from self._monitors()
        size = GaugeMetricFamily("pointsman_ledger_leaves", "Leaves of the ledger.")
        missing = GaugeMetricFamily("pointsman_ledger_missing_leaves", "Leaves that its head counts and it lacks.")
        for leaves, lacking in self._connection.execute(LEDGER).fetchall():
            size.add_metric([], leaves)
            missing.add_metric([], lacking)
        yield from (size, missing)

    def _outbox(self) -> Iterator[Metric]:
        """Of each target that was ever asked for anything; nothing that waits is 0, and not absent."""
        counts = {(target, state): count for target, state, count in self._connection.execute(OUTBOX).fetchall()}
        ages = {target: float(age) for target, age in self._connection.execute(OLDEST).fetchall()}
        outbox = GaugeMetricFamily("pointsman_outbox", "Actions by state.", labels=["target", "state"])
        oldest = GaugeMetricFamily(
            "pointsman_outbox_oldest_seconds", "Age of the oldest action that is not settled.", labels=["target"]
        )
        targets = sorted({target for target, _ in counts})
        waiting = {(target, state.value): 0 for target in targets for state in WAITING}
        for (target, state), count in (waiting | counts).items():
            outbox.add_metric([target, state], count)
        for target in targets:
            oldest.add_metric([target], ages.get(target, 0.0))
        yield from (outbox, oldest)

    def _monitors(self) -> Iterator[Metric]:
        """Of each band, or segment of one, whose audited labels are watched, or that was ever demoted."""
        labels = ["graph", "band", "segment"]
        labelled = GaugeMetricFamily("pointsman_monitor_labels", "Audited labels heard.", labels=labels)
        wrong = GaugeMetricFamily("pointsman_monitor_wrong", "Of those, labels of wrong decisions.", labels=labels)
        evidence = GaugeMetricFamily("pointsman_monitor_evidence", "Evidence against the promise.", labels=labels)
        for graph, band, segment, wrong_, labelled_, alpha, stake in self._connection.execute(MONITORS).fetchall():
            monitor = Monitor(alpha=alpha, wrong=wrong_, labelled=labelled_, stake=stake)
            place = [graph, band, segment]
            labelled.add_metric(place, labelled_)
            wrong.add_metric(place, wrong_)
            evidence.add_metric(place, monitor.evidence)
        demoted = GaugeMetricFamily("pointsman_band_demoted", "1 where a band is demoted.", labels=labels)
        for graph, band, segment, is_demoted in self._connection.execute(DEMOTED).fetchall():
            demoted.add_metric([graph, band, segment or ""], int(is_demoted))
        yield from (labelled, wrong, evidence, demoted)

    def _reviews(self) -> Iterator[Metric]:
        figures = (
            ("open", "Items that wait for a person."),
            ("escalated", "Open items that were put before all others."),
            ("overdue", "Open items past their deadline."),
            ("oldest_seconds", "Age of the oldest open item."),
            ("at_stake", "What review.priority names, of open items, added up."),
        )
        families = [
            GaugeMetricFamily(f"pointsman_reviews_{name}", meaning, labels=["graph"]) for name, meaning in figures
        ]
        for graph, *values in self._connection.execute(REVIEWS).fetchall():
            for family, value in zip(families, values, strict=True):
                family.add_metric([graph], float(value))
        yield from families


class Verdicts:
    """What people said through this process, and what the process takes."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        labels = ("graph", "verdict", "label")
        self._items = Counter("pointsman_reviews_decided", "Items that people decided.", labels, registry=registry)
        self._at_stake = Counter(
            "pointsman_reviews_decided_at_stake",
            "What review.priority names, of items that people decided, added up.",
            labels,
            registry=registry,
        )
        self._overdue = Counter(
            "pointsman_reviews_past_deadline",
            "Items that nobody decided in time, and what became of them.",
            ("graph", "became"),
            registry=registry,
        )
        self._seconds = Histogram(
            "pointsman_reviews_decided_seconds",
            "From when an item was opened to its verdict.",
            ("graph",),
            buckets=WAITS,
            registry=registry,
        )

    def expect(self, graph: Graph) -> None:
        """Have the graph's series there before anything is said, so that the first verdict is counted too."""
        self._seconds.labels(graph.name)
        self._overdue.labels(graph.name, BECAME[graph.document.spec.review.on_deadline])
        for verdict in graph.document.spec.review.verdicts:
            for each in (self._items, self._at_stake):
                each.labels(graph.name, verdict.name, _label(graph, verdict.name))

    def past_deadline(self, graph: Graph, items: int) -> None:
        """So many items have just been escalated or have expired, as the graph says."""
        self._overdue.labels(graph.name, BECAME[graph.document.spec.review.on_deadline]).inc(items)

    def said(self, graph: Graph, items: Iterable[Item]) -> None:
        """Items have just been decided."""
        for item in items:
            labels = (graph.name, item["verdict"], _label(graph, item["verdict"]))
            self._items.labels(*labels).inc()
            self._at_stake.labels(*labels).inc(max(item["priority"] or 0.0, 0.0))
            self._seconds.labels(graph.name).observe((item["decided_at"] - item["opened_at"]).total_seconds())


def _label(graph: Graph, verdict: str) -> str:
    """What the verdict says of the graph's label."""
    label = graph.document.spec.label
    return "" if label is None else str(verdict == label.name).lower()


def exposition(connection: Connection, verdicts: Verdicts) -> bytes:
    """The store's figures and those of this process, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StoreFigures(connection))
    return generate_latest(registry) + generate_latest(verdicts.registry)
