"""What a ModelDeployment on a cluster says of itself, waited for as a fact."""

from __future__ import annotations

from typing import Any

from harness.cluster import Cluster
from harness.pod_stages import ANNOTATION, Behaviour
from harness.waiting import wait_for

URI = "models:/{}@champion"
"""A reference to the registered model of this name"""


def seen(cluster: Cluster, namespace: str, name: str = "fraud") -> dict[str, Any]:
    return cluster.get("modeldeployment", name, namespace)


def condition(raw: dict[str, Any], type_: str = "Ready") -> dict[str, Any]:
    conditions = raw.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == type_), {})


def ready(cluster: Cluster, namespace: str, name: str = "fraud") -> dict[str, Any]:
    """Wait until it is Ready, for its newest generation; what it is then."""

    def is_ready() -> dict[str, Any] | None:
        raw = seen(cluster, namespace, name)
        said = condition(raw)
        is_current = said.get("observedGeneration") == raw["metadata"]["generation"]
        return raw if said.get("status") == "True" and is_current else None

    return wait_for("the ModelDeployment is Ready", is_ready, seconds=60)


def says(
    cluster: Cluster, namespace: str, reason: str, type_: str = "Ready", status: str = "False", *, name: str = "fraud"
) -> dict[str, Any]:
    """Wait until a condition has this status and reason; the condition."""

    def found() -> dict[str, Any] | None:
        said = condition(seen(cluster, namespace, name), type_)
        return said if (said.get("status"), said.get("reason")) == (status, reason) else None

    try:
        return wait_for(f"{type_} is {status} for {reason}", found, seconds=60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen(cluster, namespace, name).get('status')}") from None


def behaving(behaviour: Behaviour) -> dict[str, Any]:
    return {"metadata": {"annotations": {ANNOTATION: behaviour}}}
