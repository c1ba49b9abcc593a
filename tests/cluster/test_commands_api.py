"""The commands about a cluster's graphs, decisions and reviews: through the API server, to the real API and a real graph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import decision_api, operator, yours
from harness.cluster import Cluster
from harness.decision_api import EXAMPLE, GRAPH
from harness.gateway import own_address
from harness.waiting import wait_for
from pointsman.governance.access import Role

ADDRESS = own_address()
Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
    pytest.mark.skipif(ADDRESS is None, reason="this machine has no address but loopback's"),
]


@pytest.fixture(scope="module")
def installed(simulated: Cluster) -> Cluster:
    operator.installed(simulated)
    return simulated


@pytest.fixture
def pointsman(installed: Cluster, namespace: str, tmp_path: Path) -> Run:
    """`kubectl pointsman` in the test's namespace; as somebody with no more than the role `as_` of Kubernetes there."""

    def run(*arguments: str, as_: str | None = None, key: str | None = None) -> subprocess.CompletedProcess[str]:
        kubeconfig = installed.kubeconfig
        if as_ is not None:
            kubeconfig = tmp_path / f"{as_}.kubeconfig"
            if not kubeconfig.exists():
                _somebody(installed, namespace, as_, kubeconfig)
        environment = {name: value for name, value in os.environ.items() if name != "POINTSMAN_API_KEY"}
        environment |= {"KUBECONFIG": str(kubeconfig), "POINTSMAN_HOME": str(tmp_path / "home")}
        if key is not None:
            environment["POINTSMAN_API_KEY"] = key
        command = [str(Path(sys.executable).with_name("kubectl-pointsman")), *arguments, "-n", namespace]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


def _somebody(cluster: Cluster, namespace: str, role: str, kubeconfig: Path) -> None:
    cluster.kubectl("create", "serviceaccount", role, "-n", namespace)
    bound = (f"--clusterrole={role}", f"--serviceaccount={namespace}:{role}")
    cluster.kubectl("create", "rolebinding", role, "-n", namespace, *bound)
    token = cluster.kubectl("create", "token", role, "-n", namespace).strip()
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"] = [{"name": "somebody", "user": {"token": token}}]
    document["contexts"][0]["context"]["user"] = "somebody"
    kubeconfig.write_text(yaml.safe_dump(document))


@pytest.fixture
def decisions(installed: Cluster, namespace: str, database_url: str, tmp_path: Path) -> Iterator[None]:
    assert ADDRESS is not None
    with decision_api.decisions(installed, namespace, database_url, ADDRESS, tmp_path):
        yield


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def event(number: int, amount: str) -> dict[str, str]:
    return {
        "transaction_id": f"t-{number}",
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": amount,
        "card_id": f"card-{number}",
        "terminal_id": "terminal-1",
        "card_account": f"account-{number}",
    }


def test_who_reads_the_namespaces_own_key_sends_events_sees_decisions_and_decides_reviews(
    installed: Cluster, namespace: str, database_url: str, decisions: None, pointsman: Run, tmp_path: Path
) -> None:
    installed.apply(decision_api.own_key(namespace, decision_api.key(database_url, Role.ADMIN)))
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event(number, amount)) for number, amount in enumerate(("12.50", "9000.00"))))

    sent = pointsman("events", "send", str(file), "--graph", GRAPH, "-o", "json")
    assert json.loads(sent.stdout)["decided"] == 2, sent.stderr

    listed = rows(pointsman("decisions", "list", "--graph", GRAPH, "-o", "json"))
    assert {each["id"]: each["outcome"] for each in listed} == {"t-0": "approve", "t-1": "review"}
    assert "revision:" in pointsman("decisions", "show", "t-1").stdout
    assert json.loads(pointsman("explain", "t-1", "-o", "json").stdout)["decision"]["outcome"] == "review"

    [claimed] = rows(pointsman("reviews", "claim", "--graph", GRAPH, "-o", "json"))
    decided = rows(pointsman("reviews", "decide", claimed["review_id"], "legitimate", "-r", "phoned", "-o", "json"))
    assert [each["verdict"] for each in decided] == ["legitimate"]
    assert rows(pointsman("reviews", "list", "--graph", GRAPH, "-o", "json")) == []

    added = pointsman("lists", "add", "stolen_cards", "card-9", "--graph", GRAPH, "-m", "phoned in")
    assert added.stdout == "added\n", added.stderr
    assert pointsman("lists", "remove", "stolen_cards", "card-9", "--graph", GRAPH).stdout == "removed\n"
    made = pointsman("keys", "create", "till-7", "--role", "service").stdout.strip()
    assert made.startswith("pm_")
    assert rows(pointsman("deadletters", "list", "--graph", GRAPH, "-o", "json")) == []


def test_who_may_only_view_reads_with_a_key_and_a_reviewer_decides(
    installed: Cluster, namespace: str, database_url: str, decisions: None, pointsman: Run, tmp_path: Path
) -> None:
    viewer, reviewer = (decision_api.key(database_url, role) for role in (Role.VIEWER, Role.REVIEWER))
    service = decision_api.key(database_url, Role.SERVICE)
    installed.apply(decision_api.own_key(namespace, decision_api.key(database_url, Role.ADMIN)))
    file = tmp_path / "events.json"
    file.write_text(json.dumps([event(1, "9000.00")]))
    sent = pointsman("events", "send", str(file), "--graph", GRAPH, "--key", service)
    assert sent.returncode == 0, sent.stderr
    claim = ("reviews", "claim", "--graph", GRAPH, "-o", "json")

    def listed() -> list[dict[str, Any]]:
        done = pointsman("decisions", "list", "--graph", GRAPH, "-o", "json", as_="view", key=viewer)
        return rows(done) if done.returncode == 0 else []

    wait_for("the role is aggregated", listed, seconds=60)
    without = pointsman("decisions", "list", "--graph", GRAPH, as_="view")
    assert without.returncode == 1
    assert without.stderr.startswith('error: an API key is needed: secrets "pointsman-keys" is forbidden')
    assert "hint: give --key or set POINTSMAN_API_KEY" in without.stderr
    unknown = pointsman("decisions", "list", "--graph", GRAPH, "--key", "pm_wrong", as_="view")
    assert unknown.stderr.startswith("error: the API key is not known, has expired or was revoked")
    refused = pointsman(*claim, as_="view", key=reviewer)
    assert refused.returncode == 1
    assert '"pointsman-api:80" is forbidden' in refused.stderr
    assert 'the ClusterRole "pointsman-reviewer"' in refused.stderr
    assert len(rows(pointsman(*claim, as_="pointsman-reviewer", key=reviewer))) == 1
    may_not = pointsman(*claim, as_="pointsman-reviewer", key=viewer)
    assert 'has the role viewer, which may not "review"' in may_not.stderr


def test_a_namespace_without_an_api_and_one_whose_api_is_not_up_are_told_apart(
    installed: Cluster, namespace: str, pointsman: Run
) -> None:
    nothing = pointsman("decisions", "list", "--graph", GRAPH)
    assert nothing.returncode == 4
    assert nothing.stderr.startswith(f'error: the namespace "{namespace}" has no API of ours: it has no Secret')
    no_service = pointsman("decisions", "list", "--graph", GRAPH, "--key", "pm_any")
    assert no_service.returncode == 4
    assert no_service.stderr.startswith(f'error: the namespace "{namespace}" has no Service "pointsman-api"')
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    installed.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "pointsman-api", "namespace": namespace},
            "spec": {"selector": {"app": "none"}, "ports": ports},
        }
    )
    not_up = pointsman("decisions", "list", "--graph", GRAPH, "--key", "pm_any")
    assert not_up.returncode == 3
    assert (
        f'error: the Service "pointsman-api" in "{namespace}" does not answer: no endpoints available' in not_up.stderr
    )


def test_all_kinds_are_shown_as_a_laptop_shows_them(installed: Cluster, namespace: str, pointsman: Run) -> None:
    documents = [
        each
        for name in ("transactions", "views", "graph", "accounts")
        for each in yaml.safe_load_all((EXAMPLE / f"{name}.yaml").read_text())
        if each["apiVersion"].startswith("pointsman.dev/")
    ]
    installed.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(documents))
    everything = pointsman("get")
    assert everything.returncode == 0, everything.stderr
    shown = {tuple(line.split()[:2]) for line in everything.stdout.splitlines()[1:]}
    assert shown == {(each["kind"], each["metadata"]["name"]) for each in documents}
    assert pointsman("get", "decisiongraphs").stdout.split()[:4] == ["NAME", "REVISION", "AUTOMATIC", "ADDRESS"]
    assert json.loads(pointsman("get", "pes", "transactions", "-o", "json").stdout)["kind"] == "EventStream"
    assert "eventStreamRef:" in pointsman("describe", "pdg", GRAPH).stdout
    explained = json.loads(pointsman("explain", f"pdg/{GRAPH}", "-o", "json").stdout)
    assert explained["tree"]["what"] == f"DecisionGraph/{GRAPH}"
    absent = pointsman("get", "pat", "nobody")
    assert absent.returncode == 4
    assert absent.stderr.startswith(f'error: no ActionTarget is called "nobody" in the namespace "{namespace}"')
    assert pointsman("get", "secrets").returncode == 2
