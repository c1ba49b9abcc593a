"""What Prometheus reads of a running operator: everything that its rules look at, and what is so."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness import fraud, yours
from harness.cluster import Cluster
from harness.model_deployments import ready, says
from harness.operator import Operator, model_deployment
from harness.waiting import wait_for
from pointsman_operator.resources.monitoring.operator_alerts import ALERTS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

SELECTOR = re.compile(r'(pointsman_\w+)(?:\{(?:outcome="(\w+)")?)?')


def test_every_series_that_a_rule_looks_at_is_there_to_be_read(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    ready(simulated, namespace)
    scraped = operator.scrape()

    for alert in ALERTS:
        looks_at = SELECTOR.findall(alert.expression)
        assert looks_at, alert.name
        for name, outcome in looks_at:
            series = f'{name}{{outcome="{outcome}"}}' if outcome else name
            assert re.search(rf"^{re.escape(series)}[ {{]", scraped, re.MULTILINE), f"{alert.name}: {series}"


def test_each_graph_is_told_of_by_its_name(simulated: Cluster, operator: Operator, namespace: str) -> None:
    document = fraud.written()
    document["metadata"]["namespace"] = namespace
    simulated.apply(document)
    series = rf'^pointsman_operator_graph_ready{{graph="card-fraud",namespace="{namespace}",reason="(\w+)"}} 0.0$'
    wait_for("it is told of", lambda: re.search(series, operator.scrape(), re.MULTILINE))


def test_what_does_not_serve_is_counted_by_its_reason(
    simulated: Cluster, operator: Operator, namespace: str, registered: Callable[..., str]
) -> None:
    registered()
    counted = 'pointsman_operator_modeldeployments{ready="False",reason="AliasNotFound"} 1.0'
    assert counted not in operator.scrape()
    simulated.apply(model_deployment("fraud", namespace, model={"uri": f"models:/{namespace}@none"}))
    says(simulated, namespace, "AliasNotFound")
    wait_for("it is counted", lambda: counted in operator.scrape())
    assert "pointsman_operator_leads 1.0" in operator.scrape()
