"""The modeller's lens: what the scores are, whether they move, what the models lack, and what people say of them."""

from __future__ import annotations

from pointsman_operator.resources.dashboards.engineering import PROMISED
from pointsman_operator.resources.dashboards.panels import (
    BAD,
    FAIR,
    GOOD,
    Dashboard,
    Panel,
    Row,
    lines,
    quantiles,
    query,
    stat,
    table,
)
from pointsman_operator.resources.monitoring.graph_alerts import drift

DECIDED = "rate(pointsman_graph_decisions_total{$S}$R)"
EVENTS = "rate(pointsman_graph_events_total{$S}$R)"
LATE = "LateEvent|StaleFeature|MissingFeature|MissingScore"
VERDICTS = "increase(pointsman_reviews_decided_total{$S, label=~%s}[6h])"
TRUE, EITHER = VERDICTS % '"true"', VERDICTS % '"true|false"'


def of_events(metric: str) -> str:
    """By reason, of all events of the graph."""
    return f"sum by (graph, reason) (rate({metric}$R)) / on (graph) group_left () sum by (graph) ({EVENTS})"


def mean_score(window: str, by: str = "by (graph) ") -> str:
    total, count = (f"sum {by}(rate(pointsman_graph_scores_{part}{{$S}}{window}))" for part in ("sum", "count"))
    return f"{total} / {count}"


NOW = Row(
    title="Now",
    panels=(
        stat(
            "Goes to people",
            f'sum(rate(pointsman_graph_decisions_total{{$S, outcome="review"}}$R)) / sum({DECIDED})',
            unit="percentunit",
            limits=((None, FAIR), (0.05, GOOD), (0.2, BAD)),
            meaning="Promised: 5 to 20 %",
        ),
        stat(
            "Drift of scores",
            f"max({drift('{$S}')})",
            unit="percentunit",
            limits=((None, GOOD), (0.1, FAIR), (0.2, BAD)),
            meaning="Kolmogorov-Smirnov: by how much the share of events below any score has changed, the last hour "
            "against the last day",
        ),
        stat(
            "Label true, of what people saw",
            f"(sum({TRUE}) or vector(0)) / sum({EITHER})",
            unit="percentunit",
            meaning="Over six hours: the share of decided items whose verdict says that the label is true",
        ),
        stat(
            "Model calls without answer",
            "sum(rate(pointsman_graph_model_failures_total{$S}$R)) / sum(rate(pointsman_graph_model_call_seconds_count{$S}$R))",
            unit="percentunit",
            limits=((None, GOOD), (0.001, BAD)),
        ),
        stat(
            "Events that break the contract",
            f"(sum(rate(pointsman_graph_dead_letters_total{{$S}}$R)) or vector(0)) / sum({EVENTS})",
            unit="percentunit",
            limits=((None, GOOD), (0.01, FAIR), (0.05, BAD)),
        ),
        stat("Mean score", mean_score("$R", ""), unit="none"),
    ),
)

SCORES = Row(
    title="Scores",
    panels=(
        Panel(
            title="Distribution",
            queries=(query("sum by (le) (rate(pointsman_graph_scores_bucket{$S}$R))", "{{le}}"),),
            kind="heatmap",
            unit="none",
            meaning="Decisions a second, by score",
        ),
        lines(
            "Mean, hour against day",
            {"last hour {{graph}}": mean_score("[1h]"), "last day {{graph}}": mean_score("[1d]")},
            unit="none",
        ),
        lines(
            "Drift",
            {"{{graph}}": drift("{$S}")},
            unit="percentunit",
            limits=((None, "transparent"), (0.2, BAD)),
            meaning="Kolmogorov-Smirnov: the last hour against the last day",
        ),
        lines(
            "Bands",
            {
                "{{graph}} {{band}} → {{outcome}}": f"sum by (graph, band, outcome) ({DECIDED}) / on (graph) group_left () "
                f"sum by (graph) ({DECIDED})"
            },
            unit="percentunit",
            stacked=True,
            width=12,
            most=1,
            meaning="Of all decisions. No band: there was no score",
        ),
        lines(
            "Why items go to people",
            {"{{graph}} {{reason}}": of_events("pointsman_graph_review_reasons_total{$S}")},
            unit="percentunit",
            width=12,
            meaning="Of all events; an item may have several reasons",
        ),
    ),
)

VERDICTS_ROW = Row(
    title="What people said",
    panels=(
        lines(
            "Verdicts",
            {
                "{{graph}} {{verdict}}": "sum by (graph, verdict) (increase(pointsman_reviews_decided_total{$S}[1h]))",
            },
            stacked=True,
            width=12,
            meaning="In an hour",
        ),
        lines(
            "Label true, of what people saw",
            {"{{graph}}": f"sum by (graph) ({TRUE}) / sum by (graph) ({EITHER})"},
            unit="percentunit",
            width=12,
            most=1,
            meaning="Over six hours. Low: the review band asks people about what needs nobody",
        ),
    ),
)

DATA = Row(
    title="Data and features",
    panels=(
        lines(
            "Features that were late, stale or missing",
            {"{{graph}} {{reason}}": of_events(f'pointsman_graph_review_reasons_total{{$S, reason=~"{LATE}"}}')},
            unit="percentunit",
            width=12,
            meaning="Of all events",
        ),
        lines(
            "Events that break the contract",
            {"{{graph}} {{reason}}": of_events("pointsman_graph_dead_letters_total{$S}")},
            unit="percentunit",
            width=12,
            meaning="Of all events. They are kept as dead letters, and can be replayed",
        ),
    ),
)

MODELS = Row(
    title="Models",
    panels=(
        lines(
            "Calls",
            quantiles(
                "pointsman_graph_model_call_seconds_bucket{$S}",
                "graph, node, version",
                "{{graph}} {{node}} v{{version}}",
                0.5,
                0.95,
            ),
            unit="s",
            limits=PROMISED,
            width=12,
            meaning="A call is a whole batch. Promised: p50 50 ms, p95 200 ms",
        ),
        lines(
            "Rows scored, and calls without answer",
            {
                "{{graph}} {{node}} v{{version}}": "sum by (graph, node, version) (rate(pointsman_graph_model_rows_total{$S}$R))",
                "no answer {{graph}} {{node}}": "sum by (graph, node) (rate(pointsman_graph_model_failures_total{$S}$R))",
            },
            width=12,
            meaning="A second",
        ),
        table(
            "Versions, and the rows that each has scored",
            "max by (graph, node, model, version) (pointsman_graph_model_rows_total{$S})",
            width=12,
        ),
        table(
            "Revisions",
            "max by (namespace, graph, revision) (pointsman_graph_revision_info{$S})",
            width=12,
            meaning="What decides; two while one host takes over from another",
        ),
    ),
)

MODEL = Dashboard(
    name="model",
    title="Pointsman / Model",
    meaning="Scores, drift, features, models, and how people judged them",
    rows=(NOW, SCORES, VERDICTS_ROW, DATA, MODELS),
)
