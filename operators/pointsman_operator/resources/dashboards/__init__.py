"""Grafana's dashboards, three lenses on one system, as ConfigMaps that its sidecar finds by their label."""

from __future__ import annotations

import json
from typing import Any

from pointsman_operator.resources.dashboards.business import BUSINESS
from pointsman_operator.resources.dashboards.engineering import ENGINEERING
from pointsman_operator.resources.dashboards.model import MODEL
from pointsman_operator.resources.dashboards.panels import grafana
from pointsman_operator.settings import Settings

DASHBOARDS = (ENGINEERING, MODEL, BUSINESS)
LABEL = {"grafana_dashboard": "1"}
"""What the sidecar of Grafana's Helm chart looks for"""


def documents() -> dict[str, dict[str, Any]]:
    """The ConfigMaps by name."""
    return {
        f"pointsman-{each.name}": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"pointsman-dashboard-{each.name}",
                "namespace": Settings().namespace,
                "labels": LABEL,
                "annotations": {"grafana_folder": "Pointsman"},
            },
            "data": {f"pointsman-{each.name}.json": json.dumps(grafana(each), indent=1) + "\n"},
        }
        for each in DASHBOARDS
    }
