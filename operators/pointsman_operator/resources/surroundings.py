"""What stands around a model's pods: who may reach them, and who measures them."""

from __future__ import annotations

from pointsman.api.model_deployment import ModelDeploymentSpec
from pointsman_operator import names
from pointsman_operator.resources.inference_service import RUNTIMES, ports
from pointsman_operator.resources.metadata import child, hashed
from pointsman_operator.seen import NETWORK_POLICY, POD_MONITOR, Child, Raw

TRITON_METRICS = 8002


def network_policy(owner: Raw, spec: ModelDeploymentSpec) -> Child:
    """Pods of the cluster reach the ports of Open Inference Protocol and of metrics, and nothing else.

    What the pods reach is not limited: a model's files may lie anywhere.
    """
    name = owner["metadata"]["name"]
    open_ports = [{"port": port, "protocol": "TCP"} for port in _open(spec)]
    return hashed(
        child(
            owner,
            NETWORK_POLICY,
            name,
            spec={
                "podSelector": {"matchLabels": names.labels(name)},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": {}}], "ports": open_ports}],
            },
        )
    )


def pod_monitor(owner: Raw, spec: ModelDeploymentSpec) -> Child | None:
    """Asks Prometheus' operator to read the pods' metrics, where the runtime is one of ours."""
    if spec.runtime.type not in RUNTIMES:
        return None
    name = owner["metadata"]["name"]
    endpoint = {"portNumber": _metrics(spec), "path": "/metrics", "interval": "15s"}
    labels = [names.DEPLOYMENT, names.REVISION]
    spec_ = {
        "selector": {"matchLabels": names.labels(name)},
        "podTargetLabels": labels,
        "podMetricsEndpoints": [endpoint],
    }
    return hashed(child(owner, POD_MONITOR, name, spec=spec_))


def _open(spec: ModelDeploymentSpec) -> list[int]:
    http, grpc = ports(spec)
    return sorted({http, _metrics(spec), *([grpc] if grpc is not None else [])})


def _metrics(spec: ModelDeploymentSpec) -> int:
    return TRITON_METRICS if spec.runtime.type == "Triton" else ports(spec)[0]
