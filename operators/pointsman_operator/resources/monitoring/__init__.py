"""Rules by which Prometheus says that something is in trouble, and what asks Prometheus to read the operator's metrics.

One list makes both `manifests/monitoring/rules.yaml`, a plain rules file, and the PrometheusRule of Prometheus' operator.
"""

from __future__ import annotations

from typing import Any

from pointsman_operator.resources.monitoring import graph_alerts, operator_alerts
from pointsman_operator.resources.monitoring.alert import Alert
from pointsman_operator.seen import POD_MONITOR
from pointsman_operator.settings import Settings

NAME = operator_alerts.NAME
GROUPS: dict[str, tuple[Alert, ...]] = {NAME: operator_alerts.ALERTS, graph_alerts.NAME: graph_alerts.ALERTS}


def rules() -> dict[str, Any]:
    """The rules file."""
    return {"groups": [{"name": name, "rules": [each.rule() for each in alerts]} for name, alerts in GROUPS.items()]}


def documents() -> dict[str, dict[str, Any]]:
    """For Prometheus' operator, by name: the rules, and whom to read the metrics from."""
    metadata = {"name": NAME, "namespace": Settings().namespace}
    rule = {
        "apiVersion": POD_MONITOR.api_version,
        "kind": "PrometheusRule",
        "metadata": dict(metadata),
        "spec": rules(),
    }
    monitor = {
        "apiVersion": POD_MONITOR.api_version,
        "kind": POD_MONITOR.name,
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s", "honorLabels": True}],
        },
    }
    return {"prometheus-rule": rule, "pod-monitor": monitor}
