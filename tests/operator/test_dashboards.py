"""Grafana's dashboards: laid out without gaps or overlaps, found by its sidecar, with the promises where they are measured."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from pointsman_operator.resources.dashboards import DASHBOARDS, documents
from pointsman_operator.resources.dashboards.panels import COLUMNS

GRAFANA: dict[str, Any] = {
    name: json.loads(text) for each in documents().values() for name, text in each["data"].items()
}


@pytest.mark.parametrize("name", GRAFANA)
def test_panels_lie_beside_and_below_each_other(name: str) -> None:
    places = [each["gridPos"] for each in GRAFANA[name]["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert len({each["id"] for each in GRAFANA[name]["panels"]}) == len(places)
    for row in range(max(place["y"] + place["h"] for place in places)):
        covered = sum(place["w"] for place in places if place["y"] <= row < place["y"] + place["h"])
        assert covered == COLUMNS, f"row {row} has a gap"


def test_the_sidecar_finds_each_lens_and_each_finds_the_others() -> None:
    assert [each.name for each in DASHBOARDS] == ["engineering", "model", "business"]
    assert all(each["metadata"]["labels"] == {"grafana_dashboard": "1"} for each in documents().values())
    for dashboard in GRAFANA.values():
        assert dashboard["links"][0]["tags"] == dashboard["tags"]
        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "namespace", "graph"]


@pytest.mark.parametrize(
    ("lens", "panel", "limits"),
    [
        ("engineering", "p50, callers that wait", [0.05]),
        ("engineering", "p95, callers that wait", [0.2]),
        ("engineering", "Model calls", [0.05, 0.2]),
        ("model", "Goes to people", [0.05, 0.2]),
        ("business", "Given to people", [0.05, 0.2]),
        ("business", "Actions that failed", [0.001, 0.01]),
    ],
)
def test_the_promises_are_limits(lens: str, panel: str, limits: list[float]) -> None:
    found = [each for each in GRAFANA[f"pointsman-{lens}.json"]["panels"] if each["title"] == panel]
    assert found
    for each in found:
        steps = each["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, *limits]
