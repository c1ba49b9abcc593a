"""The serving runtimes and the storage containers of this release, as KServe's objects: `manifests/runtimes` is made of them.

python -m pointsman_operator.resources.runtimes [--check]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pointsman_operator.resources import pods, source
from pointsman_operator.resources.inference_service import GRPC, HTTP, RUNTIMES
from pointsman_operator.resources.surroundings import TRITON_METRICS
from pointsman_operator.seen import CLUSTER_SERVING_RUNTIME
from pointsman_operator.settings import RELEASE, Settings

SERVING_IMAGE = f"ghcr.io/pointsman/serving:{RELEASE}"
KSERVE_PYTHON_IMAGE = f"ghcr.io/pointsman/kserve-python:{RELEASE}"
STORAGE_IMAGE = f"ghcr.io/pointsman/storage:{RELEASE}"
BENTOML_IMAGE = f"ghcr.io/pointsman/bentoml:{RELEASE}"
TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:26.07-py3"
MODELS = "/mnt/models"


def documents() -> dict[str, dict[str, Any]]:
    """Every object, by its name."""
    made = (_native(), _kserve_python(), _bento(), _triton(), _registry(), _addresses(), _volume())
    return {each["metadata"]["name"]: each for each in made}


def _native() -> dict[str, Any]:
    command = ["python", "-m", "pointsman_serving.native"]
    arguments = [f"--model-dir={MODELS}", "--host=0.0.0.0", f"--http-port={HTTP}", f"--grpc-port={GRPC}"]
    container = _container(SERVING_IMAGE, command, arguments, metrics=HTTP)
    return _runtime("Native", container, formats=["onnx"])


def _kserve_python() -> dict[str, Any]:
    command = ["python", "-m", "pointsman_serving.kserve_python"]
    arguments = [
        f"--model-dir={MODELS}",
        "--folder=/tmp/server",
        "--host=0.0.0.0",
        f"--http-port={HTTP}",
        f"--grpc-port={GRPC}",
    ]
    return _runtime("KServePython", _container(KSERVE_PYTHON_IMAGE, command, arguments, metrics=HTTP), formats=["onnx"])


def _bento() -> dict[str, Any]:
    command = ["python", "-m", "pointsman_serving.bento.server"]
    arguments = [f"--model-dir={MODELS}", "--folder=/tmp/server", "--host=0.0.0.0", f"--http-port={HTTP}"]
    return _runtime(
        "BentoML", _container(BENTOML_IMAGE, command, arguments, metrics=HTTP, grpc=False), formats=["onnx"]
    )


def _triton() -> dict[str, Any]:
    closed = "shared-memory,model-repository,statistics,trace,logging:pointsman-closed=never"
    arguments = [
        f"--model-repository={MODELS}",
        f"--http-port={HTTP}",
        f"--grpc-port={GRPC}",
        f"--metrics-port={TRITON_METRICS}",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--model-control-mode=none",
        f"--http-restricted-api={closed}",
        f"--grpc-restricted-protocol={closed}",
    ]
    container = _container(TRITON_IMAGE, ["tritonserver"], arguments, metrics=TRITON_METRICS)
    return _runtime("Triton", container, formats=["onnx", "tensorrt", "triton"])


def _container(
    image: str, command: list[str], arguments: list[str], *, metrics: int, grpc: bool = True
) -> dict[str, Any]:
    """The container that serves. It is ready when the model is loaded and has answered, not when a port is open."""
    ports = [("http1", HTTP)]
    ports += [("grpc-oip", GRPC)] if grpc else []
    ports += [("metrics", metrics)] if metrics != HTTP else []
    ready = {"httpGet": {"path": "/v2/health/ready", "port": HTTP}, "timeoutSeconds": 5}
    live = {"httpGet": {"path": "/v2/health/live", "port": HTTP}, "timeoutSeconds": 5}
    return {
        "name": "kserve-container",
        "image": image,
        "command": command,
        "args": arguments,
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "resources": {"requests": dict(pods.DEFAULT_REQUESTS), "limits": {"memory": pods.DEFAULT_REQUESTS["memory"]}},
        "securityContext": dict(pods.CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": dict(pods.PRE_STOP),
        "startupProbe": {**ready, "periodSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 3},
        "volumeMounts": [dict(pods.SCRATCH_MOUNT)],
    }


def _runtime(type_: str, container: Mapping[str, Any], *, formats: Iterable[str]) -> dict[str, Any]:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    return {
        "apiVersion": CLUSTER_SERVING_RUNTIME.api_version,
        "kind": CLUSTER_SERVING_RUNTIME.name,
        "metadata": {"name": RUNTIMES[type_]},
        "spec": {
            "annotations": {
                "prometheus.kserve.io/port": str(ports.get("metrics", ports["http1"])),
                "prometheus.kserve.io/path": "/metrics",
            },
            "supportedModelFormats": [{"name": name} for name in formats],
            "protocolVersions": ["v2", *(["grpc-v2"] if "grpc-oip" in ports else [])],
            "containers": [dict(container)],
            "volumes": [dict(pods.SCRATCH)],
        },
    }


def _registry() -> dict[str, Any]:
    """Fetches what the registry has."""
    url = {"name": "POINTSMAN_REGISTRY_URL", "value": Settings().registry_url}
    return _storage("pointsman-registry", SERVING_IMAGE, source.REGISTERED, environment=[url])


def _addresses() -> dict[str, Any]:
    """Fetches from elsewhere, by KServe's clients."""
    return _storage("pointsman-storage", STORAGE_IMAGE, source.ADDRESSED)


def _volume() -> dict[str, Any]:
    """Copies what the pod has mounted."""
    mount = {"name": source.VOLUME, "mountPath": source.FOLDER, "readOnly": True}
    return _storage("pointsman-volume", SERVING_IMAGE, source.MOUNTED, mounts=[mount])


def _storage(
    name: str, image: str, prefix: str, *, environment: Iterable[Any] = (), mounts: Iterable[Any] = ()
) -> dict[str, Any]:
    """KServe gives it the address and the folder as its arguments, and the credentials of the pods' ServiceAccount."""
    container = {
        "name": "storage-initializer",
        "image": image,
        "command": ["python", "-m", "pointsman_serving.fetch"],
        "env": [*environment, {"name": "HOME", "value": "/tmp"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": dict(pods.CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if mounts:
        container["volumeMounts"] = list(mounts)
    return {
        "apiVersion": CLUSTER_SERVING_RUNTIME.api_version,
        "kind": "ClusterStorageContainer",
        "metadata": {"name": name},
        "spec": {
            "container": container,
            "supportedUriFormats": [{"prefix": prefix}],
            "workloadType": "initContainer",
        },
    }
