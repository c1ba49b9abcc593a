"""Which version was proposed when, what served, and what failed: in the status, in Events and in the registry, each told once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import operator as operators
from harness import yours
from harness.cluster import Cluster
from harness.model_deployments import ready, says, seen
from harness.operator import Operator, model_deployment
from harness.waiting import wait_for
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import ModelVersion

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

Register = Callable[..., str]
ALL_GPUS = {"resources": {"limits": {"nvidia.com/gpu": "8"}}, "autoscaling": {"type": "None", "replicas": 2}}
"""Of both GPU nodes: another revision finds no place beside this one"""


@pytest.fixture
def tag(mlflow_server: Any, namespace: str) -> Iterator[Callable[..., str | None]]:
    """What the registry says of a version of this test's own model."""
    with MlflowRegistry(mlflow_server.url) as registry:

        def tag(version: str, name: str = "fraud") -> str | None:
            found = registry.tags(ModelVersion(name=namespace, version=version))
            return (found or {}).get(f"pointsman.dev/{namespace}.{name}")

        yield tag


def history(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = seen(cluster, namespace).get("status", {}).get("history", [])
    return entries


def events(cluster: Cluster, namespace: str) -> list[tuple[str, str]]:
    """Type and reason of what was told, in its order."""
    ours = [each for each in cluster.list("event", namespace) if each["involvedObject"]["kind"] == "ModelDeployment"]
    return [(each["type"], each["reason"]) for each in sorted(ours, key=lambda each: str(each["eventTime"]))]


def test_a_moved_alias_is_in_the_history_in_events_and_in_the_registry(
    simulated: Cluster,
    operator: Operator,
    namespace: str,
    registered: Register,
    tag: Callable[..., str | None],
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    first = ready(simulated, namespace)["status"]
    [entry] = first["history"]
    assert {name: entry[name] for name in ("version", "digest", "revision")} == {
        name: first[name] for name in ("version", "digest", "revision")
    }
    assert entry["uri"] == f"models:/{namespace}@champion"
    serving = f"serving since {entry['servedFrom']} as revision {first['revision']}"
    wait_for("the registry says that version 1 serves", lambda: tag("1") == serving)

    registered()

    wait_for("version 2 serves", lambda: seen(simulated, namespace)["status"]["version"] == "2", seconds=60)
    old, new = history(simulated, namespace)
    assert (old["version"], new["version"]) == ("1", "2")
    assert old["servedFrom"] <= new["proposedAt"] <= new["servedFrom"] == old["servedUntil"]
    served = f"served from {old['servedFrom']} until {old['servedUntil']} as revision {old['revision']}"
    wait_for("the registry says that version 1 has served", lambda: tag("1") == served)
    serving = f"serving since {new['servedFrom']} as revision {new['revision']}"
    wait_for("the registry says that version 2 serves", lambda: tag("2") == serving)
    told = [("Normal", "ModelServing"), ("Normal", "NewRevisionProposed"), ("Normal", "ModelServing")]
    assert events(simulated, namespace) == told

    simulated.kubectl("delete", "modeldeployment", "fraud", "-n", namespace)
    wait_for("the registry says that nothing serves", lambda: (tag("2") or "").startswith("served from"))


def test_a_version_that_never_served_is_kept_with_its_reason_and_told_once_over_a_restart(
    simulated: Cluster,
    operator: Operator,
    namespace: str,
    registered: Register,
    tag: Callable[..., str | None],
    mlflow_server: Any,
    probes: str,
    tmp_path: Path,
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, **ALL_GPUS))
    wait_for("both GPU nodes are full", lambda: seen(simulated, namespace).get("status", {}).get("replicas") == 2)

    registered()

    says(simulated, namespace, "RolloutNeedsCapacity")
    first, second = history(simulated, namespace)
    assert "servedUntil" not in first
    assert (second["version"], second["failedFor"]) == ("2", "Unschedulable")
    assert not {"servedFrom", "servedUntil"} & second.keys()
    failed = f"failed as revision {second['revision']}: Unschedulable: "
    wait_for("the registry says that version 2 failed", lambda: (tag("2") or "").startswith(failed))
    told = [("Normal", "ModelServing"), ("Normal", "NewRevisionProposed"), ("Warning", "RolloutNeedsCapacity")]
    assert events(simulated, namespace) == told
    before = seen(simulated, namespace)
    others = lambda: simulated.kubectl("get", "modeldeployments", "-A", "-o", "name").split()  # noqa: E731
    wait_for("those of other tests are gone", lambda: len(others()) == 1, seconds=60)

    with operators.operator(
        simulated,
        tmp_path,
        registry=mlflow_server.url,
        probes=probes,
        environment={"POINTSMAN_RESYNC_SECONDS": "1"},
    ) as second_operator:
        wait_for("it has looked at everything again and again", lambda: second_operator.reconciled() > 5)
        assert second_operator.written() == {}
        assert "pointsman_operator_registry_tags_pending 0.0" in second_operator.scrape()
        assert '"tagged"' not in second_operator.log.read_text()

    assert seen(simulated, namespace) == before
    assert events(simulated, namespace) == told


def test_a_first_version_that_fails_its_probe_is_told_in_the_registry(
    simulated: Cluster,
    operator: Operator,
    namespace: str,
    registered: Register,
    tag: Callable[..., str | None],
) -> None:
    simulated.apply(model_deployment("unknown-to-its-server", namespace, model={"uri": registered()}))
    says(simulated, namespace, "ProbeFailed", name="unknown-to-its-server")

    wait_for(
        "the registry says that its probe failed",
        lambda: ": ProbeFailed: " in (tag("1", "unknown-to-its-server") or ""),
    )
    assert events(simulated, namespace) == [("Warning", "ProbeFailed")]


def test_what_is_logged_of_a_reconcile_names_the_object_and_its_generation(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    ready(simulated, namespace)

    records = [json.loads(line) for line in operator.log.read_text().splitlines()]
    mine = [each for each in records if each.get("object") == f"{namespace}/fraud"]
    assert [each["event"] for each in mine] == ["happened"]
    assert {each["generation"] for each in mine} == {1}
    of_reconciles = [each for each in records if each["event"] in ("happened", "retry", "a reconcile failed")]
    assert all({"object", "generation"} <= each.keys() for each in of_reconciles)
