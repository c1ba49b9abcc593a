"""The end of the operator, when it is told to end. In a file of its own: beside another operator the status would be both's."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from harness import operator as operators
from harness import yours
from harness.cluster import Cluster
from harness.model_deployments import says
from harness.operator import model_deployment

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


def test_it_ends_within_seconds_of_being_told_to_though_the_registry_hangs(
    simulated: Cluster, namespace: str, probes: str, tmp_path: Path
) -> None:
    operators.installed(simulated)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen(64)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"POINTSMAN_LEADER_ELECTION": "true"}
        with operators.operator(simulated, tmp_path, registry=address, probes=probes, environment=settings) as running:
            simulated.apply(model_deployment("fraud", namespace, model={"uri": f"models:/{namespace}@champion"}))
            says(simulated, namespace, "Resolving", status="Unknown")
            asked, _ = silent.accept()  # it waits for an answer
            with asked:
                began = time.monotonic()
                os.kill(running.process.pid, signal.SIGTERM)
                assert running.process.wait(timeout=20) == 0
                seconds = time.monotonic() - began
            print(f"\nit ended {seconds:.1f} s after SIGTERM")  # noqa: T201
            assert seconds < 10
    [lease] = simulated.list("lease", operators.NAMESPACE)
    assert not lease["spec"].get("holderIdentity"), "another replica may lead at once"
