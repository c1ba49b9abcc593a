"""The names, labels and annotations of what the operator makes. Once released they never change: objects are found by them."""

from __future__ import annotations

import re
from typing import Literal

from pointsman.deployments.plan import Pinned

MANAGER = "pointsman"
"""The field manager of everything that is written"""
MANAGED_BY = "app.kubernetes.io/managed-by"
DEPLOYMENT = "pointsman.dev/modeldeployment"
REVISION = "pointsman.dev/revision"
HASH = "pointsman.dev/hash"
"""What was written last, so that nothing is written twice"""
SELECTOR = f"{MANAGED_BY}={MANAGER}"

GRAPH = "pointsman.dev/graph"
SHAPE = "pointsman.dev/shape"
PART = "pointsman.dev/part"
Part = Literal["host", "head", "api", "dispatcher", "migrate"]
"""What a pod of a graph or of its namespace does. Decisions are asked of a host; Ray's head only keeps its cluster together."""

API = "pointsman-api"
DISPATCHER = "pointsman-dispatcher"
STORE = "pointsman-store"
"""The Secret with the store's addresses: `url` for who runs, `ownerUrl` for who migrates"""
POLICIES = "pointsman-policies"
"""The ConfigMap whose `policies.cedar` says who may do what, where the namespace's owner has made one"""
KEYS = "pointsman-keys"
"""The Secret with what the operator made up: `adminKey`, `metricsKey` and `controlToken`"""

LONGEST = 44
"""Of a ModelDeployment's name: KServe names a revision's Deployment and Service `<name>-<8 hex>-predictor`, of at most 63"""
LONGEST_GRAPH = 38
"""Of a DecisionGraph's name: KubeRay takes `<name>-<8 hex>` of at most 47, for what it appends"""
RESERVED = re.compile(
    r"^((serving\.kserve\.io|[a-z.]*knative\.dev|ray\.io|pointsman\.dev)/|app\.kubernetes\.io/managed-by$)"
)
"""Labels and annotations that a pod template may not set: what they do is decided by other fields"""


def inference_service(deployment: str, pinned: Pinned) -> str:
    """The name of a revision's InferenceService."""
    return f"{deployment}-{pinned.revision}"


def predictor(service: str) -> str:
    """The name that KServe gives to an InferenceService's Deployment and Service."""
    return f"{service}-predictor"


def labels(deployment: str, revision: str | None = None) -> dict[str, str]:
    """The labels of what belongs to a ModelDeployment, and of what belongs to one revision of it."""
    own = {MANAGED_BY: MANAGER, DEPLOYMENT: deployment}
    return own if revision is None else {**own, REVISION: revision}


def host(graph: str, shape: str) -> str:
    """The name of everything that hosts one shape of a graph: RayService or Deployment, Service, NetworkPolicy."""
    return f"{graph}-{shape}"


def graph_labels(graph: str, shape: str | None = None) -> dict[str, str]:
    """The labels of what belongs to a DecisionGraph, and of what belongs to one shape of it."""
    own = {MANAGED_BY: MANAGER, GRAPH: graph}
    return own if shape is None else {**own, SHAPE: shape}


def part_labels(part: Part) -> dict[str, str]:
    """The labels of one part of a namespace."""
    return {MANAGED_BY: MANAGER, PART: part}
