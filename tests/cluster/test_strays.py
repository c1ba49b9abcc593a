"""Somebody takes our labels away, by which everything is found: what is wanted comes back, what is not is deleted all the same."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import operator as harness
from harness import yours
from harness.cluster import Cluster
from harness.operator import model_deployment
from harness.played import playing
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

LABEL = "pointsman.dev/modeldeployment"


@pytest.fixture
def place(unattended: Cluster) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    unattended.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    unattended.kubectl("delete", "namespace", name, "--wait=false")


def fraud(place: str, version: int) -> dict[str, Any]:
    resources = {"requests": {"memory": f"{version}Gi"}}  # so that a revision that is left stays as it was made
    model = {"uri": "s3://fraud", "digest": f"sha256:{version:064x}"}
    return dict(model_deployment("fraud", place, model=model, resources=resources))


def serves(cluster: Cluster, place: str, version: int) -> bool:
    status = cluster.get("modeldeployment", "fraud", place).get("status", {})
    ready = next((each["status"] for each in status.get("conditions", ()) if each["type"] == "Ready"), None)
    return status.get("digest") == f"sha256:{version:064x}" and ready == "True"


def test_what_lost_its_label_while_nobody_looked_is_found_again(
    unattended: Cluster, place: str, tmp_path: Path
) -> None:
    with playing(unattended) as played:

        def started() -> Any:
            environment = {"POINTSMAN_RESYNC_SECONDS": "1"}
            return harness.operator(
                unattended, tmp_path, registry="http://127.0.0.1:9", probes=played.address, environment=environment
            )

        with started() as operator:
            unattended.apply(fraud(place, 1))
            wait_for("version 1 serves", lambda: serves(unattended, place, 1), seconds=60)
            operator.kill()
        [old] = unattended.list("inferenceservice", place)
        unattended.kubectl("label", "inferenceservice", old["metadata"]["name"], "-n", place, f"{LABEL}-")
        taken = {"metadata": {"labels": {LABEL: None}}, "spec": {"selector": {"app": "theirs"}}}
        unattended.kubectl("patch", "service", "fraud", "-n", place, "--type=merge", "-p", json.dumps(taken))
        unattended.apply(fraud(place, 2))

        with started():
            wait_for("version 2 serves", lambda: serves(unattended, place, 2), seconds=60)
            names = lambda: [each["metadata"]["name"] for each in unattended.list("inferenceservice", place)]  # noqa: E731
            wait_for("the old revision is gone", lambda: len(names()) == 1 and old["metadata"]["name"] not in names())
            service = unattended.get("service", "fraud", place)
            assert service["metadata"]["labels"][LABEL] == "fraud"
            assert service["spec"]["selector"][LABEL] == "fraud"
