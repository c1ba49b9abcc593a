"""`kill -9` of what runs in a pod on the real node: its processes are found by the container's cgroup."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from harness.cluster import Cluster


def kill(cluster: Cluster, namespace: str, selector: str, container: str) -> list[str]:
    """Kill every process of this container in all pods that the selector finds; the pods' names.

    The kubelet starts the container again, in the same pod. Raises AssertionError where nothing of it runs.
    """
    found = {
        status["containerID"].rpartition("/")[2]: pod["metadata"]["name"]
        for pod in cluster.list("pod", namespace, selector)
        for status in pod["status"].get("containerStatuses", ())
        if status["name"] == container and "running" in status["state"]
    }
    assert found, f"no pod in {namespace} with {selector} runs a container {container}"
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # one that ends meanwhile
            if process.name.isdigit() and any(id_ in (process / "cgroup").read_text() for id_ in found):
                os.kill(int(process.name), signal.SIGKILL)
    return list(found.values())
