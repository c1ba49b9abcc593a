"""The fraud example in a cluster, as its users see it: its documents, what they say of themselves, and the hosts that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.cluster import Cluster
from harness.neighbours import Neighbours
from harness.waiting import wait_for

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "fraud"
GRAPH = "card-fraud"
OURS = "app.kubernetes.io/managed-by=pointsman,!pointsman.dev/modeldeployment"


def documents(namespace: str, *kinds: str) -> list[dict[str, Any]]:
    """The example's documents of ours, of these kinds or of all."""
    files = ("models", "transactions", "views", "accounts", "graph")
    found = [each for name in files for each in yaml.safe_load_all((EXAMPLE / f"{name}.yaml").read_text())]
    ours = [each for each in found if each["apiVersion"].startswith("pointsman.dev/")]
    return [
        {**each, "metadata": {**each["metadata"], "namespace": namespace}}
        for each in ours
        if not kinds or each["kind"] in kinds
    ]


def said(cluster: Cluster, namespace: str, kind: str = "decisiongraph", name: str = GRAPH) -> dict[str, Any]:
    """What an object's conditions say, by type; the whole status below "status"."""
    status = cluster.get(kind, name, namespace).get("status", {})
    return {"status": status, **{each["type"]: each for each in status.get("conditions", ())}}


def says(cluster: Cluster, namespace: str, reason: str, status: str = "False", *named: str) -> dict[str, Any]:
    """Wait until Ready has this status and reason; the condition."""

    def found() -> Any:
        ready = said(cluster, namespace, *named).get("Ready", {})
        return ready if (ready.get("status"), ready.get("reason")) == (status, reason) else None

    try:
        return dict(wait_for(f"Ready is {status} for {reason}", found, seconds=60))
    except AssertionError as error:
        raise AssertionError(f"{error}: {said(cluster, namespace, *named)['status']}") from None


def hosts(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The RayServices by name, each with the revision that it was handed."""
    found = {}
    for raw in cluster.list("rayservice", namespace):
        [application] = yaml.safe_load(raw["spec"]["serveConfigV2"])["applications"]
        found[raw["metadata"]["name"]] = application["deployments"][0]["user_config"]["resolved"]["revision"]
    return found


def decided(cluster: Cluster, namespace: str, played: Neighbours) -> tuple[str, str]:
    """Let the one host that there is decide, and wait until the graph is Ready; its name and revision."""
    [(host, revision)] = wait_for("there is a host", lambda: list(hosts(cluster, namespace).items()), seconds=60)
    played.decides(namespace, host, revision)
    played.reports(namespace, accounts={})
    says(cluster, namespace, "Ready", "True")
    return host, revision


def changed(namespace: str, **of_spec: Any) -> dict[str, Any]:
    """The example's graph with other fields in its spec."""
    [graph] = documents(namespace, "DecisionGraph")
    return {**graph, "spec": {**graph["spec"], **of_spec}}


def uids(cluster: Cluster, namespace: str) -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in cluster.list("rayservice", namespace)}
