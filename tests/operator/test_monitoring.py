"""The rules by which Prometheus says that the operator or a graph is in trouble: read, and fired, by Prometheus' own promtool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.prometheus import prometheus_program
from pointsman_operator.resources.monitoring import GROUPS, documents, rules

MONITORING = Path(__file__).parents[2] / "manifests" / "monitoring"
BY_NAME = {alert.name: alert for alerts in GROUPS.values() for alert in alerts}


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    program = prometheus_program("promtool")

    def run(*arguments: str) -> str:
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def test_the_rules_can_be_read(promtool: Callable[..., str]) -> None:
    assert f"{len(BY_NAME)} rules found" in promtool("check", "rules", str(MONITORING / "rules.yaml"))


def test_prometheus_operator_is_given_the_same_rules() -> None:
    rule = yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((MONITORING / "rules.yaml").read_text()) == rules()
    assert rule == documents()["prometheus-rule"]


WELL = {
    "pointsman_operator_leads{instance='a'}": "1x90",
    "pointsman_operator_leads{instance='b'}": "0x90",
    "pointsman_operator_reconciles_total{outcome='done'}": "0+60x90",
    "pointsman_operator_reconciles_total{outcome='retry'}": "0+1x90",
    "pointsman_operator_reconciles_total{outcome='error'}": "0x90",
    "pointsman_operator_queue_oldest_seconds": "1x90",
    "pointsman_operator_watch_silent_seconds{kind='Pod'}": "30x90",
    "pointsman_operator_modeldeployments{ready='True', reason='Ready'}": "7x90",
    "pointsman_operator_registry_questions_total{outcome='answered'}": "0+6x90",
    "pointsman_operator_registry_questions_total{outcome='unreachable'}": "0x90",
    "pointsman_operator_registry_tags_pending": "0x90",
    "pointsman_operator_graph_ready{GRAPH, reason='Ready'}": "1x90",
    "pointsman_graph_ready{GRAPH, reason='Ready'}": "1x90",
    "pointsman_graph_store_answers{GRAPH}": "1x90",
    "pointsman_graph_pending_events{GRAPH}": "3x90",
    "pointsman_graph_open_reviews{GRAPH}": "10x90",
    "pointsman_graph_max_open_reviews{GRAPH}": "100x90",
    "pointsman_graph_events_total{GRAPH}": "0+600x90",
    "pointsman_graph_decisions_total{GRAPH, band='approve', outcome='approve'}": "0+530x90",
    "pointsman_graph_decisions_total{GRAPH, band='review', outcome='review'}": "0+70x90",
    "pointsman_graph_dead_letters_total{GRAPH, reason='WrongType'}": "0+6x90",
    "pointsman_graph_latency_seconds_bucket{GRAPH, mode='synchronous', le='0.2'}": "0+590x90",
    "pointsman_graph_latency_seconds_bucket{GRAPH, mode='synchronous', le='+Inf'}": "0+600x90",
    "pointsman_graph_latency_seconds_count{GRAPH, mode='synchronous'}": "0+600x90",
    "pointsman_graph_scores_bucket{GRAPH, le='0.5'}": "0+500x90",
    "pointsman_graph_scores_bucket{GRAPH, le='+Inf'}": "0+600x90",
    "pointsman_graph_scores_count{GRAPH}": "0+600x90",
    "pointsman_graph_model_failures_total{GRAPH, node='boosted', model='scorer', version='3'}": "0x90",
    "pointsman_band_demoted{GRAPH, band='approve', segment=''}": "0x90",
    "pointsman_band_certificate_ends{GRAPH, band='approve', segment=''}": "1000000x90",
    "pointsman_decisions_total{GRAPH}": "0+600x90",
    "pointsman_reviews_overdue{GRAPH}": "0x90",
    "pointsman_ledger_leaves{namespace='shop'}": "0+600x90",
    "pointsman_ledger_missing_leaves{namespace='shop'}": "0x90",
    "pointsman_outbox_oldest_seconds{TARGET}": "2x90",
    "pointsman_target_held{TARGET, reason=''}": "0x90",
    "pointsman_target_answers{TARGET}": "1x90",
    "pointsman_target_budget_left{TARGET}": "90x90",
    "pointsman_effects_total{TARGET, operation='freeze', state='observed'}": "0+10x90",
    "pointsman_effects_total{TARGET, operation='freeze', state='rejected'}": "0x90",
    "pointsman_effects_total{TARGET, operation='freeze', state='unknown'}": "0x90",
    "pointsman_source_reached{GRAPH}": "1x90",
    "pointsman_source_lag_events{GRAPH}": "50x90",
}
"""A sample a minute for an hour and a half, in promtool's notation"""

TROUBLES: dict[str, dict[str, str]] = {
    "PointsmanOperatorHasNoLeader": {"pointsman_operator_leads{instance='a'}": "1x10 0x80"},
    "PointsmanReconcilesFail": {"pointsman_operator_reconciles_total{outcome='error'}": "0x10 0+1x80"},
    "PointsmanReconcilesAreRetried": {
        "pointsman_operator_reconciles_total{outcome='retry'}": "0+60x90",
        "pointsman_operator_reconciles_total{outcome='done'}": "0x90",
    },
    "PointsmanQueueIsStuck": {"pointsman_operator_queue_oldest_seconds": "0+60x90"},
    "PointsmanWatchIsSilent": {"pointsman_operator_watch_silent_seconds{kind='Pod'}": "0+60x90"},
    "PointsmanModelDeploymentsNotReady": {
        "pointsman_operator_modeldeployments{ready='False', reason='Crashing'}": "2x90"
    },
    "PointsmanModelDeploymentsStayUnknown": {
        "pointsman_operator_modeldeployments{ready='Unknown', reason='ModelStarting'}": "1x90"
    },
    "PointsmanRegistryUnreachable": {
        "pointsman_operator_registry_questions_total{outcome='answered'}": "6x90",
        "pointsman_operator_registry_questions_total{outcome='unreachable'}": "0+6x90",
    },
    "PointsmanRegistryTakesNoTags": {"pointsman_operator_registry_tags_pending": "1x90"},
    "PointsmanGraphIsNotServed": {"pointsman_graph_ready{GRAPH, reason='Ready'}": "1x10 _x80"},
    "PointsmanGraphIsNotReady": {
        "pointsman_operator_graph_ready{GRAPH, reason='Ready'}": "1x30 _x60",
        "pointsman_operator_graph_ready{GRAPH, reason='ModelNotReady'}": "_x31 0x60",
    },
    "PointsmanGraphDecidesNothing": {
        "pointsman_graph_events_total{GRAPH}": "600x90",
        "pointsman_graph_dead_letters_total{GRAPH, reason='WrongType'}": "6x90",
        "pointsman_source_lag_events{GRAPH}": "0x90",
    },
    "PointsmanLatencyBurnsFast": {
        "pointsman_graph_latency_seconds_bucket{GRAPH, mode='synchronous', le='0.2'}": "0+360x90"
    },
    "PointsmanLatencyBurnsSlowly": {
        "pointsman_graph_latency_seconds_bucket{GRAPH, mode='synchronous', le='0.2'}": "0+480x90"
    },
    "PointsmanDeadLettersRise": {"pointsman_graph_dead_letters_total{GRAPH, reason='WrongType'}": "0x40 0+60x50"},
    "PointsmanModelFails": {
        "pointsman_graph_model_failures_total{GRAPH, node='boosted', model='scorer', version='3'}": "0x50 0+2x40"
    },
    "PointsmanScoresDrift": {  # 24 hours, then another four
        "pointsman_graph_scores_bucket{GRAPH, le='0.5'}": "0+5000x144 720000x24",
        "pointsman_graph_scores_bucket{GRAPH, le='+Inf'}": "0+6000x168",
        "pointsman_graph_scores_count{GRAPH}": "0+6000x168",
    },
    "PointsmanBandIsDemoted": {"pointsman_band_demoted{GRAPH, band='approve', segment=''}": "0x60 1x30"},
    "PointsmanCertificateEndsSoon": {"pointsman_band_certificate_ends{GRAPH, band='approve', segment=''}": "600000x90"},
    "PointsmanTooMuchGoesToPeople": {
        "pointsman_graph_decisions_total{GRAPH, band='review', outcome='review'}": "0+150x90"
    },
    "PointsmanReviewQueueFills": {"pointsman_graph_open_reviews{GRAPH}": "10x60 85x30"},
    "PointsmanReviewQueueIsFull": {"pointsman_graph_open_reviews{GRAPH}": "0+2x50 100x40"},
    "PointsmanReviewsAreOverdue": {"pointsman_reviews_overdue{GRAPH}": "0x50 7x40"},
    "PointsmanApprovalsWait": {"pointsman_approvals_oldest_seconds{GRAPH}": "0+60x90"},
    "PointsmanActionsAreStuck": {"pointsman_outbox_oldest_seconds{TARGET}": "0+60x90"},
    "PointsmanNoDispatcher": {
        f"pointsman_target_{name}{{TARGET{more}}}": "1x50 _x40"
        for name, more in {"held": ", reason=''", "answers": "", "budget_left": ""}.items()
    },
    "PointsmanTargetIsSilent": {"pointsman_target_answers{TARGET}": "1x50 0x40"},
    "PointsmanEffectsAreUnknown": {
        "pointsman_effects_total{TARGET, operation='freeze', state='unknown'}": "0x74 1x16",
        "pointsman_effects_total{TARGET, operation='freeze', state='observed'}": "0+1000x90",
    },
    "PointsmanActionsFail": {"pointsman_effects_total{TARGET, operation='freeze', state='rejected'}": "0+1x90"},
    "PointsmanBudgetIsExhausted": {"pointsman_target_budget_left{TARGET}": "90-2x45 0x45"},
    "PointsmanStoreIsAway": {"pointsman_graph_store_answers{GRAPH}": "1x70 0x20"},
    "PointsmanApiIsSilent": {
        "pointsman_ledger_leaves{namespace='shop'}": "0+600x30 _x60",
        "pointsman_ledger_missing_leaves{namespace='shop'}": "0x30 _x60",
        "pointsman_decisions_total{GRAPH}": "0+600x30 _x60",
        "pointsman_outbox_oldest_seconds{TARGET}": "2x30 _x60",
    },
    "PointsmanLedgerLacksLeaves": {"pointsman_ledger_missing_leaves{namespace='shop'}": "0x70 1x20"},
    "PointsmanDecisionsWithoutLeaves": {"pointsman_ledger_leaves{namespace='shop'}": "0+600x30 18000x60"},
    "PointsmanSourceIsUnreachable": {"pointsman_source_reached{GRAPH}": "1x60 0x30"},
    "PointsmanSourceLags": {"pointsman_source_lag_events{GRAPH}": "5000x90"},
}
EVALUATED = "5m"
"""How often promtool evaluates the rules: an alert that holds for less fires at the second look"""
ALSO = {"PointsmanLatencyBurnsFast": "PointsmanLatencyBurnsSlowly"}
"""What fires beside it, and should"""
LATER = {"PointsmanScoresDrift": ("10m", "27h")}
"""Where 80 minutes are not enough: between two samples, and when it is looked at; with the trouble's series alone"""
LABELS = {"namespace": "shop", "graph": "fraud", "target": "accounts"}
FIRING: dict[str, tuple[dict[str, str], str]] = {
    "PointsmanWatchIsSilent": ({"kind": "Pod"}, ""),
    "PointsmanModelDeploymentsNotReady": ({"reason": "Crashing"}, "2"),
    "PointsmanModelDeploymentsStayUnknown": ({"reason": "ModelStarting"}, "1"),
    "PointsmanGraphIsNotReady": ({"reason": "ModelNotReady"}, ""),
    "PointsmanLatencyBurnsFast": ({}, "40%"),
    "PointsmanDeadLettersRise": ({"reason": "WrongType"}, ""),
    "PointsmanModelFails": ({"node": "boosted", "model": "scorer"}, ""),
    "PointsmanBandIsDemoted": ({"band": "approve"}, ""),
    "PointsmanCertificateEndsSoon": ({"band": "approve"}, ""),
    "PointsmanReviewQueueFills": ({}, "85"),
    "PointsmanReviewQueueIsFull": ({}, "100"),
    "PointsmanReviewsAreOverdue": ({}, "7"),
    "PointsmanActionsAreStuck": ({}, "1h 20m 0s"),
    "PointsmanSourceLags": ({}, "5000"),
}
"""Labels beside those that the expression names first, and the value as the summary has it"""
PLACES = {"GRAPH": "namespace='shop', graph='fraud'", "TARGET": "namespace='shop', target='accounts'"}


def test_every_alert_has_its_trouble() -> None:
    assert list(TROUBLES) == list(BY_NAME)


@pytest.mark.parametrize("trouble", [None, *TROUBLES])
def test_a_trouble_raises_its_alert_and_no_other(
    promtool: Callable[..., str], tmp_path: Path, trouble: str | None
) -> None:
    series = (WELL if trouble not in LATER else {}) | (TROUBLES[trouble] if trouble is not None else {})
    step, when = LATER.get(trouble or "", ("1m", "80m"))
    fires = {trouble, ALSO.get(trouble or "")}
    test = {
        "rule_files": [str(MONITORING / "rules.yaml")],
        "evaluation_interval": EVALUATED,
        "tests": [
            {
                "interval": step,
                "input_series": [{"series": placed(name), "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": when,
                        "alertname": name,
                        "exp_alerts": [firing(name)] if name in fires else [],
                    }
                    for name in BY_NAME
                    if name in fires or trouble not in LATER
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", str(file))


def placed(series: str) -> str:
    for short, labels in PLACES.items():
        series = series.replace(short, labels)
    return series


def firing(name: str) -> dict[str, Any]:
    """The alert as it fires in its trouble."""
    alert = BY_NAME[name]
    first = re.search(r"by \(([a-z, ]+)\)", alert.expression)
    labels = {label: LABELS.get(label, "") for label in first[1].split(", ")} if first is not None else {}
    own, value = FIRING.get(name, ({}, ""))
    labels = (labels | own) if alert in GROUPS["pointsman-graphs"] else own
    labels = {label: said for label, said in labels.items() if said}

    def said(text: str) -> str:
        text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
        return re.sub(r"{{ \$value[^}]*}}", value, text)

    annotations = {"summary": said(alert.summary), "description": said(alert.description)}
    return {"exp_labels": {"severity": alert.severity, **labels}, "exp_annotations": annotations}
