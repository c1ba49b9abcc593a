"""PodMonitors: their definition, and what Prometheus' operator makes of them, for a Prometheus outside the cluster.

That operator has Prometheus ask the API server for pods. Debian's Prometheus is built without that, so the pods are looked up
here, once; all else (who is kept, with which labels, path and credentials) stands in the configuration as that operator writes it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.cluster import Cluster, KubectlFailed
from harness.parts import go
from harness.waiting import wait_for

_MODULE = "github.com/prometheus-operator/prometheus-operator"
_RELABELING = {
    "sourceLabels": "source_labels",
    "targetLabel": "target_label",
    "action": "action",
    "regex": "regex",
    "replacement": "replacement",
}

Document = Mapping[str, Any]


def define(cluster: Cluster) -> None:
    """Have the API server know PodMonitors and PrometheusRules, as they are defined by Prometheus' operator."""
    go("mod", "download", _MODULE, module="monitoring")
    source = Path(go("list", "-m", "-f", "{{.Dir}}", _MODULE, module="monitoring"))
    folder = source / "example" / "prometheus-operator-crd"
    for kind in ("podmonitors", "prometheusrules"):
        definition = folder / f"monitoring.coreos.com_{kind}.yaml"
        cluster.kubectl("apply", "--server-side", "-f", str(definition))
        wait_for(f"{kind} are known", partial(_are_known, cluster, kind))


def _are_known(cluster: Cluster, kind: str) -> bool:
    try:
        cluster.list(kind)
    except KubectlFailed:
        return False
    return True


def scrape_configs(cluster: Cluster) -> list[dict[str, Any]]:
    """What Prometheus reads by the PodMonitors that are there, of the pods that run."""
    everything = json.loads(cluster.kubectl("get", "podmonitors,pods", "--all-namespaces", "-o", "json"))["items"]
    pods = [each for each in everything if each["kind"] == "Pod" and each["status"]["phase"] == "Running"]
    return [
        _job(cluster, monitor, number, endpoint, pods)
        for monitor in everything
        if monitor["kind"] == "PodMonitor"
        for number, endpoint in enumerate(monitor["spec"]["podMetricsEndpoints"])
    ]


def _job(cluster: Cluster, monitor: Document, number: int, endpoint: Document, pods: list[Document]) -> dict[str, Any]:
    spec, metadata = monitor["spec"], monitor["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    wanted = spec["selector"]["matchLabels"].items()
    found = [each for each in pods if each["metadata"]["namespace"] == namespace]
    found = [each for each in found if wanted <= each["metadata"]["labels"].items()]
    job = {
        "job_name": f"podMonitor/{namespace}/{name}/{number}",
        "metrics_path": endpoint["path"],
        "honor_labels": endpoint.get("honorLabels", False),
        "static_configs": [
            target
            for pod in found
            for target in _targets(pod, endpoint, f"{namespace}/{name}", spec.get("podTargetLabels", ()))
        ],
        "relabel_configs": [
            {_RELABELING[key]: value for key, value in each.items()} for each in endpoint.get("relabelings", ())
        ],
    }
    if "authorization" in endpoint:
        asked = endpoint["authorization"]
        secret = cluster.get("secret", asked["credentials"]["name"], namespace)["data"]
        credentials = base64.b64decode(secret[asked["credentials"]["key"]]).decode()
        job["authorization"] = {"type": asked["type"], "credentials": credentials}
    return job


def _targets(pod: Document, endpoint: Document, job: str, kept: list[str]) -> Iterator[dict[str, Any]]:
    """One for each port that a container declares and the endpoint names, by number or name."""
    metadata = pod["metadata"]
    ready = any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"]["conditions"])
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if endpoint.get("portNumber") == port["containerPort"] or endpoint.get("port") == port.get("name", ""):
                labels = {"job": job, "namespace": metadata["namespace"], "pod": metadata["name"]}
                labels |= {_as_label(each): metadata["labels"][each] for each in kept if each in metadata["labels"]}
                labels |= {"container": container["name"], "__meta_kubernetes_pod_ready": str(ready).lower()}
                yield {"targets": [f"{pod['status']['podIP']}:{port['containerPort']}"], "labels": labels}


def _as_label(name: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in name)
