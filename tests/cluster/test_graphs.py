"""The fraud example on a cluster: what a namespace's graphs become, and what is missing or broken said and mended.

The control plane, KServe, KubeRay and MLflow are real; nodes and pods are simulated. What hosts and the dispatcher answer is
played.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import yours
from harness.cluster import Cluster
from harness.graphs import GRAPH, OURS, changed, decided, documents, hosts, said, says, uids
from harness.neighbours import Neighbours
from harness.operator import Operator
from harness.pod_stages import ANNOTATION, Behaviour
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


@pytest.fixture(scope="module")
def operator(graphs_operator: Callable[..., Any]) -> Iterator[Operator]:
    with graphs_operator() as running:
        yield running


def test_the_example_becomes_a_host_and_what_a_namespace_shares_and_is_ready_once_the_host_decides(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))

    host, revision = decided(simulated, namespace, played)

    status = said(simulated, namespace)["status"]
    assert status["revision"] == revision
    assert status["url"] == f"http://{GRAPH}.{namespace}.svc/v1/graphs/{GRAPH}/decisions"
    assert {node: each["deployment"] for node, each in status["models"].items()} == {
        "boosted": "fraud-scorer",
        "sequence": "card-sequence",
    }
    selector = simulated.get("service", GRAPH, namespace)["spec"]["selector"]
    assert host == f"{GRAPH}-{selector['pointsman.dev/shape']}"
    assert {each["metadata"]["name"] for each in simulated.list("deployment", namespace, OURS)} == {
        "pointsman-api",
        "pointsman-dispatcher",
    }
    for kind, name in (
        ("eventstream", "transactions"), ("featureview", "card-activity"), ("actiontarget", "accounts"),
    ):  # fmt: skip
        says(simulated, namespace, "Ready", "True", kind, name)
    keys = simulated.get("secret", "pointsman-keys", namespace)["data"]
    assert set(keys) == {"adminKey", "controlToken", "metricsKey"}


def test_what_a_graph_refers_to_and_is_missing_is_named_and_it_goes_on_by_itself_once_it_is_there(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace, "DecisionGraph"))
    message = says(simulated, namespace, "StreamNotFound")["message"]
    for name in ("transactions", "card-activity", "terminal-activity", "fraud-scorer", "card-sequence", "accounts"):
        assert f'"{name}"' in message

    views = documents(namespace, "FeatureView")
    simulated.apply(*documents(namespace, "EventStream", "ModelDeployment", "ActionTarget"), views[0])
    message = 'FeatureView "terminal-activity" does not exist: apply it'
    wait_for(
        "the one that is missing is named", lambda: says(simulated, namespace, "ViewNotFound")["message"] == message
    )
    assert hosts(simulated, namespace) == {}

    simulated.apply(*views)
    decided(simulated, namespace, played)


def test_a_changed_band_is_handed_to_the_host_that_runs_and_a_revision_that_it_refuses_leaves_the_old_one_deciding(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))
    host, first = decided(simulated, namespace, played)
    before = uids(simulated, namespace)

    simulated.apply(changed(namespace, deadline="300ms"))
    says(simulated, namespace, "SwitchingRevision", "Unknown")
    second = hosts(simulated, namespace)[host]
    assert second != first

    played.decides(namespace, host, first, refused={"revision": second, "message": "no such column"})
    said_ = says(simulated, namespace, "HostFailed")
    assert "does not take over" in said_["message"]
    assert said_["message"].endswith("no such column")
    assert said(simulated, namespace)["status"]["revision"] == first

    played.decides(namespace, host, second)
    says(simulated, namespace, "Ready", "True")
    assert said(simulated, namespace)["status"]["revision"] == second
    assert uids(simulated, namespace) == before


def test_a_host_of_another_shape_is_brought_up_beside_and_takes_over_once_it_has_answered_and_waits_for_nothing(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))
    old, first = decided(simulated, namespace, played)
    selected = lambda: simulated.get("service", GRAPH, namespace)["spec"]["selector"]["pointsman.dev/shape"]  # noqa: E731

    simulated.apply(changed(namespace, runtime={"type": "RayServe", "resources": {"requests": {"memory": "3Gi"}}}))
    found = wait_for("a host beside", lambda: len(both := hosts(simulated, namespace)) == 2 and both)
    [new] = found.keys() - {old}
    assert found[old] == first, "the one that decides stays as it is"
    says(simulated, namespace, "SwitchingRevision", "Unknown")
    assert selected() == old.removeprefix(f"{GRAPH}-")
    config = simulated.get("rayservice", new, namespace)["spec"]["serveConfigV2"]
    assert '"standby": true' in config

    played.decides(namespace, new, found[new], standby=True, awaits=awaiting(found[new]))
    assert (
        f"revision {first[7:15]} goes on deciding"
        in says(simulated, namespace, "AwaitingCertificate", "Unknown")["message"]
    )
    assert selected() == old.removeprefix(f"{GRAPH}-")

    played.decides(namespace, new, found[new], standby=True)
    wait_for("decisions go to the new host", lambda: selected() == new.removeprefix(f"{GRAPH}-"))
    says(simulated, namespace, "Ready", "True")
    wait_for("the old host is gone", lambda: set(hosts(simulated, namespace)) == {new})
    assert '"standby": false' in simulated.get("rayservice", new, namespace)["spec"]["serveConfigV2"]
    wait_for("nothing drains", lambda: "draining" not in said(simulated, namespace)["status"])
    assert simulated.list("networkpolicy", namespace, f"pointsman.dev/shape={old.removeprefix(f'{GRAPH}-')}") == []


def awaiting(revision: str) -> dict[str, Any]:
    """What a host says of a revision that it takes over once a band is certified."""
    band = {"band": "approve", "reason": "ScorerChanged", "message": 'changed since: model of node "sequence"'}
    return {"revision": revision, "bands": [band], "models": ["card-sequence"]}


def test_a_revision_of_a_model_stays_while_a_graph_decides_with_it(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))
    host, first = decided(simulated, namespace, played)
    services = lambda: {  # noqa: E731
        each["metadata"]["name"]
        for each in simulated.list("inferenceservice", namespace)
        if each["metadata"]["name"].startswith("card-sequence-")
    }
    before = services()

    [sequence] = (
        each for each in documents(namespace, "ModelDeployment") if each["metadata"]["name"] == "card-sequence"
    )
    runtime = {"type": "Native"}
    simulated.apply({**sequence, "spec": {**sequence["spec"], "runtime": runtime}})
    second = wait_for(
        "the graph is to call the new revision",
        lambda: (to := hosts(simulated, namespace)[host]) != first and to,
        seconds=60,
    )
    revision = simulated.get("modeldeployment", "card-sequence", namespace)["status"]["revision"]
    assert before | {f"card-sequence-{revision}"} == services()

    played.decides(namespace, host, first, awaits=awaiting(second))
    message = says(simulated, namespace, "AwaitingCertificate", "Unknown")["message"]
    assert f"pointsman certify {GRAPH} --revision " in message
    assert said(simulated, namespace)["status"]["revision"] == first
    assert before | {f"card-sequence-{revision}"} == services(), "of what decides and of what waits"

    played.decides(namespace, host, second)
    wait_for("the old revision is gone", lambda: services() == {f"card-sequence-{revision}"})


def test_what_the_dispatcher_sees_of_a_target_is_said_of_the_target_and_the_graph_waits_for_it(
    simulated: Cluster, operator: Operator, played: Neighbours, namespace: str
) -> None:
    simulated.apply(*documents(namespace))
    decided(simulated, namespace, played)

    played.reports(namespace, accounts={"answers": None, "missingSecrets": ["accounts-token/token"]})
    said_ = says(simulated, namespace, "SecretNotFound", "False", "actiontarget", "accounts")
    assert "accounts-token/token" in said_["message"]
    assert "accounts-token/token" in says(simulated, namespace, "WaitingForSecrets", "Unknown")["message"]

    played.reports(namespace, accounts={"answers": False, "cause": "the name is not known"})
    says(simulated, namespace, "TargetUnreachable", "False", "actiontarget", "accounts")
    says(simulated, namespace, "WaitingForTargets", "Unknown")

    played.reports(namespace, accounts={})
    says(simulated, namespace, "Ready", "True", "actiontarget", "accounts")
    says(simulated, namespace, "Ready", "True")


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (Behaviour.CRASH_LOOP, "Crashing", "ValueError: the opset 99 is not known"),
        (Behaviour.SECRET_MISSING, "SecretNotFound", "does not exist: create it in this namespace"),
    ],
)
def test_a_host_whose_pod_fails_says_why_and_goes_on_once_that_is_mended(
    simulated: Cluster,
    operator: Operator,
    played: Neighbours,
    namespace: str,
    behaviour: Behaviour,
    reason: str,
    words: str,
) -> None:
    broken = {"type": "Embedded", "podTemplate": {"metadata": {"annotations": {ANNOTATION: behaviour}}}}
    simulated.apply(*documents(namespace, "EventStream", "FeatureView", "ModelDeployment", "ActionTarget"))
    simulated.apply(changed(namespace, runtime=broken))
    assert words in says(simulated, namespace, reason)["message"]

    simulated.apply(changed(namespace, runtime={"type": "Embedded"}))
    pods = lambda: simulated.list("pod", namespace, f"pointsman.dev/graph={GRAPH}")  # noqa: E731
    healthy = lambda: [each for each in pods() if ANNOTATION not in each["metadata"].get("annotations", {})]  # noqa: E731
    [pod] = wait_for("only a host in good health", lambda: healthy() == pods() and len(pods()) == 1 and pods())
    name = f"{GRAPH}-{pod['metadata']['labels']['pointsman.dev/shape']}"
    text = simulated.get("configmap", name, namespace)["data"]["host.json"]
    played.decides(namespace, name, json.loads(text)["resolved"]["revision"])
    played.reports(namespace, accounts={})
    says(simulated, namespace, "Ready", "True")
