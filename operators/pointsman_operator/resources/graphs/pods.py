"""What the pods of hosts, API, dispatcher and migrations have in common: security, places to write, and resources.

All of them run the graph image. What is not asked for gets the defaults that stand here; a pod template is merged as for a
ModelDeployment, but that its volumes come beside ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pointsman.api.meta import PodTemplate
from pointsman.api.resources import Resources
from pointsman.graphs import pod
from pointsman_operator import names
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.pods import CONTAINER_SECURITY, GRACE_SECONDS, PRE_STOP, USER, merged
from pointsman_operator.seen import Raw

EMBEDDED: Mapping[str, str] = {"cpu": "500m", "memory": "1Gi"}
"""What a host in one process asks for, where nothing is written. Memory is limited to what is asked for; CPU is not limited."""
WORKER: Mapping[str, str] = {"cpu": "500m", "memory": "2Gi"}
"""The same of a Ray worker, in which the host is one of Ray's processes"""
HEAD: Mapping[str, str] = {"cpu": "250m", "memory": "2Gi"}
"""Of Ray's head, which decides nothing and is not asked for by any spec"""
SERVICE: Mapping[str, str] = {"cpu": "100m", "memory": "512Mi"}
"""Of API, dispatcher and migrations"""

SCRATCH = "4Gi"
"""The most that a pod may write below /tmp: Ray's logs, HAProxy's configuration"""
MODELS = "20Gi"
"""The most that the models of a graph may take, those of the revision before among them"""


def resources(defaults: Mapping[str, str], *asked: Resources | None) -> dict[str, dict[str, str]]:
    """What a container asks for and may use; what is asked later counts. A limit that stands alone is asked for too."""
    limits, given = dict[str, str](), dict[str, str]()
    for each in asked:
        if each is not None:
            limits |= {name: str(amount) for name, amount in each.limits.items()}
            given |= {name: str(amount) for name, amount in each.requests.items()}
    requests = {**defaults, **limits, **given}
    limits.setdefault("memory", requests["memory"])
    return {"limits": limits, "requests": requests}


def container(
    name: str,
    platform: Platform,
    *,
    image: str | None = None,
    command: Sequence[str] = (),
    environment: Sequence[Mapping[str, Any]] = (),
    ports: Mapping[str, int] | None = None,
    mounts: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A container at the restricted Pod Security level that writes to its volumes alone. `mounts` are paths by volume."""
    found: dict[str, Any] = {"name": name, "image": image or platform.image}
    if platform.pull_policy is not None:
        found["imagePullPolicy"] = platform.pull_policy
    if command:
        found["command"] = list(command)
    places = {"scratch": "/tmp", **(mounts or {})}
    return found | {
        "env": [*environment, value("HOME", "/tmp")],
        "ports": [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in (ports or {}).items()],
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": dict(PRE_STOP),
        **fields,
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in places.items()],
    }


def of_pod(
    containers: Sequence[Mapping[str, Any]],
    platform: Platform,
    *,
    volumes: Iterable[Mapping[str, Any]] = (),
    spread: Mapping[str, str] | None = None,
    template: PodTemplate | None = None,
) -> dict[str, Any]:
    """A pod's spec. `spread` are the labels of those that are kept apart."""
    ours: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if platform.pull_secrets:
        ours["imagePullSecrets"] = [{"name": name} for name in platform.pull_secrets]
    if spread is not None:
        ours["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(spread)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ]
    theirs = dict(template.spec) if template is not None else {}
    mine = [{"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}}, *(dict(each) for each in volumes)]
    taken = {each["name"] for each in mine}
    beside = [each for each in theirs.pop("volumes", None) or () if each.get("name") not in taken]
    return merged(ours, theirs) | {"containers": [dict(each) for each in containers], "volumes": [*mine, *beside]}


def labelled(labels: Mapping[str, str], template: PodTemplate | None = None) -> dict[str, Any]:
    """A pod's metadata: what its template adds, and our labels, which nothing replaces."""
    if template is None:
        return {"labels": dict(labels)}
    given = template.metadata
    annotations = {"annotations": dict(given.annotations)} if given.annotations else {}
    return {"labels": {**given.labels, **labels}, **annotations}


def value(name: str, text: str) -> dict[str, Any]:
    """An environment variable."""
    return {"name": name, "value": text}


def secret(name: str, of: str, key: str) -> dict[str, Any]:
    """An environment variable that is a Secret's. Without it the pod waits, and says so."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": of, "key": key}}}


ADDRESS = "POINTSMAN_ADDRESS"
"""Where the graph is reached, whichever of its hosts serves: what the store tells the API"""
STORE = secret(pod.STORE_URL, names.STORE, "url")


def projected(keys: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The volume of these (secret, key), each at `<secret>/<key>`. Each may be missing: it holds up what needs it, not the pod."""
    by_secret = dict[str, set[str]]()
    for name, key in keys:
        by_secret.setdefault(name, set()).add(key)
    sources = [
        {
            "secret": {
                "name": name,
                "items": [{"key": key, "path": f"{name}/{key}"} for key in sorted(found)],
                "optional": True,
            }
        }
        for name, found in sorted(by_secret.items())
    ]
    return {"name": "secrets", "projected": {"sources": sources}}


HOST_MOUNTS: Mapping[str, str] = {"models": pod.MODELS_FOLDER, "secrets": pod.SECRETS_FOLDER}
"""Where a host finds its volumes"""


def host_environment(owner: Raw, name: str, platform: Platform) -> list[dict[str, Any]]:
    """What a host is told beside its graph. `name` is shared by the pods that follow each other."""
    graph, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    return [
        STORE,
        secret(pod.CONTROL_TOKEN, names.KEYS, "controlToken"),
        value(pod.REGISTRY_URL, platform.registry_url),
        value(pod.MODELS, pod.MODELS_FOLDER),
        value(pod.SECRETS, pod.SECRETS_FOLDER),
        value(pod.HOST, name),
        value(ADDRESS, f"http://{graph}.{namespace}.svc/v1/graphs/{graph}"),
    ]


def host_volumes(keys: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """The volumes of a host: its models, and the secrets of the source that it reads."""
    return [{"name": "models", "emptyDir": {"sizeLimit": MODELS}}, projected(keys)]
