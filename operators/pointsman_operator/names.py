"""The names, labels and annotations of what the operator makes. Once released they never change: objects are found by them."""

from __future__ import annotations

import re

from pointsman.deployments.plan import Pinned

MANAGER = "pointsman"
"""The field manager of everything that is written"""
MANAGED_BY = "app.kubernetes.io/managed-by"
DEPLOYMENT = "pointsman.dev/modeldeployment"
REVISION = "pointsman.dev/revision"
HASH = "pointsman.dev/hash"
"""What was written last, so that nothing is written twice"""
SELECTOR = f"{MANAGED_BY}={MANAGER}"

LONGEST = 44
"""Of a ModelDeployment's name: KServe names a revision's Deployment and Service `<name>-<8 hex>-predictor`, of at most 63"""
RESERVED = re.compile(r"^((serving\.kserve\.io|[a-z.]*knative\.dev|pointsman\.dev)/|app\.kubernetes\.io/managed-by$)")
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
