"""What Prometheus reads of a dispatcher: how actions ended here, how long that took, and what is seen of the targets.

`GET /metrics` of the status port answers it. docs/metrics.md says what each figure means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pointsman.actions.effects import State
from pointsman.actions.outbox import Outcome
from pointsman.actions.report import Report
from pointsman.api.action_target import ActionTarget

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
ENDS = (State.OBSERVED, State.REJECTED, State.UNKNOWN)


class Effects:
    """How actions ended in this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._ended = Counter(
            "pointsman_effects",
            "Actions that ended, by how.",
            ("target", "operation", "state"),
            registry=self.registry,
        )
        self._retries = Counter(
            "pointsman_effect_retries",
            "Attempts after which an action waits for another.",
            ("target",),
            registry=self.registry,
        )
        self._fenced = Counter(
            "pointsman_effects_fenced",
            "Outcomes that were dropped, since another dispatcher had taken the action over.",
            ("target",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "pointsman_effect_seconds",
            "From the decision, or the verdict, that asked for an action to its observed effect.",
            ("target",),
            buckets=SECONDS,
            registry=self.registry,
        )

    def expect(self, target: ActionTarget) -> None:
        """Have the target's series there before anything happens, so that the first action is counted too."""
        name = target.metadata.name
        for operation in target.spec.operations:
            for state in ENDS:
                self._ended.labels(name, operation.name, state.value)
        for each in (self._retries, self._fenced, self._seconds):
            each.labels(name)

    def ended(self, outcome: Outcome) -> None:
        """An action has ended, and that is written."""
        claim, state = outcome.claim, outcome.step.effect.state
        self._ended.labels(claim.target, claim.operation, state.value).inc()
        if state is State.OBSERVED:
            self._seconds.labels(claim.target).observe((outcome.at - claim.created_at).total_seconds())

    def again(self, target: str) -> None:
        """An action waits for another attempt."""
        self._retries.labels(target).inc()

    def fenced(self, target: str) -> None:
        """An outcome was dropped."""
        self._fenced.labels(target).inc()


class Targets(Collector):
    """What is seen of the targets, by their names."""

    def __init__(self, report: Report, targets: Mapping[str, ActionTarget]) -> None:
        self._report, self._targets = report, targets

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        answers = _gauge("answers", "1 where a connection can be made to it.")
        held = _gauge("held", "1 where its actions wait, and why.", "reason")
        left = _gauge("budget_left", "How many more actions its budget allows now.")
        limit = _gauge("budget_limit", "How many actions its budget allows in a window.")
        for name, seen in self._report.targets.items():
            if seen.answers is not None:
                answers.add_metric([name], seen.answers)
            held.add_metric([name, seen.held or ""], seen.held is not None)
            if seen.budget_left is not None:
                left.add_metric([name], seen.budget_left)
        for name, target in self._targets.items():
            if target.spec.budget is not None:
                limit.add_metric([name], target.spec.budget.limit)
        yield from (answers, held, left, limit)


def exposition(effects: Effects, report: Report, targets: Mapping[str, ActionTarget]) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Targets(report, targets))
    return generate_latest(effects.registry) + generate_latest(registry)


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pointsman_target_{name}", meaning, labels=("target", *labels))
