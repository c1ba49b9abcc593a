"""docs/metrics.md names every metric that our processes give, and no other; dashboards and alerts ask for nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import pointsman_operator.__main__  # noqa: F401  all that the operator counts
from pointsman.actions import metrics as of_dispatcher
from pointsman.actions.report import Report, TargetReport
from pointsman.api.reasons import Reason
from pointsman.certificates.report import BandReport
from pointsman.console import metrics as of_api
from pointsman.decisions.stats import Stats
from pointsman.ingest.report import SourceReport
from pointsman.store.database import connect
from pointsman_operator.cluster.queue import WorkQueue
from pointsman_operator.measures import Measures
from pointsman_operator.resources import dashboards, monitoring
from pointsman_serving.graph import metrics as of_host
from pointsman_serving.graph.measured import MeasuredPort

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| (?:([`\w, ]*) \| )?", re.MULTILINE)
NAME = re.compile(r"\b(?:pointsman|process)_\w+")


def documented() -> dict[str, str]:
    """The type of each metric on the page."""
    return {name: type_ for name, type_, _ in ROW.findall(PAGE)}


def families(text: bytes) -> dict[str, str]:
    """The type of each metric in an exposition, under the name that is asked for."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        is_counter = family.type == "counter"
        found[f"{family.name}_total" if is_counter else family.name] = family.type
    return {name: type_ for name, type_ in found.items() if not name.endswith("_created")}


@pytest.fixture
def exported(library, graph, database_url) -> dict[str, str]:
    compiled = library.graph
    host = of_host.exposition(
        of_host.Observed(
            graph=graph,
            ready=True,
            reason="Ready",
            revision=compiled.resolved.revision,
            pending=0,
            waiting=0,
            open_reviews=0,
            store_answers=True,
            requests={(200, ""): 1},
            stats=Stats(last_commit=1.0),
            compiled=compiled,
            ports={node: MeasuredPort(library._ports[node], model) for node, model in compiled.resolved.models.items()},
            source=SourceReport(reached=True, lag=0, lag_seconds=0.0),
            bands=[BandReport(band="approve", reason=Reason.CertificatesLive, message="", expires=datetime.now(UTC))],
        )
    )
    operator = generate_latest(REGISTRY) + generate_latest(Measures(idle_operator()))
    (target,) = compiled.resolved.targets
    report = Report(targets={target.name: TargetReport(answers=True, budget_left=1)})
    effects = of_dispatcher.Effects()
    dispatcher = of_dispatcher.exposition(effects, report, {target.name: target})
    with connect(database_url) as connection:
        api = of_api.exposition(connection, of_api.Verdicts())
    ours = {name: type_ for name, type_ in families(operator).items() if name.startswith("pointsman_operator_")}
    return families(host) | families(api) | families(dispatcher) | ours


def idle_operator() -> Any:
    """What measures are taken of, with nothing in it."""
    queue = WorkQueue[str]()
    caches = SimpleNamespace(silent_seconds=dict, statuses=tuple, graphs=tuple)
    graphs = SimpleNamespace(queue=queue, caches=caches)
    return SimpleNamespace(is_working=False, queue=queue, tags_pending=0, caches=caches, graphs=graphs)


def test_the_page_names_every_metric_with_its_type_and_no_other(exported) -> None:
    assert documented() == exported


def test_dashboards_and_alerts_ask_for_nothing_else(exported) -> None:
    known = set(exported)
    for name, type_ in exported.items():
        known |= {f"{name}_{part}" for part in ("bucket", "sum", "count") if type_ == "histogram"}
    asked = {
        name
        for each in dashboards.DASHBOARDS
        for row in each.rows
        for panel in row.panels
        for query in panel.queries
        for name in NAME.findall(query.expression)
    }
    alerts = {name for each in monitoring.graph_alerts.ALERTS for name in NAME.findall(each.expression)}
    assert asked | alerts <= known
    assert len(asked) > 30
