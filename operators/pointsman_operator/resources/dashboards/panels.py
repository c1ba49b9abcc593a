"""A dashboard as rows of panels, and as the JSON that Grafana reads. What is asked of Prometheus stands in the lenses.

In an expression `$S` is what the dashboard's variables select, `$N` the namespaces alone, for metrics that have no graph, and
`$R` the window of a rate. docs/metrics.md says what each metric means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

GRAPH = 'namespace=~"$namespace", graph=~"$graph"'
NAMESPACE = 'namespace=~"$namespace"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
STAT_HEIGHT, HEIGHT = 4, 8

GOOD, FAIR, BAD = "green", "orange", "red"
Limit = tuple[float | None, str]
"""From this value on, this colour; None for the first"""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked, and how the lines are named. `now` asks for one value and not for a line."""

    expression: str
    legend: str = ""
    now: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel. `meaning` is what its reader should know; limits are the promises."""

    title: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat", "table", "heatmap"] = "timeseries"
    unit: str = "short"
    meaning: str = ""
    limits: Sequence[Limit] = ()
    width: int = 8
    stacked: bool = False
    most: float | None = None
    """The top of the axis, where there is one"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels beside and below each other, under a title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One lens. `name` is part of its address in Grafana, and never changes."""

    name: str
    title: str
    meaning: str
    rows: Sequence[Row]


def query(expression: str, legend: str = "", *, now: bool = False) -> Query:
    """A query, with what is short for something filled in."""
    for short, long in (("$S", GRAPH), ("$N", NAMESPACE), ("$R", "[$__rate_interval]")):
        expression = expression.replace(short, long)
    return Query(expression=expression, legend=legend, now=now)


def lines(title: str, expressions: Mapping[str, str], **more: Any) -> Panel:
    """Figures over time, by the name of their lines."""
    queries = tuple(query(expression, legend) for legend, expression in expressions.items())
    return Panel(title=title, queries=queries, **more)


def stat(title: str, expression: str, legend: str = "", **more: Any) -> Panel:
    """A figure as it is now; one each where the expression has several."""
    return Panel(title=title, queries=(query(expression, legend, now=True),), kind="stat", **{"width": 4, **more})


def table(title: str, expression: str, **more: Any) -> Panel:
    """Labels, and a figure for each."""
    return Panel(title=title, queries=(query(expression, now=True),), kind="table", **more)


def quantiles(metric: str, by: str, legend: str, *shares: float) -> dict[str, str]:
    """Of a histogram, by the name of their lines; `by` are labels that stay."""
    return {
        f"p{share * 100:g} {legend}": f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}$R)))"
        for share in shares
    }


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """As Grafana reads it."""
    panels, top = list[dict[str, Any]](), 0
    for row in dashboard.rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        panels.append({"type": "row", "id": len(panels) + 1, "title": row.title, "collapsed": False, "gridPos": place})
        left, top, height = 0, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": STAT_HEIGHT if panel.kind == "stat" else HEIGHT}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
            left, height = left + panel.width, max(height, place["h"])
        top += height
    return {
        "uid": f"pointsman-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.meaning,
        "tags": ["pointsman"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Lenses",
                "tags": ["pointsman"],
                "includeVars": True,
                "keepTime": True,
                "asDropdown": False,
            }
        ],
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    namespace = "label_values(pointsman_graph_ready, namespace)"
    graph = f"label_values(pointsman_graph_ready{{{NAMESPACE}}}, graph)"
    return [source, _variable("namespace", namespace), _variable("graph", graph)]


def _variable(name: str, query: str) -> dict[str, Any]:
    """Where a metric has no such label, as on a laptop, "All" finds it too."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(panel: Panel) -> dict[str, Any]:
    kinds = {"timeseries": _lines, "stat": _figure, "table": _table, "heatmap": _heat}
    steps = [{"value": value, "color": colour} for value, colour in panel.limits] or [{"value": None, "color": GOOD}]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.unit in ("percentunit",):
        defaults["min"] = 0
    if panel.most is not None:
        defaults["max"] = panel.most
    options, more = kinds[panel.kind](panel)
    without_time = [{"id": "organize", "options": {"excludeByName": {"Time": True}}}] if panel.kind == "table" else []
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "targets": [_target(number, query, panel) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults | more, "overrides": []},
        "options": options,
        "transformations": without_time,
    }


def _target(number: int, query: Query, panel: Panel) -> dict[str, Any]:
    form = {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series")
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "format": form,
        "instant": query.now,
        "range": not query.now,
    }


Options = tuple[dict[str, Any], dict[str, Any]]
"""A panel's options, and what its fields have beside unit and thresholds"""


def _lines(panel: Panel) -> Options:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    custom = {
        "lineWidth": 1,
        "fillOpacity": 20 if panel.stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if panel.limits else "off"},
    }
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}, {"custom": custom}


def _figure(panel: Panel) -> Options:  # noqa: ARG001
    shown = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {"reduceOptions": shown, "colorMode": "value", "graphMode": "none", "textMode": "auto"}, {}


def _table(panel: Panel) -> Options:  # noqa: ARG001
    return {"showHeader": True, "cellHeight": "sm"}, {"custom": {"align": "auto", "filterable": True}}


def _heat(panel: Panel) -> Options:
    return {
        "calculate": False,
        "yAxis": {"unit": panel.unit},
        "color": {"mode": "scheme", "scheme": "Greens", "steps": 64},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": True},
    }, {}
