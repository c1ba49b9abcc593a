"""What Prometheus reads of a graph's host: made of what the host has counted, at the moment of the question.

`GET /v1/graphs/{graph}/-/metrics` answers it. docs/metrics.md says what each figure means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pointsman.certificates.report import BandReport
from pointsman.decisions.stats import Histogram, Stats
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import REVIEW
from pointsman.ingest.report import SourceReport
from pointsman_serving.graph.measured import MeasuredPort


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A host at one moment. What needs a loaded graph is None before there is one."""

    graph: str
    ready: bool
    reason: str
    revision: str
    pending: int
    waiting: int
    open_reviews: int
    store_answers: bool
    requests: Mapping[tuple[int, str], int]
    """By status and, where it is not 200, why"""
    stats: Stats | None
    compiled: CompiledGraph | None
    ports: Mapping[str, MeasuredPort]
    source: SourceReport | None
    """None where events are posted"""
    bands: Sequence[BandReport]


class HostFigures(Collector):
    """The metrics of a host as it was observed."""

    def __init__(self, seen: Observed) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        seen = self._seen
        yield self._gauge(
            "ready", "1 where a decision would be made now; the reason where not", seen.ready, reason=seen.reason
        )
        yield self._gauge("revision_info", "Always 1: the revision that decides", 1, revision=seen.revision)
        yield self._gauge("pending_events", "Events taken in and not decided yet", seen.pending)
        yield self._gauge("waiting_requests", "Requests that wait to be taken in", seen.waiting)
        yield self._gauge("open_reviews", "Items that wait for people, counted up to review.maxOpen", seen.open_reviews)
        yield self._gauge(
            "store_answers", "1 where the decision store answered when it was asked last", seen.store_answers
        )
        yield self._counter(
            "requests",
            "Requests for decisions, by status and why they were refused",
            ("status", "reason"),
            (((str(status), reason), count) for (status, reason), count in seen.requests.items()),
        )
        if seen.compiled is not None:
            yield self._gauge("max_open_reviews", "review.maxOpen", seen.compiled.max_open_reviews)
            if seen.compiled.deadline_seconds is not None:
                yield self._gauge(
                    "deadline_seconds", "The deadline of a waiting caller", seen.compiled.deadline_seconds
                )
        if seen.stats is not None:
            yield from self._counted(seen.stats)
        yield from self._models(seen.ports)
        if seen.source is not None:
            yield from self._source(seen.source)
        yield from self._bands(seen.bands)

    def _bands(self, bands: Sequence[BandReport]) -> Iterator[Metric]:
        labels = ("graph", "band", "segment")
        live = GaugeMetricFamily("pointsman_band_live", "1 where a band's certificate is live.", labels=labels)
        ends = GaugeMetricFamily("pointsman_band_certificate_ends", "When it ends, or has ended.", labels=labels)
        for each in bands:
            place = (self._seen.graph, each.band, each.segment or "")
            live.add_metric(place, each.live)
            if each.expires is not None:
                ends.add_metric(place, each.expires.timestamp())
        yield from (live, ends)

    def _source(self, source: SourceReport) -> Iterator[Metric]:
        yield self._gauge("reached", "1 where the source can be read", source.reached, of="source")
        if source.lag is not None:
            yield self._gauge("lag_events", "Events at the source that are not committed here", source.lag, of="source")
        if source.lag_seconds is not None:
            age = "How old the newest event is that was read, where there are more"
            yield self._gauge("lag_seconds", age, source.lag_seconds, of="source")
        yield self._gauge("paused", "1 where nothing more is read for now", source.paused is not None, of="source")

    def _counted(self, stats: Stats) -> Iterator[Metric]:
        yield self._counter("events", "Events of committed batches", (), [((), stats.received)])
        yield self._counter("duplicates", "Events that were seen before", (), [((), stats.duplicates)])
        yield self._counter("dead_letters", "Events that broke the contract", ("reason",), _by_one(stats.dead_letters))
        none = _possible(self._seen.compiled)
        decided, at_stake = none | stats.outcomes.copy(), none | stats.at_stake.copy()
        yield self._counter("decisions", "Decisions committed", ("band", "outcome"), decided.items())
        stake = "What review.priority names, of decisions, added up"
        yield self._counter("at_stake", stake, ("band", "outcome"), at_stake.items())
        yield self._counter("review_reasons", "Why items went to people", ("reason",), _by_one(stats.because))
        overflow = "Decisions that got review.overflowOutcome: people had no room"
        yield self._counter("overflowed", overflow, (), [((), stats.overflowed)])
        yield self._counter("overdue_events", "Events decided after the graph's deadline", (), [((), stats.overdue)])
        yield self._counter(
            "recoveries", "Times the graph was taken over and its state rebuilt", (), [((), stats.recoveries)]
        )
        if stats.last_commit is not None:
            yield self._gauge("last_commit_timestamp_seconds", "When a batch was committed last", stats.last_commit)
        latency = self._histogram("latency_seconds", "From arrival to committed, of each event", ("mode",))
        for mode, histogram in (("synchronous", stats.synchronous), ("stream", stats.stream)):
            _add(latency, (self._seen.graph, mode), histogram)
        sizes = self._histogram("batch_events", "Events of a batch")
        _add(sizes, (self._seen.graph,), stats.sizes)
        scores = self._histogram("scores", "Scores of decided events")
        _add(scores, (self._seen.graph,), stats.scores)
        yield from (latency, sizes, scores)
        yield self._counter("step_seconds", "Seconds spent in each step and node", ("step",), _by_one(stats.seconds))
        yield self._counter(
            "step_events", "Events that went through each step and node", ("step",), _by_one(stats.rows)
        )

    def _models(self, ports: Mapping[str, MeasuredPort]) -> Iterator[Metric]:
        labels = ("node", "model", "version")
        of = {(node, port.model.deployment, port.model.version): port for node, port in ports.items()}
        calls = self._histogram("model_call_seconds", "Time of a call of a node's model; a batch is one call", labels)
        for key, port in of.items():
            _add(calls, (self._seen.graph, *key), port.seconds)
        yield calls
        rows = ((key, port.rows) for key, port in of.items())
        yield self._counter("model_rows", "Rows that a node's model was asked for", labels, rows)
        failures = ((key, port.failures) for key, port in of.items())
        yield self._counter("model_failures", "Calls of a node's model that gave no answer", labels, failures)

    def _gauge(self, name: str, meaning: str, value: float, *, of: str = "graph", **labels: str) -> Metric:
        found = GaugeMetricFamily(f"pointsman_{of}_{name}", meaning, labels=("graph", *labels))
        found.add_metric((self._seen.graph, *labels.values()), float(value))
        return found

    def _counter(
        self, name: str, meaning: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
    ) -> Metric:
        found = CounterMetricFamily(f"pointsman_graph_{name}", meaning, labels=("graph", *labels))
        for key, value in sorted(values):
            found.add_metric((self._seen.graph, *key), value)
        return found

    def _histogram(self, name: str, meaning: str, labels: Iterable[str] = ()) -> HistogramMetricFamily:
        return HistogramMetricFamily(f"pointsman_graph_{name}", meaning, labels=("graph", *labels))


def exposition(seen: Observed) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(HostFigures(seen))
    return generate_latest(registry)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, histogram.counts.cumsum().tolist(), strict=True)), histogram.sum)


def _possible(compiled: CompiledGraph | None) -> dict[tuple[str, str], float]:
    """Nothing, for each band with each outcome: of a series that is there from the start the first event is counted too."""
    if compiled is None:
        return {}
    bands = zip(compiled.band_names, compiled.outcomes, strict=True)
    return dict.fromkeys((each for band, outcome in bands for each in ((band, outcome), (band, REVIEW))), 0.0)


def _by_one(values: dict[str, float] | dict[str, int]) -> list[tuple[tuple[str, ...], float]]:
    """With one label; the engine may add to them meanwhile."""
    return [((name,), value) for name, value in values.copy().items()]
