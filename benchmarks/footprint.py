"""What a running system takes of this machine, part by part: memory (PSS, so that what is shared counts once) and CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.cluster import Cluster
from pointsman.local.leftovers import CHILD, marked

TICKS = os.sysconf("SC_CLK_TCK")
RAY, HEAD, WORKER = "Ray, and the graph's host", "Ray's head", "Ray's worker, and the graph's host"
KUBERNETES, CONTROLLERS = "Kubernetes", "KServe, KubeRay"
CHILDREN: Mapping[str, str] = {
    "graph-": RAY,
    "model-": "model servers",
    "pointsman-api": "API",
    "pointsman-gateway": "gateway",
    "dispatcher": "dispatcher",
    "postgres": "PostgreSQL",
    "mlflow": "MLflow",
    "accounts": "accounts, the example's target",
}
"""Of a local runtime, by the beginning of a supervised child's name"""
SUPERVISOR = "supervisor"
CONTAINERS: Mapping[str, str] = {
    "ray-head": HEAD,
    "ray-worker": WORKER,
    "kserve-container": "model servers",
    "api": "API",
    "gateway": "gateway",
    "dispatcher": "dispatcher",
    "operator": "operator",
    "postgres": "PostgreSQL",
    "mlflow": "MLflow",
    "accounts": "accounts, the example's target",
}
"""Of a cluster, by the container's name; every other is Kubernetes' own"""


@dataclass(frozen=True, kw_only=True)
class Used:
    """What one part takes: megabytes now, and CPU seconds so far of those of its processes that live."""

    megabytes: float = 0.0
    cpu_seconds: float = 0.0


def used(parts: Mapping[int, str]) -> dict[str, Used]:
    """By part. `parts` are process ids, and what each belongs to."""
    found = dict[str, Used]()
    for pid, part in sorted(parts.items()):
        so_far = found.get(part, Used())
        found[part] = Used(
            megabytes=so_far.megabytes + _megabytes(pid), cpu_seconds=so_far.cpu_seconds + _cpu_seconds(pid)
        )
    return found


def of_home(instance: str) -> dict[int, str]:
    """The processes of a local runtime, by process id. What has overwritten its environment belongs to who started it."""
    children = sorted((_child(each), each.pid) for each in marked(instance))
    found = dict[int, str]()
    for name, pid in reversed(children):  # the supervisor has no name: whatever it started is known by then
        part = next((part for begin, part in CHILDREN.items() if name.startswith(begin)), SUPERVISOR)
        for each in (pid, *_descendants(pid)):
            found.setdefault(each, part)
    return found


def of_cluster(cluster: Cluster) -> dict[int, str]:
    """The processes of a real node and its control plane, by process id."""
    assert cluster.log_folder is not None
    node = f"pointsman-{cluster.log_folder.parent.name}"  # each of its cgroups has this name
    containers = dict(_containers(cluster))
    found = dict[int, str]()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cgroups, program = (process / "cgroup").read_text(), (process / "comm").read_text()
        except OSError:
            continue  # it ended meanwhile
        if node in cgroups:
            part = next((part for id_, part in containers.items() if id_ in cgroups), None)
            controls = program.startswith(("kserve", "kuberay"))
            found[int(process.name)] = part or (CONTROLLERS if controls else KUBERNETES)
    return found


def _containers(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for pod in json.loads(cluster.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]:
        for status in pod["status"].get("containerStatuses", ()):
            id_ = status.get("containerID", "").rpartition("/")[2]
            if id_ and status["name"] in CONTAINERS:
                yield id_, CONTAINERS[status["name"]]


def _child(process: psutil.Process) -> str:
    try:
        return process.environ().get(CHILD, "")
    except psutil.Error:
        return ""


def _descendants(pid: int) -> list[int]:
    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _megabytes(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    kilobytes = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
    return sum(kilobytes) * 1024 / 1e6


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS
