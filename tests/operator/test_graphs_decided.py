"""What is to be in a namespace for the fraud example, step by step, as its cluster becomes what the operator wants of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from harness.town import DIGESTS, GRAPH, Town, deployment, waiting_pod
from pointsman_operator.graphs.seen import Answer
from pointsman_operator.happened import happened
from pointsman_operator.seen import Installed

VIEW = ("FeatureView", "card-activity")


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def deciding(town: Town) -> Town:
    town.settle()
    town.prepared()
    town.settle()
    [host] = town.made("RayService")
    town.decides(host)
    town.dispatcher = Answer(status=200, body={"targets": {"accounts": {"answers": True}}})
    town.settle()
    assert town.condition()[:2] == ("True", "Ready"), town.condition()
    return town


def test_nothing_runs_before_the_store_is_prepared_and_the_reason_of_its_job_is_said(town: Town) -> None:
    town.settle()
    assert len(town.made("Job")) == 1
    assert (town.made("RayService"), town.made("Deployment")) == ([], [])
    assert town.condition("StoreReady")[:2] == ("Unknown", "Progressing")

    missing = {"reason": "CreateContainerConfigError", "message": 'secret "pointsman-store" not found'}
    town.pods = [waiting_pod("migrate", missing)]
    town.settle()
    status, reason, message = town.condition()
    assert (status, reason) == ("False", "SecretNotFound")
    assert message.endswith('the Secret "pointsman-store" does not exist: create it in this namespace')
    assert town.condition(kind="ActionTarget", name="accounts")[:2] == ("False", "SecretNotFound")

    town.pods = []
    town.prepared()
    town.settle()
    assert town.made("Deployment") == ["pointsman-api", "pointsman-dispatcher"]
    assert len(town.made("RayService")) == 1


def test_a_deciding_graph_is_steady_and_a_restarted_operator_that_has_heard_nothing_writes_nothing(
    deciding: Town,
) -> None:
    deciding.hosts, deciding.dispatcher = {}, None
    assert deciding.step() == 0


def test_what_the_host_tells_of_its_decisions_is_said_and_stands_while_the_host_is_silent(deciding: Town) -> None:
    def said() -> tuple[str, str]:
        graph, view = (deciding.objects[key]["status"] for key in (("DecisionGraph", GRAPH), VIEW))
        return graph["automaticShare"], view["freshness"]

    [host] = deciding.made("RayService")
    activity = {"automaticPercent": 87, "newestEvents": {"card-activity": "2026-03-02T10:00:00Z"}}
    deciding.decides(host, activity=activity)
    assert deciding.step() == 2
    assert said() == ("87%", "2026-03-02T10:00:00Z")
    assert deciding.step() == 0

    deciding.hosts[host] = Answer(status=503, body={"ready": False, "reason": "DatabaseUnreachable", "message": "away"})
    deciding.settle()
    assert said() == ("87%", "2026-03-02T10:00:00Z")
    deciding.hosts, deciding.dispatcher = {}, None
    assert deciding.step() == 0


def test_a_demotion_is_told_once_and_what_was_said_of_bands_stands_while_their_host_says_nothing(
    deciding: Town,
) -> None:
    def told() -> tuple[list[str], dict[str, Any]]:
        """The reasons of the events of what follows, and the status."""
        before = deciding.objects["DecisionGraph", GRAPH].get("status", {})
        deciding.settle()
        after = deciding.objects["DecisionGraph", GRAPH]["status"]
        return [each.reason.value for each in happened(before, after)], after

    def band(reason: str, message: str) -> dict[str, Any]:
        certificate = {"bound": 0.0008, "expires": "2026-12-01T00:00:00Z", "certificate": "c1"}
        return {"band": "approve", "reason": reason, "message": message, **certificate}

    deciding.change(certificates="Required")
    deciding.settle()
    [host] = deciding.made("RayService")
    deciding.decides(host, bands=[band("CertificatesLive", "error at most 0.080%")])
    deciding.settle()
    deciding.decides(host, bands=[band("BandDemoted", "it was demoted by monitor: 4 of 7 items are wrong")])
    events, demoted = told()
    assert events == ["BandDemoted"]
    assert deciding.condition("Monitored")[:2] == ("False", "BandDemoted")
    deciding.decides(host, bands=[])  # it has just started, and not looked yet
    assert told() == ([], demoted)
    deciding.hosts[host] = Answer(cause="nobody answers")
    events, silent = told()
    assert ("BandDemoted" in events, silent["bands"]) == (False, demoted["bands"])
    assert deciding.condition("Monitored")[:2] == ("False", "BandDemoted")
    deciding.decides(host, bands=[band("CertificatesLive", "error at most 0.080%")])
    assert "NothingDemoted" in told()[0]


def test_a_new_release_prepares_the_store_first_and_what_runs_goes_on(deciding: Town) -> None:
    before = deciding.made("Deployment"), deciding.made("RayService")
    for kind, name in list(deciding.objects):
        if kind == "Job":
            deciding.objects["Job", "pointsman-migrate-0-0-0-00000000"] = deciding.objects.pop((kind, name))
            deciding.objects["Job", "pointsman-migrate-0-0-0-00000000"]["metadata"]["name"] = (
                "pointsman-migrate-0-0-0-00000000"
            )
    deciding.settle()
    assert deciding.made("Job") != ["pointsman-migrate-0-0-0-00000000"]
    assert (deciding.made("Deployment"), deciding.made("RayService")) == before
    assert deciding.condition("HostReady")[0] == "True"


def test_a_graph_without_kuberay_says_so_and_stays_as_it_is_and_one_in_a_single_process_does_without(
    town: Town,
) -> None:
    town.installed = Installed(gateway=True)
    town.settle()
    town.prepared()
    town.settle()
    assert town.condition()[:2] == ("False", "KubeRayNotFound")
    assert town.made("RayService") == []

    town.change(runtime={"type": "Embedded"})
    town.settle()
    assert [name for name in town.made("Deployment") if name.startswith(GRAPH)] != []


def test_a_graph_with_the_name_of_a_model_is_refused(town: Town) -> None:
    town.put(deployment(GRAPH, DIGESTS["fraud-scorer"]))
    town.settle()
    status, reason, message = town.condition()
    assert (status, reason) == ("False", "NameTaken")
    assert "rename one" in message


def test_what_a_host_says_of_itself_is_said_of_the_graph(deciding: Town) -> None:
    [host] = deciding.made("RayService")
    body = {
        "ready": False,
        "revision": "",
        "reason": "DatabaseUnreachable",
        "message": "the decision store does not answer",
    }
    deciding.hosts[host] = Answer(status=503, body=body)
    deciding.settle()
    assert deciding.condition() == (
        "False", "DatabaseUnreachable", "the host does not decide: the decision store does not answer",
    )  # fmt: skip
    assert deciding.objects["DecisionGraph", GRAPH]["status"]["revision"] == deciding.revision(host)


def test_a_host_that_ray_does_not_run_says_the_last_line_of_why(deciding: Town) -> None:
    [host] = deciding.made("RayService")
    deciding.hosts[host] = Answer(cause="nobody answers")
    raw = deciding.objects["RayService", host]
    failed = {GRAPH: {"status": "DEPLOY_FAILED", "message": "Traceback:\n  File x\nValueError: no such model\n"}}
    raw["status"] = {"activeServiceStatus": {"applicationStatuses": failed}}
    deciding.settle()
    assert deciding.condition() == (
        "False", "HostFailed", "the host does not decide: Ray Serve does not run the graph: ValueError: no such model",
    )  # fmt: skip


def test_each_turn_is_later_than_the_one_before(deciding: Town) -> None:
    def turns() -> dict[str, tuple[int, bool]]:
        found = {}
        for name in deciding.made("RayService"):
            config = json.loads(deciding.objects["RayService", name]["spec"]["serveConfigV2"])
            handed = config["applications"][0]["deployments"][0]["user_config"]
            found[name] = (handed["order"], handed["standby"])
        return found

    [old] = deciding.made("RayService")
    assert turns() == {old: (1, False)}
    deciding.change(runtime={"type": "RayServe", "resources": {"requests": {"memory": "3Gi"}}})
    deciding.settle()
    [new] = {*deciding.made("RayService")} - {old}
    assert turns() == {old: (1, False), new: (1, True)}

    deciding.decides(new)
    deciding.settle()
    assert turns()[new] == (2, False)
    deciding.now += timedelta(seconds=31)
    deciding.settle()
    assert deciding.made("RayService") == [new]


def test_what_is_left_of_a_budget_is_said_as_it_comes_to_matter(deciding: Town) -> None:
    def left(budget_left: int) -> int:
        deciding.dispatcher = Answer(
            status=200, body={"targets": {"accounts": {"answers": True, "budgetLeft": budget_left}}}
        )
        deciding.settle()
        return int(deciding.objects["ActionTarget", "accounts"]["status"]["budgetLeft"])

    assert [left(each) for each in (4987, 4961, 12, 3, 0)] == [5000, 5000, 12, 3, 0]


def test_with_the_last_graph_and_target_nothing_is_decided_any_more(deciding: Town) -> None:
    deciding.drop("DecisionGraph", GRAPH)
    deciding.drop("ActionTarget", "accounts")
    decided = deciding.decide()
    assert not decided.shared
    assert decided.graphs == {}


def test_what_cannot_be_read_is_said_and_the_graph_waits_for_it(deciding: Town) -> None:
    view = deciding.objects["FeatureView", "card-activity"]
    deciding.put({**view, "spec": {**view["spec"], "nonsense": 1}})
    deciding.settle()
    status, reason, message = deciding.condition(kind="FeatureView", name="card-activity")
    assert (status, reason) == ("False", "InvalidSpec")
    assert "spec.nonsense" in message
    assert deciding.condition()[:2] == ("Unknown", "WaitingForViews")
    assert deciding.condition("HostReady")[0] == "True"
