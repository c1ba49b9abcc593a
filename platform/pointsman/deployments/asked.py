"""What a ModelDeployment asks for beyond a model and a runtime, as paths. A world says which of them it sets aside."""

from __future__ import annotations

from collections.abc import Iterator

from pointsman.api.model_deployment import ModelDeployment, ModelDeploymentSpec


def asked(deployment: ModelDeployment) -> tuple[str, ...]:
    """The paths of what was asked for and is not simply the default, in the order of the schema."""
    return tuple(_asked(deployment.spec))


def _asked(spec: ModelDeploymentSpec) -> Iterator[str]:
    if spec.runtime.native is not None and spec.runtime.native.threads != 1:
        yield "spec.runtime.native.threads"
    if spec.runtime.triton is not None and spec.runtime.triton.image is not None:
        yield "spec.runtime.triton.image"
    if spec.runtime.kserve_python is not None and spec.runtime.kserve_python.image is not None:
        yield "spec.runtime.kservePython.image"
    if spec.runtime.bentoml is not None and spec.runtime.bentoml.image is not None:
        yield "spec.runtime.bentoml.image"
    amounts = {**spec.resources.limits, **spec.resources.requests}
    if any("/" not in name for name in amounts):
        yield "spec.resources"
    yield from (f'spec.resources.limits["{name}"]' for name in sorted(amounts) if "/" in name)
    if spec.pod_template is not None:
        yield "spec.podTemplate"
    yield from (f"spec.batching.{_camel(name)}" for name in sorted(spec.batching.model_fields_set))
    if spec.autoscaling.type != "None":
        yield "spec.autoscaling"
    elif spec.autoscaling.replicas != 1:
        yield "spec.autoscaling.replicas"
    if spec.route is not None:
        yield "spec.route"
    if spec.slo is not None:
        yield "spec.slo"
    if spec.rollout.type != "RollingUpdate":
        yield "spec.rollout"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
