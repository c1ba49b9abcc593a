"""Objects that tests of clusters apply: pods that pass the restricted level, an InferenceService and its runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.images import PYTHON
from harness.pod_stages import ANNOTATION, Behaviour

Object = dict[str, Any]

RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(
    *,
    image: str = PYTHON,
    command: Sequence[str] | None = None,
    memory: str = "64Mi",
    gpus: int = 0,
    name: str = "main",
) -> Object:
    """A container within the restricted level; a GPU is a limit, as Kubernetes wants it."""
    limits = {"cpu": "500m", "memory": memory, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    made: Object = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": RESTRICTED,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": limits},
    }
    return made if command is None else {**made, "command": list(command)}


def pod(name: str, namespace: str, behaviour: Behaviour | None = None, **of_container: Any) -> Object:
    """One pod of one container; what it does on a simulated node is its annotation's."""
    annotations = {ANNOTATION: behaviour} if behaviour else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container(**of_container)]},
    }


def deployment(name: str, namespace: str, replicas: int = 1, environment: Mapping[str, str] | None = None) -> Object:
    """A Deployment of the test image, ready when it answers on 8080."""
    answers = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    variables = [{"name": key, "value": value} for key, value in (environment or {}).items()]
    of_pod = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{**container(), "env": variables, "readinessProbe": answers}],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": of_pod},
        },
    }


def service(name: str, namespace: str) -> Object:
    """A Service on port 80 for the Deployment of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def serving_runtime(namespace: str, gpus: int = 0) -> Object:
    """A ServingRuntime for ONNX in this namespace, whose container is the test image."""
    served = container(name="kserve-container", gpus=gpus)
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "test", "namespace": namespace},
        "spec": {
            "supportedModelFormats": [{"name": "onnx", "version": "1"}],
            "protocolVersions": ["v2"],
            "containers": [{**served, "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}]}],
        },
    }


def inference_service(
    name: str, namespace: str, *, storage: str = "test-artifacts:/test", behaviour: Behaviour | None = None
) -> Object:
    """An InferenceService as the operator makes them: Standard mode, cluster-local, scaled from outside.

    Never without a storage: KServe takes that for serving many models, and adds an agent whose image it pulls.
    """
    model = {"modelFormat": {"name": "onnx"}, "runtime": "test", "protocolVersion": "v2", "storageUri": storage}
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "external",
        **({ANNOTATION: behaviour} if behaviour else {}),
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": annotations,
        },
        "spec": {"predictor": {"minReplicas": 1, "model": model}},
    }


def storage_initializer() -> Object:
    """The whole cluster's container for models named `test-artifacts:/…`: within the restricted level, it does nothing."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": "test"},
        "spec": {
            "container": container(name="storage-initializer", command=["python3", "-c", "pass"]),
            "supportedUriFormats": [{"prefix": "test-artifacts:/"}],
            "workloadType": "initContainer",
        },
    }


def refusing(
    namespace: str, url: str, bundle: str, resource: str = "configmaps", group: str = "", version: str = "v1"
) -> Object:
    """A webhook configuration, named like the namespace, by which this URL is asked about what is made of a resource there."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "test.pointsman.dev",
                "clientConfig": {"url": url, "caBundle": bundle},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": [resource]}
                ],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
