"""What runs a model: our own server, Triton, KServe's Python server, BentoML, a KServe runtime, or any container."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pointsman.api.meta import Block, Choice, Finding, Image, Integer, KeyedList, Line, ObjectName, SecretKeyRef, refuse


class NativeRuntime(Block):
    """Our own ONNX server."""

    threads: Integer = Field(default=1, ge=1, le=256, description="Threads for one inference. Default 1.")


class TritonRuntime(Block):
    """NVIDIA Triton."""

    image: Image | None = Field(
        default=None, description="Triton's image; default: the one this release was tested with."
    )
    instances: Integer = Field(default=1, ge=1, le=64, description="Model instances for each GPU or CPU. Default 1.")


class KServePythonRuntime(Block):
    """A server written with KServe's Python SDK."""

    image: Image | None = Field(
        default=None, description="The image of the server; default: this release's own, which runs ONNX."
    )


class BentoMLRuntime(Block):
    """This release's BentoML service. A bento of one's own is a container: type Container with the bento's image."""

    image: Image | None = Field(
        default=None, description="An image that has this release's service in it; default: this release's own."
    )


class ServingRuntimeRef(Block):
    """A KServe serving runtime."""

    kind: Literal["ServingRuntime", "ClusterServingRuntime"] = Field(
        default="ServingRuntime",
        description="ServingRuntime (same namespace) or ClusterServingRuntime. Default ServingRuntime.",
    )
    name: ObjectName = Field(description="The name of the serving runtime.")


class EnvValueFrom(Block):
    """Where the value of an environment variable comes from."""

    secret_key_ref: SecretKeyRef = Field(description="Where the secret value is kept.")


class EnvVar(Block):
    """One environment variable."""

    cel: ClassVar = {"has(self.value) != has(self.valueFrom)": 'needs one of "value" and "valueFrom"'}

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=253, description="The variable's name.")
    value: str | None = Field(default=None, max_length=4096, description="The value. This or valueFrom.")
    value_from: EnvValueFrom | None = Field(default=None, description="Where a secret value is kept. This or value.")

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.value is None) == (self.value_from is None):
            refuse(self, [Finding(path=("value",), message='needs one of "value" and "valueFrom"')])
        return self


class ContainerRuntime(Block):
    """Any container that speaks Open Inference Protocol v2 and finds the model under /mnt/models."""

    image: Image = Field(description="The image.")
    command: list[Line] = Field(
        default_factory=list, max_length=64, description="The entry point; default: the image's own."
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=list, max_length=256, description="The arguments; default: the image's own."
    )
    env: KeyedList[EnvVar] = Field(
        default_factory=list, max_length=128, description="Environment variables; default: none."
    )
    http_port: Integer = Field(
        default=8080, ge=1, le=65535, description="The port of Open Inference Protocol over HTTP. Default 8080."
    )
    grpc_port: Integer | None = Field(
        default=None, ge=1, le=65535, description="The port of Open Inference Protocol over gRPC; default: none."
    )


class ModelRuntime(Choice):
    """What runs the model."""

    belongs: ClassVar = {
        "native": ("Native",),
        "triton": ("Triton",),
        "kserve_python": ("KServePython",),
        "bentoml": ("BentoML",),
        "serving_runtime_ref": ("ServingRuntime",),
        "container": ("Container",),
    }
    needs: ClassVar = {
        "serving_runtime_ref": ("ServingRuntime",),
        "container": ("Container",),
    }

    type: Literal["Native", "Triton", "KServePython", "BentoML", "ServingRuntime", "Container"] = Field(
        default="Native",
        description="Native (our own ONNX server), Triton, KServePython, BentoML (over HTTP alone), ServingRuntime (one "
        "of KServe's) or Container. Default Native.",
    )
    native: NativeRuntime | None = Field(
        default=None, description="Settings of type Native; default: those of its fields."
    )
    triton: TritonRuntime | None = Field(
        default=None, description="Settings of type Triton; default: those of its fields."
    )
    kserve_python: KServePythonRuntime | None = Field(
        default=None,
        alias="kservePython",
        description="Settings of type KServePython; default: those of its fields.",
    )
    bentoml: BentoMLRuntime | None = Field(
        default=None, alias="bentoml", description="Settings of type BentoML; default: those of its fields."
    )
    serving_runtime_ref: ServingRuntimeRef | None = Field(
        default=None, description="KServe's runtime, for type ServingRuntime."
    )
    container: ContainerRuntime | None = Field(default=None, description="The container, for type Container.")
