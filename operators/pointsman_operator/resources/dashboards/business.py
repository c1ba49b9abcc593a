"""The owner's lens: how much is decided without people, what people have to do, what money it is about, what was done."""

from __future__ import annotations

from pointsman_operator.resources.dashboards.panels import BAD, FAIR, GOOD, Dashboard, Row, lines, stat

DECIDED = "increase(pointsman_graph_decisions_total{$S}%s)"
GIVEN = 'increase(pointsman_graph_decisions_total{$S, outcome="review"}%s)'
RANGE, HOUR = "[$__range]", "[1h]"
ALL, PEOPLE = f"sum({DECIDED % RANGE})", f"sum({GIVEN % RANGE})"
TO_VERDICT = "sum by (le%s) (increase(pointsman_reviews_decided_seconds_bucket{$S}%s))"


def failed(window: str, by: str = "") -> str:
    """The share of effects that were not observed; `by` are labels that stay."""
    every = f"sum {by}(increase(pointsman_effects_total{{$N}}{window}))"
    bad = f'sum {by}(increase(pointsman_effects_total{{$N, state!="observed"}}{window}))'
    return f"({bad} or 0 * {every}) / {every}"


NOW = Row(
    title="Over the time shown",
    panels=(
        stat("Decided", ALL, unit="locale"),
        stat("Decided without people", f"1 - {PEOPLE} / {ALL}", unit="percentunit"),
        stat(
            "Given to people",
            f"{PEOPLE} / {ALL}",
            unit="percentunit",
            limits=((None, FAIR), (0.05, GOOD), (0.2, BAD)),
            meaning="Promised: 5 to 20 %",
        ),
        stat(
            "Median time to a verdict",
            f"histogram_quantile(0.5, {TO_VERDICT % ('', RANGE)})",
            unit="s",
            meaning="From when an item was opened to what a person said",
        ),
        stat(
            "Actions done",
            f'sum(increase(pointsman_effects_total{{$N, state="observed"}}{RANGE}))',
            unit="locale",
            meaning="Effects that were seen at the target, such as frozen accounts",
        ),
        stat(
            "Actions that failed",
            failed(RANGE),
            unit="percentunit",
            limits=((None, GOOD), (0.001, FAIR), (0.01, BAD)),
            meaning="Promised: under 1 % at low risk, 0.01 to 0.1 % at high risk",
        ),
    ),
)

MONEY = Row(
    title="Money",
    panels=(
        stat(
            "Decided, by outcome",
            f"sum by (outcome) (increase(pointsman_graph_at_stake_total{{$S}}{RANGE}))",
            "{{outcome}}",
            unit="locale",
            width=12,
            meaning="Over the time shown. What review.priority of the graph names, added up: an amount, in the unit of the events",
        ),
        stat(
            "Caught by people",
            f'sum(increase(pointsman_reviews_decided_at_stake_total{{$S, label="true"}}{RANGE}))',
            unit="locale",
            width=6,
            meaning="Over the time shown: of items whose verdict says that the label is true",
        ),
        stat(
            "Waits for people now",
            "sum(max by (namespace, graph) (pointsman_reviews_at_stake{$S}))",
            unit="locale",
            width=6,
        ),
        lines(
            "By outcome",
            {
                "{{graph}} {{outcome}}": f"sum by (graph, outcome) (increase(pointsman_graph_at_stake_total{{$S}}{HOUR}))"
            },
            unit="locale",
            stacked=True,
            width=12,
            meaning="In an hour",
        ),
        lines(
            "By verdict",
            {
                "{{graph}} {{verdict}}": "sum by (graph, verdict) "
                f"(increase(pointsman_reviews_decided_at_stake_total{{$S}}{HOUR}))"
            },
            unit="locale",
            stacked=True,
            width=12,
            meaning="In an hour; of the verdict that says the label is true: what people have caught",
        ),
    ),
)

WORK = Row(
    title="People's work",
    panels=(
        lines(
            "Given to people",
            {"{{graph}}": f"sum by (graph) ({GIVEN % HOUR}) / sum by (graph) ({DECIDED % HOUR})"},
            unit="percentunit",
            limits=((None, "transparent"), (0.05, GOOD), (0.2, BAD)),
            meaning="Of an hour's decisions. The lines are the promise: 5 to 20 %",
        ),
        lines(
            "The queue",
            {
                "open {{graph}}": "max by (graph) (pointsman_reviews_open{$S})",
                "past the deadline {{graph}}": "max by (graph) (pointsman_reviews_overdue{$S})",
                "review.maxOpen {{graph}}": "max by (graph) (pointsman_graph_max_open_reviews{$S})",
            },
            meaning="At review.maxOpen nothing more is taken in",
        ),
        lines(
            "Age of the oldest open item",
            {"{{graph}}": "max by (graph) (pointsman_reviews_oldest_seconds{$S})"},
            unit="s",
        ),
        lines(
            "Items in and out",
            {
                "given to people {{graph}}": f"sum by (graph) ({GIVEN % HOUR})",
                "decided by people {{graph}}": f"sum by (graph) (increase(pointsman_reviews_decided_total{{$S}}{HOUR}))",
            },
            meaning="In an hour",
        ),
        lines(
            "Time to a verdict",
            {
                f"p{share * 100:g} {{{{graph}}}}": f"histogram_quantile({share}, {TO_VERDICT % (', graph', HOUR)})"
                for share in (0.5, 0.95)
            },
            unit="s",
        ),
        lines(
            "Verdicts",
            {
                "{{graph}} {{verdict}}": f"sum by (graph, verdict) (increase(pointsman_reviews_decided_total{{$S}}{HOUR}))",
            },
            stacked=True,
            meaning="In an hour",
        ),
    ),
)

DONE = Row(
    title="What was done",
    panels=(
        lines(
            "Actions observed",
            {
                "{{target}} {{operation}}": "sum by (target, operation) "
                f'(increase(pointsman_effects_total{{$N, state="observed"}}{HOUR}))'
            },
            stacked=True,
            meaning="In an hour: seen at the target",
        ),
        lines(
            "Actions that failed",
            {"{{target}} {{operation}}": failed(HOUR, "by (target, operation) ")},
            unit="percentunit",
            limits=((None, "transparent"), (0.001, FAIR), (0.01, BAD)),
            meaning="Of an hour's: rejected, expired or unknown. The lines: 0.1 % at high risk, 1 % at low risk",
        ),
        lines(
            "From decision to effect",
            {
                "p95 {{target}}": "histogram_quantile(0.95, sum by (le, target) "
                f"(increase(pointsman_effect_seconds_bucket{{$N}}{HOUR})))"
            },
            unit="s",
        ),
    ),
)

BUSINESS = Dashboard(
    name="business",
    title="Pointsman / Business",
    meaning="Automation, people's work, money, and what was done",
    rows=(NOW, MONEY, WORK, DONE),
)
