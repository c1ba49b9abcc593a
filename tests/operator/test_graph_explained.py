"""Why a DecisionGraph is as it is: the tree from the graph down to the container that is to blame."""

from __future__ import annotations

from typing import Any

import pytest

from harness.town import GRAPH, Town, waiting_pod
from pointsman.api.decision_graph import DecisionGraph
from pointsman.graphs.references import references
from pointsman_operator import names
from pointsman_operator.explaining.graph_tree import explain
from pointsman_operator.graphs.seen import Answer


def told(town: Town) -> tuple[list[str], dict[str, Any]]:
    """The lines, indented as they lie below each other, marked ones with an arrow; and all that is explained."""
    raw = town.objects["DecisionGraph", GRAPH]
    found = explain(town.seen(), raw, references(DecisionGraph.model_validate(raw)), {})

    def lines(line: dict[str, Any], depth: int = 0) -> list[str]:
        mark = {"cause": "=> ", "waits": "-> ", "": ""}[line["mark"]]
        below = [each for inner in line["below"] for each in lines(inner, depth + 1)]
        return [f"{'  ' * depth}{mark}{line['what']}: {line['state']}", *below]

    return lines(found["tree"]), found


@pytest.fixture
def deciding() -> Town:
    town = Town()
    town.settle()
    town.prepared()
    town.settle()
    [host] = town.made("RayService")
    town.decides(host)
    town.dispatcher = Answer(status=200, body={"targets": {"accounts": {"answers": True}}})
    town.settle()
    return town


def test_a_graph_in_good_health_shows_what_it_refers_to_and_what_hosts_it(deciding: Town) -> None:
    [host] = deciding.made("RayService")
    lines, found = told(deciding)
    assert lines[0] == f"DecisionGraph/{GRAPH}: Ready True: Ready"
    assert "  EventStream/transactions: Ready True: Ready" in lines
    assert "  ModelDeployment/fraud-scorer: Ready True: Ready" in lines
    assert f"  host {host.removeprefix(f'{GRAPH}-')}: decides" in lines
    assert f"    RayService/{host}: KubeRay has not said anything yet" in lines
    assert any(line.startswith("    Job/pointsman-migrate-") and line.endswith(": done") for line in lines)
    assert found["more"] == ""


def test_the_pod_that_keeps_the_store_from_being_prepared_is_to_blame() -> None:
    town = Town()
    town.settle()
    missing = {"reason": "CreateContainerConfigError", "message": 'secret "pointsman-store" not found'}
    town.pods = [waiting_pod("migrate", missing)]
    town.settle()
    lines, found = told(town)
    assert [line for line in lines if "=>" in line] == ["      => Pod/migrate-0: Pending, not ready"]
    assert found["reason"] == "SecretNotFound"
    assert found["more"] == "kubectl describe pod migrate-0 -n risk"


def test_the_container_of_a_host_that_ends_again_and_again_is_to_blame(deciding: Town) -> None:
    [host] = deciding.made("RayService")
    shape = host.removeprefix(f"{GRAPH}-")
    pod = waiting_pod("host", {"reason": "CrashLoopBackOff", "message": "back-off"})
    pod["metadata"]["labels"] |= names.graph_labels(GRAPH, shape)
    [status] = pod["status"]["containerStatuses"]
    status |= {"restartCount": 3, "lastState": {"terminated": {"exitCode": 1, "message": "ValueError: no\n"}}}
    deciding.pods = [pod]
    deciding.hosts[host] = Answer(cause="nobody answers")
    deciding.settle()
    lines, found = told(deciding)
    assert found["reason"] == "Crashing"
    assert [line.strip() for line in lines if "=>" in line] == [
        "=> container host: CrashLoopBackOff, ended before by exit code 1, started again 3 times"
    ]
    assert "          last log line: ValueError: no" in lines
