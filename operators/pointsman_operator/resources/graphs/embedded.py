"""A shape of a graph in one process: a Deployment of one pod, and the ConfigMap with the revision that it follows."""

from __future__ import annotations

from pathlib import PurePosixPath

import orjson

from pointsman.api.secret_keys import secret_keys
from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph
from pointsman_operator import names
from pointsman_operator.resources.graphs import pods
from pointsman_operator.resources.graphs.metadata import of_graph
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.metadata import hashed
from pointsman_operator.seen import CONFIG_MAP, DEPLOYMENT, Child, Raw

CONFIG = PurePosixPath(pod.CONFIG_FILE)


def config_map(owner: Raw, resolved: ResolvedGraph, shape: str, handed: Raw) -> Child:
    """What the host is handed. The kubelet brings a change into the pod within about a minute."""
    file = {**handed, "host": "0.0.0.0", "port": pod.HTTP_PORT}
    text = orjson.dumps(file, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    name = names.host(resolved.graph.name, shape)
    return hashed(of_graph(owner, CONFIG_MAP, name, shape=shape, data={CONFIG.name: text}))


def deployment(owner: Raw, resolved: ResolvedGraph, shape: str, platform: Platform) -> Child:
    """One pod. A new one starts when the old one has ended: there is one writer."""
    graph = resolved.graph
    runtime, name = graph.spec.runtime, names.host(graph.name, shape)
    labels = {**names.graph_labels(graph.name, shape), names.PART: "host"}
    path = f"/v1/graphs/{graph.name}/-"
    container = pods.container(
        "host",
        platform,
        image=runtime.image,
        command=["python", "-m", "pointsman_serving.embedded", "--config", pod.CONFIG_FILE],
        environment=[
            *(pods.value(variable, text) for variable, text in pod.ONE_THREAD.items()),
            *pods.host_environment(owner, name, platform),
        ],
        ports={"serve": pod.HTTP_PORT},
        mounts={**pods.HOST_MOUNTS, "config": str(CONFIG.parent)},
        resources=pods.resources(pods.EMBEDDED, runtime.resources),
        startupProbe={"tcpSocket": {"port": pod.HTTP_PORT}, "periodSeconds": 1, "failureThreshold": 120},
        readinessProbe={
            "httpGet": {"path": f"{path}/ready", "port": pod.HTTP_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
        livenessProbe={
            "httpGet": {"path": f"{path}/metrics", "port": pod.HTTP_PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
    )
    volumes = [
        *pods.host_volumes(secret_keys(resolved.stream.spec.source)),
        {"name": "config", "configMap": {"name": name}},
    ]
    template = {
        "metadata": pods.labelled(labels, runtime.pod_template),
        "spec": pods.of_pod([container], platform, volumes=volumes, template=runtime.pod_template),
    }
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": labels},
        "template": template,
    }
    return hashed(of_graph(owner, DEPLOYMENT, name, shape=shape, spec=spec))
