"""Rules by which Prometheus says that a decision graph, its store, its people or its targets need somebody.

What each metric means stands in docs/metrics.md. Figures of the store are the same from every replica of the API, so of them the
largest is taken and never the sum.
"""

from __future__ import annotations

from pointsman.certificates.standing import SOON
from pointsman_operator.resources.monitoring.alert import Alert

NAME = "pointsman-graphs"
GRAPH = "by (namespace, graph)"
BAND = "by (namespace, graph, band, segment)"
TARGET = "by (namespace, target)"
MOST_OPEN = f"max {GRAPH} (pointsman_graph_max_open_reviews)"
QUEUE_IS_FULL = f"max {GRAPH} (pointsman_graph_open_reviews) >= {MOST_OPEN}"
SLOW_SECONDS = "0.2"
"""What 95 % of waiting callers are promised; the same bound is a bucket of the histogram"""


def slow_share(window: str) -> str:
    """The share of events whose waiting caller had the answer later than promised."""
    series = 'pointsman_graph_latency_seconds_{}{{mode="synchronous"{}}}[' + window + "]"
    in_time, all_ = series.format("bucket", f', le="{SLOW_SECONDS}"'), series.format("count", "")
    return f"1 - sum {GRAPH} (rate({in_time})) / sum {GRAPH} (rate({all_}))"


def drift(selected: str = "") -> str:
    """By how much the share of events below any score has changed: the last hour against the last day, Kolmogorov-Smirnov."""
    hour, day = (
        f"sum by (namespace, graph, le) (rate(pointsman_graph_scores_bucket{selected}[{window}])) / on (namespace, graph) "
        f"group_left () sum {GRAPH} (rate(pointsman_graph_scores_count{selected}[{window}]))"
        for window in ("1h", "1d")
    )
    return f"max {GRAPH} (abs({hour} - {day}))"


ALERTS: tuple[Alert, ...] = (
    Alert(
        name="PointsmanGraphIsNotServed",
        expression=f"max {GRAPH} (pointsman_operator_graph_ready) unless max {GRAPH} (pointsman_graph_ready == 1)",
        for_="2m",
        severity="critical",
        summary='No host of the graph "{{ $labels.graph }}" is ready to decide',
        description=(
            "Callers get 503 and try again; nothing is lost. The cause and the next step stand in the status: kubectl pointsman "
            "explain decisiongraph/{{ $labels.graph }} -n {{ $labels.namespace }}; then look at the host's log."
        ),
    ),
    Alert(
        name="PointsmanGraphIsNotReady",
        expression="max by (namespace, graph, reason) (pointsman_operator_graph_ready) == 0",
        for_="15m",
        severity="warning",
        summary='The DecisionGraph "{{ $labels.graph }}" is not Ready: {{ $labels.reason }}',
        description=(
            "What decided before decides on where there is anything; what was changed has no effect. What to do: kubectl pointsman "
            "explain decisiongraph/{{ $labels.graph }} -n {{ $labels.namespace }}."
        ),
    ),
    Alert(
        name="PointsmanGraphDecidesNothing",
        expression=(
            f"sum {GRAPH} (pointsman_graph_pending_events) > 0 and "
            f"sum {GRAPH} (increase(pointsman_graph_events_total[5m])) == 0"
        ),
        for_="5m",
        severity="critical",
        summary='Events wait and the graph "{{ $labels.graph }}" decides none',
        description=(
            "A model that does not answer, or a store that takes no commit, holds every batch up. The host's log names it; "
            "pointsman_graph_step_seconds_total says which step was reached last. Deleting the host's pod is safe: what was "
            "committed is committed, the rest is sent again."
        ),
    ),
    Alert(
        name="PointsmanLatencyBurnsFast",
        expression=f"({slow_share('1h')} > 0.3) and ({slow_share('5m')} > 0.3)",
        for_="2m",
        severity="critical",
        summary='{{ $value | humanizePercentage }} of the callers of "{{ $labels.graph }}" wait for longer than 200 ms',
        description=(
            "Promised are 200 ms to 95 of 100. See on the dashboard Pointsman / Engineering which step takes the time: a remote "
            "model, the commit, or waiting because there is more to do than one host can."
        ),
    ),
    Alert(
        name="PointsmanLatencyBurnsSlowly",
        expression=f"({slow_share('6h')} > 0.1) and ({slow_share('30m')} > 0.1)",
        for_="15m",
        severity="warning",
        summary='For hours one in ten callers of "{{ $labels.graph }}" has waited for longer than 200 ms',
        description=(
            "Promised are 200 ms to 95 of 100. Compare the steps on the dashboard Pointsman / Engineering with yesterday's; a "
            "new model version is on Pointsman / Model."
        ),
    ),
    Alert(
        name="PointsmanDeadLettersRise",
        expression=(
            "sum by (namespace, graph, reason) (increase(pointsman_graph_dead_letters_total[15m])) > on (namespace, graph) "
            f"group_left () 0.05 * sum {GRAPH} (increase(pointsman_graph_events_total[15m]))"
        ),
        for_="10m",
        severity="warning",
        summary='More than one in twenty events of "{{ $labels.graph }}" breaks the contract: {{ $labels.reason }}',
        description=(
            "Whoever sends them has probably changed something. Which field it is: pointsman deadletters list. Nothing is lost: "
            "mend the source or the contract, then pointsman deadletters replay."
        ),
    ),
    Alert(
        name="PointsmanModelFails",
        expression=("sum by (namespace, graph, node, model) (increase(pointsman_graph_model_failures_total[5m])) > 0"),
        for_="5m",
        severity="warning",
        summary='The model "{{ $labels.model }}" does not answer the node "{{ $labels.node }}" of "{{ $labels.graph }}"',
        description=(
            "Its events go to people with the reason ModelError. Why it does not serve: kubectl pointsman explain "
            "modeldeployment/{{ $labels.model }} -n {{ $labels.namespace }}."
        ),
    ),
    Alert(
        name="PointsmanScoresDrift",
        expression=f"{drift()} > 0.2",
        for_="1h",
        severity="warning",
        summary='The scores of "{{ $labels.graph }}" of the last hour are not those of the last day',
        description=(
            "At some score the share of events below it has changed by more than a fifth. Look on Pointsman / Model for a new "
            "model version, for features that are stale or missing, and for what the source sends."
        ),
    ),
    Alert(
        name="PointsmanBandIsDemoted",
        expression=f"max {BAND} (pointsman_band_demoted) == 1",
        for_="1m",
        severity="warning",
        summary='The band "{{ $labels.band }}" of "{{ $labels.graph }}" is demoted: its items go to people',
        description=(
            "What audited items say does not keep its promise, or somebody has demoted it: pointsman bands list. Find out what "
            "has changed (pointsman bands drift), certify the band anew (pointsman certify {{ $labels.graph }}), and have "
            "another person arm it again (pointsman bands rearm)."
        ),
    ),
    Alert(
        name="PointsmanCertificateEndsSoon",
        expression=f"min {BAND} (pointsman_band_certificate_ends) - time() < {SOON.total_seconds():.0f}",
        for_="1h",
        severity="warning",
        summary='The certificate of the band "{{ $labels.band }}" of "{{ $labels.graph }}" ends within seven days, or has ended',
        description=(
            "From then on all its items go to people. Certify it again, on newer labels: pointsman labels count says how many "
            "there are, pointsman certify {{ $labels.graph }} what they are enough for."
        ),
    ),
    Alert(
        name="PointsmanTooMuchGoesToPeople",
        expression=(
            f'sum {GRAPH} (increase(pointsman_graph_decisions_total{{outcome="review"}}[6h])) > '
            f"0.2 * sum {GRAPH} (increase(pointsman_graph_decisions_total[6h]))"
        ),
        for_="1h",
        severity="warning",
        summary='More than 20 % of what "{{ $labels.graph }}" decided in six hours went to people',
        description=(
            "Why items go to people is on the dashboard Pointsman / Model, by reason. Where it is the review band itself, its "
            "thresholds decide; where it is StaleFeature, ModelError or DeadlineMissed, mend that first."
        ),
    ),
    Alert(
        name="PointsmanReviewQueueFills",
        expression=f"max {GRAPH} (pointsman_graph_open_reviews) > 0.8 * {MOST_OPEN} unless {QUEUE_IS_FULL}",
        for_="10m",
        severity="warning",
        summary='The review queue of "{{ $labels.graph }}" is full to four fifths: {{ $value }} items',
        description=(
            "At review.maxOpen callers get 503, or what would go to people gets review.overflowOutcome where the graph has one. "
            "Let more people work the queue (pointsman reviews claim), or raise review.maxOpen."
        ),
    ),
    Alert(
        name="PointsmanReviewQueueIsFull",
        expression=QUEUE_IS_FULL,
        for_="1m",
        severity="critical",
        summary='The review queue of "{{ $labels.graph }}" is full',
        description=(
            "Callers get 503, and nothing is lost; or what would go to people gets review.overflowOutcome where the graph has "
            "one. So it is until people have decided some of the {{ $value }} items, or review.maxOpen is raised: that is a new "
            "revision and takes seconds."
        ),
    ),
    Alert(
        name="PointsmanReviewsAreOverdue",
        expression=f"max {GRAPH} (pointsman_reviews_overdue) > 0",
        for_="15m",
        severity="warning",
        summary='{{ $value }} items of "{{ $labels.graph }}" wait for people past their deadline',
        description=(
            "They come first in the queue: pointsman reviews claim. Where this is usual, review.deadline is shorter than the "
            "people are many."
        ),
    ),
    Alert(
        name="PointsmanApprovalsWait",
        expression=f"max {GRAPH} (pointsman_approvals_oldest_seconds) > 3600",
        for_="15m",
        severity="warning",
        summary='An action of "{{ $labels.graph }}" has waited for approval for more than an hour',
        description="Nothing is sent before people have approved it: pointsman approvals list. An action may expire meanwhile.",
    ),
    Alert(
        name="PointsmanActionsAreStuck",
        expression=f"max {TARGET} (pointsman_outbox_oldest_seconds) > 300",
        for_="5m",
        severity="critical",
        summary='An action for the target "{{ $labels.target }}" has waited for {{ $value | humanizeDuration }}',
        description=(
            "Why it waits stands with it: kubectl pointsman explain actiontarget/{{ $labels.target }} -n {{ $labels.namespace }}, "
            "and pointsman explain of the decision. A target that is away, a secret that is missing, a budget that is used up, "
            "the kill switch spec.suspend: it goes on by itself when that is mended."
        ),
    ),
    Alert(
        name="PointsmanNoDispatcher",
        expression=(
            "max by (namespace) (pointsman_outbox_oldest_seconds) > 0 unless count by (namespace) (pointsman_target_held)"
        ),
        for_="2m",
        severity="critical",
        summary="Actions wait and no dispatcher carries them out",
        description=(
            "Nothing is lost: they are in the store. Look at the pods: kubectl get pods -l pointsman.dev/part=dispatcher -n "
            "{{ $labels.namespace }}, and at their log."
        ),
    ),
    Alert(
        name="PointsmanTargetIsSilent",
        expression=f"max {TARGET} (pointsman_target_answers) == 0",
        for_="5m",
        severity="warning",
        summary='The target "{{ $labels.target }}" does not answer',
        description=(
            "Its actions wait until it does or until they expire. The cause is in the status: kubectl get actiontarget "
            "{{ $labels.target }} -n {{ $labels.namespace }} -o yaml."
        ),
    ),
    Alert(
        name="PointsmanEffectsAreUnknown",
        expression=f'sum {TARGET} (increase(pointsman_effects_total{{state="unknown"}}[1h])) > 0',
        for_="1m",
        severity="critical",
        summary='Nobody knows whether actions at "{{ $labels.target }}" took effect',
        description=(
            "They can be neither sent again nor read back, so a person must look at the target: each is an item of the review "
            "queue, pointsman reviews list."
        ),
    ),
    Alert(
        name="PointsmanActionsFail",
        expression=(
            f'sum {TARGET} (increase(pointsman_effects_total{{state!="observed"}}[1h])) > '
            f"0.01 * sum {TARGET} (increase(pointsman_effects_total[1h]))"
        ),
        for_="5m",
        severity="warning",
        summary='More than 1 % of the actions at "{{ $labels.target }}" do not end as they should',
        description=(
            "They were rejected, expired, or their outcome is not known; the reason stands with each: the dispatcher's log has "
            '"action rejected" and "action unknown", and pointsman explain of the decision says the rest.'
        ),
    ),
    Alert(
        name="PointsmanBudgetIsExhausted",
        expression=f"max {TARGET} (pointsman_target_budget_left) == 0",
        for_="1m",
        severity="warning",
        summary='The budget of the target "{{ $labels.target }}" is used up',
        description=(
            "What comes now is held or goes to people, as spec.budget.onExhausted says. If so many actions are right, raise "
            "spec.budget.limit; if not, set spec.suspend, and look at what asks for them."
        ),
    ),
    Alert(
        name="PointsmanStoreIsAway",
        expression=f"max {GRAPH} (pointsman_graph_store_answers) == 0",
        for_="1m",
        severity="critical",
        summary='The decision store does not answer the graph "{{ $labels.graph }}"',
        description=(
            "Nothing is decided until it does, and nothing is lost. Look at PostgreSQL at the address in the Secret "
            "pointsman-store, and at the host's log."
        ),
    ),
    Alert(
        name="PointsmanApiIsSilent",
        expression="count by (namespace) (pointsman_graph_ready) unless count by (namespace) (pointsman_ledger_leaves)",
        for_="5m",
        severity="warning",
        summary="The API gives no figures, though graphs run",
        description=(
            "Reviewers cannot work, and alerts about the queue, the actions and the ledger are blind. Look at the pods: kubectl "
            "get pods -l pointsman.dev/part=api -n {{ $labels.namespace }}; if all is well there, Prometheus' key is not taken."
        ),
    ),
    Alert(
        name="PointsmanLedgerLacksLeaves",
        expression="max by (namespace) (pointsman_ledger_missing_leaves) != 0",
        for_="1m",
        severity="critical",
        summary="The ledger has another number of leaves than its head says",
        description=(
            "Somebody or something has changed the store past Pointsman, or a backup was restored in part. Stop writing (scale "
            "the hosts to none), keep a copy of the database, and find out what is missing: the leaves' indexes have no gaps."
        ),
    ),
    Alert(
        name="PointsmanDecisionsWithoutLeaves",
        expression=(
            "max by (namespace) (increase(pointsman_decisions_total[15m])) > 0 and "
            "max by (namespace) (delta(pointsman_ledger_leaves[15m])) <= 0"
        ),
        for_="5m",
        severity="critical",
        summary="Decisions are committed and the ledger does not grow",
        description=(
            "Each decision has a leaf, written in the same transaction. That it has none is a fault of the store's functions: "
            "compare its schema with this release, pointsman_append_leaves above all, and report it."
        ),
    ),
    Alert(
        name="PointsmanSourceIsUnreachable",
        expression=f"max {GRAPH} (pointsman_source_reached) == 0",
        for_="5m",
        severity="warning",
        summary='The source of the graph "{{ $labels.graph }}" cannot be read',
        description=(
            "Events stay where they are, and are read from there on. The cause is in the EventStream's status: kubectl get "
            "eventstreams -n {{ $labels.namespace }}."
        ),
    ),
    Alert(
        name="PointsmanSourceLags",
        expression=(
            f"max {GRAPH} (pointsman_source_lag_events) > 300 * sum {GRAPH} (rate(pointsman_graph_events_total[10m]))"
        ),
        for_="15m",
        severity="warning",
        summary='The graph "{{ $labels.graph }}" is {{ $value }} events behind its source: more than five minutes of work',
        description=(
            "Either more comes than is decided, or something holds the reading up: a full review queue, a store or a model that "
            "is away (see the other alerts). Otherwise look at the steps on the dashboard Pointsman / Engineering."
        ),
    ),
)
