"""How many replicas a revision has, and who says so: we, once; an HPA; or someone else."""

from __future__ import annotations

from typing import Any

from pointsman.api.autoscaling import Autoscaling, AutoscalingMetric, ScalingRules
from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Pinned
from pointsman_operator import names
from pointsman_operator.resources.metadata import child, hashed
from pointsman_operator.seen import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, Child, Raw, Scale


def scale(deployment: ModelDeployment, pinned: Pinned) -> Scale | None:
    """The number to set; None where an autoscaler or someone else sets it."""
    autoscaling = deployment.spec.autoscaling
    if autoscaling.type != "None":
        return None
    service = names.inference_service(deployment.name, pinned)
    return Scale(deployment=names.predictor(service), replicas=autoscaling.replicas)


def autoscaler(owner: Raw, deployment: ModelDeployment, pinned: Pinned) -> Child | None:
    """The HorizontalPodAutoscaler of a revision, where one was asked for."""
    autoscaling = deployment.spec.autoscaling
    if autoscaling.type != "HPA":
        return None
    name = names.inference_service(deployment.name, pinned)
    target = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name, "name": names.predictor(name)}
    spec: dict[str, Any] = {
        "scaleTargetRef": target,
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [_metric(each) for each in autoscaling.metrics or ()],
    }
    behavior = _behavior(autoscaling)
    if behavior:
        spec["behavior"] = behavior
    return hashed(child(owner, AUTOSCALER, name, revision=pinned.revision, spec=spec))


def disruption_budget(owner: Raw) -> Child:
    """A node that is drained takes one replica at a time."""
    name = owner["metadata"]["name"]
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.labels(name)}}
    return hashed(child(owner, DISRUPTION_BUDGET, name, spec=spec))


def _metric(metric: AutoscalingMetric) -> dict[str, Any]:
    if metric.average_utilization is not None:
        target: dict[str, Any] = {"type": "Utilization", "averageUtilization": metric.average_utilization}
    else:
        target = {"type": "AverageValue", "averageValue": str(metric.average_value)}
    return {"type": "Resource", "resource": {"name": metric.type.lower(), "target": target}}


def _behavior(autoscaling: Autoscaling) -> dict[str, Any]:
    if autoscaling.behavior is None:
        return {}
    ways = {"scaleUp": autoscaling.behavior.scale_up, "scaleDown": autoscaling.behavior.scale_down}
    return {way: _rules(rules) for way, rules in ways.items() if rules is not None}


def _rules(rules: ScalingRules) -> dict[str, Any]:
    found: dict[str, Any] = {"selectPolicy": rules.select_policy}
    if rules.stabilization_window is not None:
        found["stabilizationWindowSeconds"] = rules.stabilization_window.microseconds // 1_000_000
    if rules.policies:
        found["policies"] = [
            {"type": each.type, "value": each.value, "periodSeconds": each.period.microseconds // 1_000_000}
            for each in rules.policies
        ]
    return found
