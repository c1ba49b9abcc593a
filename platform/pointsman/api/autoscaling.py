"""How many replicas of a model run, and who decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pointsman.api.meta import Block, Choice, Duration, Finding, Integer, Line, Quantity, refuse


class PrometheusMetric(Block):
    """A query whose value is compared with a threshold."""

    server_address: Line = Field(description="Prometheus' address.")
    query: str = Field(min_length=1, max_length=2048, description="The query; it gives one value.")
    threshold: Quantity = Field(description="The value that each replica should carry.")


class AutoscalingMetric(Choice):
    """What decides how many replicas are needed."""

    belongs: ClassVar = {
        "average_utilization": ("CPU", "Memory"),
        "average_value": ("CPU", "Memory", "RequestsPerSecond", "Concurrency"),
        "prometheus": ("Prometheus",),
    }
    needs: ClassVar = {"average_value": ("RequestsPerSecond", "Concurrency"), "prometheus": ("Prometheus",)}
    cel: ClassVar = {
        "!(self.type in ['CPU', 'Memory']) || has(self.averageUtilization) != has(self.averageValue)": (
            'types CPU and Memory need one of "averageUtilization" and "averageValue"'
        )
    }

    type: Literal["CPU", "Memory", "RequestsPerSecond", "Concurrency", "Prometheus"] = Field(
        description="What is measured: CPU, Memory, RequestsPerSecond, Concurrency or Prometheus. HPA knows CPU and "
        "Memory."
    )
    average_utilization: Integer | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Percent of the request that each replica should use, for CPU and Memory.",
    )
    average_value: Quantity | None = Field(default=None, description="The amount that each replica should carry.")
    prometheus: PrometheusMetric | None = Field(default=None, description="The query, for type Prometheus.")

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if self.type in ("CPU", "Memory") and (self.average_utilization is None) == (self.average_value is None):
            message = f'type {self.type} needs one of "averageUtilization" and "averageValue"'
            refuse(self, [Finding(path=("averageUtilization",), message=message)])
        return self


class ScalingPolicy(Block):
    """The most that may change in a period."""

    type: Literal["Pods", "Percent"] = Field(description="What value counts: Pods or Percent.")
    value: Integer = Field(ge=1, le=1000, description="The most pods, or percent of pods, that may change in a period.")
    period: Duration = Field(description="The period, in whole seconds, at most 30m.")

    @model_validator(mode="after")
    def _the_autoscaler_counts_in_seconds(self) -> Self:
        if not 0 < self.period.microseconds <= 1_800_000_000 or self.period.microseconds % 1_000_000:
            refuse(self, [Finding(path=("period",), message=f'"{self.period}" is not in whole seconds from 1s to 30m')])
        return self


class ScalingRules(Block):
    """How fast replicas may come or go."""

    stabilization_window: Duration | None = Field(
        default=None, description="How far back the autoscaler looks before it changes; default: the autoscaler's own."
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max", description="Which policy counts: Max, Min, or Disabled (no change this way). Default Max."
    )
    policies: list[ScalingPolicy] = Field(
        default_factory=list, max_length=8, description="The limits of change; default: none."
    )


class ScalingBehavior(Block):
    """How fast the number of replicas follows the metrics."""

    scale_up: ScalingRules | None = Field(
        default=None, description="How fast replicas come; default: the autoscaler's own."
    )
    scale_down: ScalingRules | None = Field(
        default=None, description="How fast replicas go; default: the autoscaler's own."
    )


class Autoscaling(Choice):
    """How many replicas run, and who decides."""

    belongs: ClassVar = {
        "replicas": ("None",),
        "min_replicas": ("HPA", "KEDA"),
        "max_replicas": ("HPA", "KEDA"),
        "metrics": ("HPA", "KEDA"),
        "behavior": ("HPA", "KEDA"),
        "polling_interval": ("KEDA",),
        "cooldown_period": ("KEDA",),
    }
    needs: ClassVar = {"max_replicas": ("HPA", "KEDA"), "metrics": ("HPA", "KEDA")}
    cel: ClassVar = {
        "!has(self.maxReplicas) || !has(self.minReplicas) || self.minReplicas <= self.maxReplicas": (
            "maxReplicas is not below minReplicas"
        ),
        "self.type != 'HPA' || !has(self.minReplicas) || self.minReplicas > 0": "HPA cannot go to 0 replicas",
        "self.type != 'HPA' || !has(self.metrics) || self.metrics.all(m, m.type in ['CPU', 'Memory'])": (
            "HPA knows the metrics CPU and Memory only"
        ),
    }

    type: Literal["None", "HPA", "KEDA", "External"] = Field(
        default="None",
        description="None (a fixed number), HPA, KEDA, or External: someone else sets the number and Pointsman "
        "leaves it alone. Default None.",
    )
    replicas: Integer = Field(default=1, ge=0, le=1000, description="The number of replicas, for type None. Default 1.")
    min_replicas: Integer = Field(
        default=1, ge=0, le=1000, description="The fewest replicas, for HPA and KEDA; 0 with KEDA only. Default 1."
    )
    max_replicas: Integer | None = Field(
        default=None, ge=1, le=1000, description="The most replicas, for HPA and KEDA."
    )
    metrics: list[AutoscalingMetric] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="What decides the number, for HPA and KEDA; the largest answer counts.",
    )
    behavior: ScalingBehavior | None = Field(
        default=None, description="How fast the number follows, for HPA and KEDA; default: the autoscaler's own."
    )
    polling_interval: Duration | None = Field(default=None, description="How often KEDA asks; default: KEDA's own.")
    cooldown_period: Duration | None = Field(
        default=None,
        description="How long KEDA waits after the last activity before it goes to 0; default: KEDA's own.",
    )

    @model_validator(mode="after")
    def _the_autoscaler_can_honour_them(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            message = f"maxReplicas {self.max_replicas} is below minReplicas {self.min_replicas}"
            yield Finding(path=("maxReplicas",), message=message)
        if self.type != "HPA":
            return
        if self.min_replicas == 0:
            yield Finding(
                path=("minReplicas",), message="HPA cannot go to 0 replicas", hint="use type KEDA, or minReplicas: 1"
            )
        for position, metric in enumerate(self.metrics or ()):
            if metric.type not in ("CPU", "Memory"):
                message = f"HPA does not know the metric {metric.type}"
                yield Finding(
                    path=("metrics", position, "type"), message=message, hint="use CPU or Memory, or type KEDA"
                )
