"""What the pods of a model get: resources, security, spread, and what the pod template adds.

What is not asked for gets the defaults that stand here. A pod template is merged as Kubernetes merges: its maps into ours, its
other values in place of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.api.model_deployment import ModelDeploymentSpec
from pointsman_operator import names

DEFAULT_REQUESTS: Mapping[str, str] = {"cpu": "500m", "memory": "1Gi"}
"""For a replica that asks for nothing. Its memory is limited to what it asks for; its CPU is not limited."""
USER = 65532
"""Who runs in the images of this release"""
GRACE_SECONDS = 45
"""How long a pod may take to end: the wait before it hears of it, and what is under way then"""

CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The restricted Pod Security level, and no writing beside the volumes"""
PRE_STOP: Mapping[str, Any] = {"preStop": {"sleep": {"seconds": 5}}}
"""A pod that ends is asked until everybody has heard of it"""
SCRATCH: Mapping[str, Any] = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
SCRATCH_MOUNT: Mapping[str, Any] = {"name": "scratch", "mountPath": "/tmp"}


def resources(spec: ModelDeploymentSpec) -> dict[str, dict[str, str]]:
    """What a replica asks for and may use. A limit that stands alone is asked for too."""
    limits = {name: str(amount) for name, amount in spec.resources.limits.items()}
    given = {name: str(amount) for name, amount in spec.resources.requests.items()}
    requests = {**DEFAULT_REQUESTS, **limits, **given}
    limits.setdefault("memory", requests["memory"])
    return {"limits": limits, "requests": requests}


def of_pod(name: str, revision: str, spec: ModelDeploymentSpec) -> dict[str, Any]:
    """The fields of the pods' spec beside their containers, the pod template merged in."""
    ours: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.labels(name, revision)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }
    return merged(ours, spec.pod_template.spec if spec.pod_template is not None else {})


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Maps into maps, to any depth; every other value of theirs in place of ours."""
    found = dict(ours)
    for key, value in theirs.items():
        mine = found.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            found[key] = merged(mine, value)
        else:
            found[key] = value
    return found
