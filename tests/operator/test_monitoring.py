"""The rules by which Prometheus says that the operator is in trouble: read, and fired, by Prometheus' own promtool."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman_images import debian
from pointsman_images.cache import Missing
from pointsman_operator.resources.monitoring import ALERTS, documents, rules

MONITORING = Path(__file__).parents[2] / "manifests" / "monitoring"
BY_NAME = {alert.name: alert for alert in ALERTS}


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    program = shutil.which("promtool")
    if program is None:
        try:
            content = debian.unpacked(("prometheus",), lambda line: None)
        except Missing as missing:
            if os.environ.get("CI") == "true":
                pytest.fail(f"promtool is needed: {missing}", pytrace=False)
            pytest.skip(
                f"NOT TESTED: promtool is not here (on Debian or Ubuntu, apt-get install prometheus): {missing}"
            )
        program = str(content / "usr" / "bin" / "promtool")

    def run(*arguments: str) -> str:
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def test_the_rules_can_be_read(promtool: Callable[..., str]) -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(MONITORING / "rules.yaml"))


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
}


def test_every_alert_has_its_trouble() -> None:
    assert list(TROUBLES) == list(BY_NAME)


@pytest.mark.parametrize("trouble", [None, *TROUBLES])
def test_a_trouble_raises_its_alert_and_no_other(
    promtool: Callable[..., str], tmp_path: Path, trouble: str | None
) -> None:
    series = WELL | (TROUBLES[trouble] if trouble is not None else {})
    expected: list[dict[str, Any]] = []
    for name in BY_NAME:
        alerts = [] if name != trouble else [firing(name)]
        expected.append({"eval_time": "80m", "alertname": name, "exp_alerts": alerts})
    test = {
        "rule_files": [str(MONITORING / "rules.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": expected,
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", str(file))


def firing(name: str) -> dict[str, Any]:
    """The alert as it fires in its trouble."""
    alert = BY_NAME[name]
    found = {
        "PointsmanWatchIsSilent": ({"kind": "Pod"}, ""),
        "PointsmanModelDeploymentsNotReady": ({"reason": "Crashing"}, "2"),
        "PointsmanModelDeploymentsStayUnknown": ({"reason": "ModelStarting"}, "1"),
    }
    labels, value = found.get(name, ({}, ""))
    summary = alert.summary.replace("{{ $value }}", value)
    for label, said in labels.items():
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", said)
    annotations = {"summary": summary, "description": alert.description}
    return {"exp_labels": {"severity": alert.severity, **labels}, "exp_annotations": annotations}
