"""A shape of a graph on Ray: a RayService that KubeRay never replaces by itself, since another shape is another RayService.

What the graph decides by is `user_config` in `serveConfigV2`, the only field in which two revisions of one shape differ:
KubeRay hands it to the Serve application that runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pointsman.api.secret_keys import secret_keys
from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph
from pointsman_operator import names
from pointsman_operator.names import Part
from pointsman_operator.resources.graphs import pods
from pointsman_operator.resources.graphs.metadata import of_graph
from pointsman_operator.resources.graphs.platform import RAY_VERSION, Platform
from pointsman_operator.seen import RAY_SERVICE, Child, Raw

OBJECT_STORE = "83886080"
"""Bytes; Ray's least is a little less. No event goes through the object store."""
LOGS: Mapping[str, str] = {
    "RAY_LOG_TO_STDERR": "1",
    "RAY_SERVE_LOG_TO_STDERR": "1",
    "RAY_BACKEND_LOG_LEVEL": "warning",
    "RAY_ROTATION_MAX_BYTES": "16777216",
    "RAY_ROTATION_BACKUP_COUNT": "2",
}
"""The container's log is what the host says, and what Ray warns of; Serve's own files stay below the limit of their volume"""
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may hold as it is, and YAML may not"""


def ray_service(owner: Raw, resolved: ResolvedGraph, shape: str, platform: Platform, handed: Raw) -> Child:
    """The RayService of one shape. It carries no digest of itself: KubeRay copies annotations to what it makes."""
    graph = resolved.graph
    name = names.host(graph.name, shape)
    cluster: dict[str, Any] = {
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": False,
        "authOptions": {"mode": "token"},
        "headGroupSpec": _head(resolved, shape, platform),
        "workerGroupSpecs": [_workers(owner, resolved, shape, platform)],
    }
    if platform.redis is not None:
        options: dict[str, Any] = {"redisAddress": platform.redis.address}
        if platform.redis.secret is not None:
            reference = {"name": platform.redis.secret, "key": platform.redis.key}
            options["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}
        cluster["gcsFaultToleranceOptions"] = options
    spec = {
        "upgradeStrategy": {"type": "None"},
        "excludeHeadPodFromServeSvc": True,
        "serveConfigV2": _serve_config(graph.name, handed),
        "rayClusterConfig": cluster,
    }
    return of_graph(owner, RAY_SERVICE, name, shape=shape, spec=spec)


def _serve_config(graph: str, handed: Raw) -> str:
    config = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": pod.HTTP_PORT},
        "applications": [
            {
                "name": graph,
                "route_prefix": f"/v1/graphs/{graph}",
                "import_path": pod.APPLICATION,
                "logging_config": {"enable_access_log": False},
                "deployments": [
                    {
                        "name": pod.DEPLOYMENT,
                        "num_replicas": 1,
                        "user_config": handed,
                    }
                ],
            }
        ],
    }
    return as_yaml(config)


def as_yaml(value: object) -> str:
    """The same bytes for the same value. It is JSON, in which YAML takes no text for a number."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _head(resolved: ResolvedGraph, shape: str, platform: Platform) -> dict[str, Any]:
    runtime = resolved.graph.spec.runtime
    container = _container("ray-head", resolved, platform, ports={**pod.RAY_HEAD_PORTS, "serve": pod.HTTP_PORT})
    return {
        "rayStartParams": {**_start_parameters(), "num-cpus": "0", "no-monitor": "true", "dashboard-host": "0.0.0.0"},
        "template": {
            "metadata": pods.labelled(_labels(resolved, shape, "head"), runtime.pod_template),
            "spec": pods.of_pod(
                [{**container, "resources": pods.resources(pods.HEAD)}], platform, template=runtime.pod_template
            ),
        },
    }


def _workers(owner: Raw, resolved: ResolvedGraph, shape: str, platform: Platform) -> dict[str, Any]:
    runtime, name = resolved.graph.spec.runtime, names.host(resolved.graph.name, shape)
    labels = _labels(resolved, shape, "host")
    container = _container(
        "ray-worker",
        resolved,
        platform,
        environment=pods.host_environment(owner, name, platform),
        ports={"serve": pod.HTTP_PORT},
        mounts=pods.HOST_MOUNTS,
        resources=pods.resources(pods.WORKER, runtime.resources, runtime.workers.resources),
        readinessProbe={
            "httpGet": {"path": "/-/healthz", "port": pod.HTTP_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
    )
    count = runtime.workers.min_replicas
    return {
        "groupName": "workers",
        "replicas": count,
        "minReplicas": count,
        "maxReplicas": count,
        "rayStartParams": _start_parameters(),
        "template": {
            "metadata": pods.labelled(labels, runtime.pod_template),
            "spec": pods.of_pod(
                [container],
                platform,
                volumes=pods.host_volumes(secret_keys(resolved.stream.spec.source)),
                spread=labels,
                template=runtime.pod_template,
            ),
        },
    }


def _container(name: str, resolved: ResolvedGraph, platform: Platform, **fields: Any) -> dict[str, Any]:
    of_ray = [pods.value(variable, text) for variable, text in {**pod.RAY_ENVIRONMENT, **LOGS}.items()]
    environment = [*of_ray, *fields.pop("environment", ())]
    image = resolved.graph.spec.runtime.image
    return pods.container(name, platform, image=image, environment=environment, **fields)


def _start_parameters() -> dict[str, str]:
    return {"object-store-memory": OBJECT_STORE, **{name: str(port) for name, port in pod.RAY_NODE_PORTS.items()}}


def _labels(resolved: ResolvedGraph, shape: str, part: Part) -> dict[str, str]:
    return {**names.graph_labels(resolved.graph.name, shape), names.PART: part}
