"""ModelDeployment: one model endpoint. Which model, what runs it, with what, how it scales, and how it is replaced."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pointsman.api.action_target import RiskTier
from pointsman.api.autoscaling import Autoscaling
from pointsman.api.meta import (
    Block,
    Choice,
    Digest,
    Duration,
    Finding,
    Integer,
    Line,
    ObjectName,
    Percent,
    PodTemplate,
    Resource,
    refuse,
)
from pointsman.api.model_runtime import ModelRuntime
from pointsman.api.resources import Resources

Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$", max_length=253
    ),
]


class ModelReference(Block):
    """Which model. It is resolved once, pinned by digest, and never re-read behind your back."""

    cel: ClassVar = {"self.uri.startsWith('models:/') || has(self.digest)": "an address that can change needs a digest"}

    uri: str = Field(
        pattern=r"^(models:/[^\s/@]+(/[1-9][0-9]*|@[^\s/@]+)|runs:/[^\s]+|(s3|gs|oci|pvc|hf|https|file)://[^\s]+)$",
        max_length=2048,
        description="models:/name@alias or models:/name/version of the registry, or an address (runs:/, s3://, "
        "gs://, oci://, pvc://, hf://, https://, file://), which needs digest.",
    )
    digest: Digest | None = Field(
        default=None,
        description="The SHA-256 of the model's manifest; another content is refused. Default for models:/: pinned "
        "when resolved.",
    )
    format: Literal["ONNX", "Safetensors", "Skops", "XGBoost", "LightGBM", "TensorRT", "TritonRepository"] | None = (
        Field(
            default=None,
            description="How the model is stored: ONNX, Safetensors, Skops, XGBoost, LightGBM, TensorRT or "
            "TritonRepository; default: read from the artifact.",
        )
    )

    @model_validator(mode="after")
    def _what_can_change_is_pinned(self) -> Self:
        if not self.uri.startswith("models:/") and self.digest is None:
            message = f'"{self.uri}" can change behind its address, so it needs "digest"'
            refuse(self, [Finding(path=("digest",), message=message, hint="digest: sha256:…")])
        return self


class Batching(Block):
    """How requests are joined before the model sees them."""

    max_batch_size: Integer = Field(
        default=256, ge=1, le=65_536, description="The most rows of one inference. Default 256."
    )
    max_queue_delay_microseconds: Integer = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="How long a request may wait for others to join it. Default 0: whatever is waiting goes at once.",
    )


class ParentRef(Block):
    """A Gateway that the route joins."""

    name: ObjectName = Field(description="The Gateway's name.")
    namespace: ObjectName | None = Field(default=None, description="The Gateway's namespace; default: the same.")
    section_name: ObjectName | None = Field(default=None, description="The Gateway's listener; default: all that fit.")
    port: Integer | None = Field(
        default=None, ge=1, le=65535, description="The listener's port; default: all that fit."
    )


class Route(Block):
    """How the model is reached from outside."""

    parent_refs: list[ParentRef] = Field(min_length=1, max_length=8, description="The Gateways that the route joins.")
    hostnames: list[Hostname] = Field(
        default_factory=list, max_length=16, description="The host names; default: those of the Gateway's listeners."
    )


class LatencyObjective(Block):
    """The share of requests that must be answered in time."""

    threshold: Duration = Field(description="The time within which a request counts as in time.")
    objective: Percent = Field(description='The share of requests that must be in time, such as "95%".')


class SLO(Block):
    """What the endpoint promises; canaries are measured by it."""

    cel: ClassVar = {"has(self.availability) || has(self.latency)": 'needs "availability", "latency" or both'}

    window: Duration = Field(
        default=Duration("720h"), description="The window over which the promise holds. Default 720h."
    )
    availability: Percent | None = Field(
        default=None,
        description='The share of requests answered without a server error, such as "99.9%"; default: none.',
    )
    latency: LatencyObjective | None = Field(default=None, description="How fast requests are answered; default: none.")

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if self.availability is None and self.latency is None:
            refuse(self, [Finding(path=("availability",), message='needs "availability", "latency" or both')])
        return self


class Pause(Block):
    """A wait between steps. Without a duration it lasts until a person promotes."""

    duration: Duration | None = Field(default=None, description="How long to wait; default: until a person promotes.")


class RolloutStep(Block):
    """One step of a canary."""

    traffic_percent: Integer = Field(ge=0, le=100, description="The share of traffic that the new revision gets.")
    pause: Pause | None = Field(default=None, description="The wait after this step; default: none.")


class ShadowSettings(Block):
    """How the new revision is tried on copies of requests, whose answers nobody gets."""

    traffic_percent: Integer = Field(
        default=100, ge=1, le=100, description="The share of requests that is copied. Default 100."
    )
    duration: Duration | None = Field(default=None, description="How long; default: until a person promotes.")


class Rollout(Choice):
    """How a new revision takes over."""

    belongs: ClassVar = {"steps": ("Canary",), "shadow": ("Shadow",)}
    needs: ClassVar = {"steps": ("Canary",)}

    type: Literal["RollingUpdate", "Recreate", "Canary", "Shadow"] = Field(
        default="RollingUpdate",
        description="RollingUpdate, Recreate (the old one ends first), Canary (by steps) or Shadow (on copies). "
        "Default RollingUpdate.",
    )
    steps: list[RolloutStep] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="The steps of a Canary, with growing traffic; 100 follows the last one.",
    )
    shadow: ShadowSettings | None = Field(
        default=None, description="Settings of type Shadow; default: those of its fields."
    )

    @model_validator(mode="after")
    def _traffic_grows(self) -> Self:
        shares = [step.traffic_percent for step in self.steps or ()]
        findings = [
            Finding(
                path=("steps", place, "trafficPercent"),
                message=f"{share} is not above {shares[place - 1]}, the step before",
            )
            for place, share in enumerate(shares)
            if place and share <= shares[place - 1]
        ]
        refuse(self, findings)
        return self


class Governance(Block):
    """Who answers for the model."""

    owner: Line = Field(description="The person or team that answers for the model.")
    risk_tier: RiskTier = Field(description="How much harm a wrong answer does: Low, Medium or High.")
    purpose: str | None = Field(default=None, max_length=1024, description="What the model is for; default: none.")
    contact: Line | None = Field(default=None, description="Where the owner is reached; default: none.")


class ModelDeploymentSpec(Block):
    """The model and everything about serving it."""

    model: ModelReference = Field(description="Which model.")
    runtime: ModelRuntime = Field(default_factory=ModelRuntime, description="What runs it; default: type Native.")
    resources: Resources = Field(
        default_factory=Resources, description="What each replica asks for and may use; default: nothing."
    )
    pod_template: PodTemplate | None = Field(
        default=None, description="What is merged into the pods; default: nothing."
    )
    batching: Batching = Field(
        default_factory=Batching, description="How requests are joined; default: those of its fields."
    )
    autoscaling: Autoscaling = Field(
        default_factory=Autoscaling, description="How many replicas run; default: one, fixed."
    )
    route: Route | None = Field(default=None, description="How it is reached from outside; default: only from inside.")
    slo: SLO | None = Field(default=None, description="What it promises; default: nothing.")
    rollout: Rollout = Field(
        default_factory=Rollout, description="How a new revision takes over; default: type RollingUpdate."
    )
    governance: Governance | None = Field(
        default=None, description="Who answers for it; default: nobody, and status says so."
    )


class ModelDeployment(Resource):
    """One model endpoint: model, runtime, resources, autoscaling, SLO, rollout and governance."""

    kind: Literal["ModelDeployment"] = Field(default="ModelDeployment", description="ModelDeployment.")
    spec: ModelDeploymentSpec = Field(description="The model and everything about serving it.")
