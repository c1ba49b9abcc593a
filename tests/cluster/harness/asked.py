"""What our dashboards and alerts ask Prometheus, read from the manifests as a user gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[3] / "manifests" / "monitoring"
RULES = MONITORING / "rules.yaml"
CHOSEN = {"$namespace": ".*", "$graph": ".*", "$__rate_interval": "1m", "$__range": "1h"}
"""What Grafana puts in for "All", and for times"""
SELECTOR = re.compile(r"pointsman_\w+(?:\{[^}]*\})?")


def by_dashboards() -> dict[str, str]:
    """Every query, by its dashboard, panel and name."""
    found = dict[str, str]()
    for file in sorted((MONITORING / "dashboards").glob("pointsman-*.yaml")):
        (text,) = yaml.safe_load(file.read_text())["data"].values()
        dashboard = json.loads(text)
        for place, query in _queries(dashboard):
            assert place not in found
            found[place] = query
    return found


def by_alerts(group: str) -> set[str]:
    """Every selection of series that an alert of the group is made of."""
    (rules,) = (each["rules"] for each in yaml.safe_load(RULES.read_text())["groups"] if each["name"] == group)
    return {selector for rule in rules for selector in SELECTOR.findall(rule["expr"])}


def _queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for variable, value in CHOSEN.items():
                query = query.replace(variable, value)
            assert "$" not in query, query
            yield f"{dashboard['title']} / {panel['id']} {panel['title']} / {target['refId']}", query
