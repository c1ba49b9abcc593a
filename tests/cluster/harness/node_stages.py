"""Simulated nodes: the objects, and kwok's stages that make them Ready and keep them so."""

from __future__ import annotations

from typing import Any

import yaml

FAKE = {"kwok.x-k8s.io/node": "fake"}  # the annotation by which kwok knows the nodes it plays

_STAGE_STATUS = (
    yaml.safe_dump(
        {
            "phase": "Running",
            "addresses": [
                {"type": "InternalIP", "address": "{{ NodeIP }}"},
                {"type": "Hostname", "address": "{{ NodeName }}"},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "kwok",
                "kernelVersion": "kwok",
                "kubeProxyVersion": "kwok",
                "kubeletVersion": "kwok",
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "",
                "systemUUID": "",
            },
        }
    )
    + """
conditions:
{{ $now := Now }}
{{ range NodeConditions }}
- type: '{{ .type }}'
  status: '{{ .status }}'
  reason: '{{ .reason }}'
  message: '{{ .message }}'
  lastHeartbeatTime: '{{ $now }}'
  lastTransitionTime: '{{ $now }}'
{{ end }}
"""
)


def node(name: str, gpus: int = 0, cpus: int = 64, memory: str = "256Gi") -> dict[str, Any]:
    """A node for the scheduler; to be created, not applied, as its status comes with it."""
    room = {"cpu": str(cpus), "memory": memory, "pods": "1000", "ephemeral-storage": "1Ti"}
    if gpus:
        room["nvidia.com/gpu"] = str(gpus)
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if gpus:
        labels["nvidia.com/gpu.present"] = "true"  # as NVIDIA's feature discovery labels it
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": FAKE, "labels": labels},
        "status": {"capacity": room, "allocatable": room},
    }


def stages() -> list[dict[str, Any]]:
    """One stage: a node that is not Ready becomes so. After that kwok renews its Lease, as a kubelet does."""
    not_ready = {
        "key": '.status.conditions[] | select(.type == "Ready") | .status',
        "operator": "NotIn",
        "values": ["True"],
    }
    return [
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Stage",
            "metadata": {"name": "node-ready"},
            "spec": {
                "resourceRef": {"apiGroup": "v1", "kind": "Node"},
                "selector": {"matchExpressions": [not_ready]},
                "next": {"statusTemplate": _STAGE_STATUS},
            },
        }
    ]
