"""A revision's InferenceService: Standard mode, reached from inside alone, its replicas left to us.

Its storage is always given: KServe takes one without for serving many models, and adds an agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import orjson

from pointsman.api.model_deployment import ModelDeployment, ModelDeploymentSpec
from pointsman.api.model_runtime import ContainerRuntime
from pointsman.deployments.plan import Pinned
from pointsman_operator import names
from pointsman_operator.resources import metadata, pods, source
from pointsman_operator.seen import INFERENCE_SERVICE, Child, Raw

RUNTIMES: Mapping[str, str] = MappingProxyType(
    {
        "Native": "pointsman-native",
        "Triton": "pointsman-triton",
        "KServePython": "pointsman-kserve-python",
        "BentoML": "pointsman-bento",
    }
)
"""The serving runtimes of this release, by the type that asks for them"""
ANNOTATIONS: Mapping[str, str] = MappingProxyType(
    {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "external"}
)
LABELS: Mapping[str, str] = MappingProxyType({"networking.kserve.io/visibility": "cluster-local"})
FORMATS: Mapping[str, str] = MappingProxyType(
    {"Safetensors": "safetensors", "Skops": "skops", "XGBoost": "xgboost", "LightGBM": "lightgbm",
     "TensorRT": "tensorrt", "TritonRepository": "triton"}
)  # fmt: skip
"""KServe's names of formats; all else is onnx"""
HTTP, GRPC = 8080, 9000
"""The ports of our runtimes"""
HTTP_ALONE = frozenset({"BentoML", "ServingRuntime"})
"""Those of which no gRPC is offered: BentoML's speaks a protocol of its own, and of another's runtime nothing is known"""


def shape(spec: ModelDeploymentSpec) -> str:
    """A digest of what surrounds the model in its pods: another one makes another revision.

    Only what was written counts, so that another default of a later release moves nothing.
    """
    written = spec.model_dump(
        mode="json",
        exclude_unset=True,
        exclude_none=True,
        include={"runtime", "resources", "pod_template", "batching"},
    )
    return sha256(orjson.dumps(written, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def inference_service(owner: Raw, deployment: ModelDeployment, pinned: Pinned) -> Child:
    """The InferenceService of a revision, which runs `deployment` as it is written now."""
    spec = deployment.spec
    template = spec.pod_template.metadata if spec.pod_template is not None else None
    predictor: dict[str, Any] = pods.of_pod(deployment.name, pinned.revision, spec)
    for field, values in source.beside(pinned).items():
        predictor[field] = [*predictor.get(field, ()), *values]
    if template is not None and template.labels:
        predictor["labels"] = dict(template.labels)
    if template is not None and template.annotations:
        predictor["annotations"] = dict(template.annotations)
    if spec.runtime.container is not None:
        predictor["containers"] = [_container(deployment, spec.runtime.container, pinned)]
    else:
        predictor["model"] = _model(deployment, pinned)
    return metadata.child(
        owner,
        INFERENCE_SERVICE,
        names.inference_service(deployment.name, pinned),
        revision=pinned.revision,
        labels=LABELS,
        annotations=ANNOTATIONS,
        spec={"predictor": predictor},
    )


def runtime_name(spec: ModelDeploymentSpec) -> str | None:
    """The serving runtime that runs it; None where its own container does."""
    if spec.runtime.serving_runtime_ref is not None:
        return spec.runtime.serving_runtime_ref.name
    return RUNTIMES.get(spec.runtime.type)


def ports(spec: ModelDeploymentSpec) -> tuple[int, int | None]:
    """Where the pods speak Open Inference Protocol: HTTP, and gRPC where they do."""
    container = spec.runtime.container
    if container is not None:
        return container.http_port, container.grpc_port
    return HTTP, None if spec.runtime.type in HTTP_ALONE else GRPC


def _model(deployment: ModelDeployment, pinned: Pinned) -> dict[str, Any]:
    spec = deployment.spec
    model: dict[str, Any] = {
        "modelFormat": {"name": FORMATS.get(spec.model.format or "", "onnx")},
        "protocolVersion": "v2",
        "runtime": runtime_name(spec),
        "storageUri": source.address(deployment, pinned),
        "resources": pods.resources(spec),
    }
    image = _image(spec)
    if image is not None:
        model["image"] = image
    if spec.runtime.type in ("Native", "KServePython", "BentoML"):
        model["args"] = [
            f"--name={deployment.name}",
            f"--version={pinned.version}",
            f"--digest={pinned.digest}",
        ]
    if spec.runtime.type in ("Native", "BentoML") and "max_batch_size" in spec.batching.model_fields_set:
        model["args"].append(f"--max-batch-size={spec.batching.max_batch_size}")
    return model


def _image(spec: ModelDeploymentSpec) -> str | None:
    """The image that was asked for in place of this release's."""
    chosen = spec.runtime.triton or spec.runtime.kserve_python or spec.runtime.bentoml
    return chosen.image if chosen is not None else None


def _container(deployment: ModelDeployment, runtime: ContainerRuntime, pinned: Pinned) -> dict[str, Any]:
    ready = {"httpGet": {"path": "/v2/health/ready", "port": runtime.http_port}}
    found: dict[str, Any] = {
        "name": "kserve-container",
        "image": runtime.image,
        "ports": [{"name": "http1", "containerPort": runtime.http_port, "protocol": "TCP"}],
        "env": [
            {"name": "STORAGE_URI", "value": source.address(deployment, pinned)},
            *(_variable(each) for each in runtime.env),
        ],
        "resources": pods.resources(deployment.spec),
        "securityContext": {**pods.CONTAINER_SECURITY, "readOnlyRootFilesystem": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": pods.PRE_STOP,
        "startupProbe": {**ready, "periodSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": runtime.http_port}, "periodSeconds": 10},
    }
    if runtime.grpc_port is not None:
        found["ports"].append({"name": "grpc-oip", "containerPort": runtime.grpc_port, "protocol": "TCP"})
    if runtime.command:
        found["command"] = list(runtime.command)
    if runtime.args:
        found["args"] = list(runtime.args)
    return found


def _variable(variable: Any) -> dict[str, Any]:
    found: dict[str, Any] = variable.model_dump(mode="json", exclude_none=True)
    return found
