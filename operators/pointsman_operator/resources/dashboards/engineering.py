"""The engineer's lens: is it up, is it fast, does it keep up, and where does the time go."""

from __future__ import annotations

from pointsman_operator.resources.dashboards.panels import BAD, FAIR, GOOD, Dashboard, Row, lines, quantiles, stat

PROMISED = ((None, "transparent"), (0.05, FAIR), (0.2, BAD))
WAITED = "pointsman_graph_latency_seconds_bucket{$S, mode=%s}"
WAITS, STREAM = WAITED % '"synchronous"', WAITED % '"stream"'
OURS = 'job=~".*(pointsman|graph|-[0-9a-f]{8}).*"'
"""The processes that are ours, by the job that Prometheus gives them"""

NOW = Row(
    title="Now",
    panels=(
        stat("Decisions a second", "sum(rate(pointsman_graph_decisions_total{$S}$R))"),
        stat(
            "p50, callers that wait",
            f"histogram_quantile(0.5, sum by (le) (rate({WAITS}$R)))",
            unit="s",
            limits=((None, GOOD), (0.05, BAD)),
            meaning="Promised: 50 ms",
        ),
        stat(
            "p95, callers that wait",
            f"histogram_quantile(0.95, sum by (le) (rate({WAITS}$R)))",
            unit="s",
            limits=((None, GOOD), (0.2, BAD)),
            meaning="Promised: 200 ms",
        ),
        stat(
            "Graphs that decide",
            "count(max by (namespace, graph) (pointsman_graph_ready{$S}) == 1)",
            meaning="Graphs with a host that would decide now",
        ),
        stat(
            "Requests refused",
            '(sum(rate(pointsman_graph_requests_total{$S, status=~"5.."}$R)) or vector(0)) / '
            "sum(rate(pointsman_graph_requests_total{$S}$R))",
            unit="percentunit",
            limits=((None, GOOD), (0.001, FAIR), (0.01, BAD)),
            meaning="The share that was told to come back",
        ),
        stat(
            "Store",
            "min(pointsman_graph_store_answers{$S})",
            limits=((None, BAD), (1, GOOD)),
            meaning="1 where the decision store answers every graph",
        ),
    ),
)

LATENCY = Row(
    title="Latency, from arrival to committed",
    panels=(
        lines(
            "Callers that wait for one event",
            quantiles(WAITS, "graph", "{{graph}}", 0.5, 0.95, 0.99),
            unit="s",
            limits=PROMISED,
            meaning="The lines are the promises: p50 50 ms, p95 200 ms",
        ),
        lines("Events that came in company", quantiles(STREAM, "graph", "{{graph}}", 0.5, 0.95), unit="s"),
        lines(
            "Model calls",
            quantiles("pointsman_graph_model_call_seconds_bucket{$S}", "graph, node", "{{graph}} {{node}}", 0.5, 0.95),
            unit="s",
            limits=PROMISED,
            meaning="A call is a whole batch. Promised: p50 50 ms, p95 200 ms",
        ),
    ),
)

THROUGHPUT = Row(
    title="Throughput",
    panels=(
        lines(
            "Events",
            {
                "decided {{graph}}": "sum by (graph) (rate(pointsman_graph_decisions_total{$S}$R))",
                "seen before {{graph}}": "sum by (graph) (rate(pointsman_graph_duplicates_total{$S}$R))",
                "dead letters {{graph}}": "sum by (graph) (rate(pointsman_graph_dead_letters_total{$S}$R))",
            },
            meaning="A second",
        ),
        lines(
            "Requests, by answer",
            {"{{status}} {{reason}}": "sum by (status, reason) (rate(pointsman_graph_requests_total{$S}$R))"},
            unit="reqps",
        ),
        lines(
            "Events of a batch",
            {
                "mean {{graph}}": "sum by (graph) (rate(pointsman_graph_batch_events_sum{$S}$R)) / "
                "sum by (graph) (rate(pointsman_graph_batch_events_count{$S}$R))",
                **quantiles("pointsman_graph_batch_events_bucket{$S}", "graph", "{{graph}}", 0.95),
            },
            meaning="Batches follow the load: more to do, larger batches, less time an event",
        ),
    ),
)

TIME = Row(
    title="Where the time goes",
    panels=(
        lines(
            "Time an event, by step",
            {
                "{{graph}} {{step}}": "sum by (graph, step) (rate(pointsman_graph_step_seconds_total{$S}$R)) / "
                "(sum by (graph, step) (rate(pointsman_graph_step_events_total{$S}$R)) > 0)"
            },
            unit="s",
            stacked=True,
            width=12,
        ),
        lines(
            "Time spent, by step",
            {"{{graph}} {{step}}": "sum by (graph, step) (rate(pointsman_graph_step_seconds_total{$S}$R))"},
            unit="percentunit",
            stacked=True,
            width=12,
            meaning="Of a second. Deciding is one thread and committing another: each can spend 100 %",
        ),
    ),
)

KEEPING_UP = Row(
    title="Keeping up",
    panels=(
        lines(
            "Waiting",
            {
                "events {{graph}}": "sum by (graph) (pointsman_graph_pending_events{$S})",
                "requests not taken in {{graph}}": "sum by (graph) (pointsman_graph_waiting_requests{$S})",
            },
        ),
        lines(
            "Decided after the deadline",
            {"{{graph}}": "sum by (graph) (rate(pointsman_graph_overdue_events_total{$S}$R))"},
            meaning="Events a second; a caller that waits is then told that a person decides",
        ),
        lines(
            "Behind the source",
            {
                "events {{graph}}": "max by (graph) (pointsman_source_lag_events{$S})",
                "seconds {{graph}}": "max by (graph) (pointsman_source_lag_seconds{$S})",
            },
            meaning="Of graphs whose stream is read, such as from Kafka",
        ),
        lines(
            "Takeovers and rebuilt states",
            {"{{graph}}": "sum by (graph) (increase(pointsman_graph_recoveries_total{$S}[1h]))"},
            meaning="In an hour: a new host, or a store that was away",
        ),
        lines(
            "Memory of the processes",
            {"{{job}} {{instance}}": f"process_resident_memory_bytes{{$N, {OURS}}}"},
            unit="bytes",
        ),
        lines(
            "CPU of the processes",
            {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{$N, {OURS}}}$R)"},
            unit="percentunit",
            meaning="100 % is one core",
        ),
    ),
)

ACTIONS = Row(
    title="Actions",
    panels=(
        lines(
            "Effects",
            {
                "{{target}} {{state}}": "sum by (target, state) (rate(pointsman_effects_total{$N}$R))",
                "{{target}} tried again": "sum by (target) (rate(pointsman_effect_retries_total{$N}$R))",
            },
            meaning="A second, by how they ended",
        ),
        lines(
            "From decision to observed effect",
            quantiles("pointsman_effect_seconds_bucket{$N}", "target", "{{target}}", 0.5, 0.95),
            unit="s",
        ),
        lines(
            "Actions that wait",
            {
                "{{target}}": 'max by (target) (pointsman_outbox{$N, state=~"approved|leased|attempted"})',
                "oldest, seconds {{target}}": "max by (target) (pointsman_outbox_oldest_seconds{$N})",
            },
        ),
        lines(
            "Targets",
            {
                "answers {{target}}": "max by (target) (pointsman_target_answers{$N})",
                "held {{target}} {{reason}}": "max by (target, reason) (pointsman_target_held{$N})",
            },
            most=1,
        ),
        lines(
            "Budget left",
            {
                "{{target}}": "max by (target) (pointsman_target_budget_left{$N}) / "
                "max by (target) (pointsman_target_budget_limit{$N})"
            },
            unit="percentunit",
            limits=((None, BAD), (0.1, FAIR), (0.25, GOOD)),
            most=1,
        ),
        lines(
            "Ledger",
            {
                "leaves a second {{namespace}}": "max by (namespace) (deriv(pointsman_ledger_leaves{$N}[5m]))",
                "leaves missing {{namespace}}": "max by (namespace) (pointsman_ledger_missing_leaves{$N})",
            },
        ),
    ),
)

ENGINEERING = Dashboard(
    name="engineering",
    title="Pointsman / Engineering",
    meaning="Latency, throughput, errors, and where the time goes",
    rows=(NOW, LATENCY, THROUGHPUT, TIME, KEEPING_UP, ACTIONS),
)
