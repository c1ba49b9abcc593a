"""One look at a cluster, for a command: what the operator would see, without following anything. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pointsman_operator import names
from pointsman_operator.causes.cause import condition, items
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound
from pointsman_operator.cluster.memory import Key, key_of, owner_of
from pointsman_operator.cluster.warnings import last_said
from pointsman_operator.graphs.caches import OURS
from pointsman_operator.graphs.seen import DOCUMENTS, MADE, OWNERS, SeenNamespace
from pointsman_operator.seen import (
    CLUSTER_SERVING_RUNTIME,
    DEPLOYMENT,
    EVENT,
    INFERENCE_SERVICE,
    MODEL_DEPLOYMENT,
    POD,
    REPLICA_SET,
    SERVING_RUNTIME,
    Installed,
    Kind,
    Objects,
    Raw,
    Seen,
)

OPERATOR = "app.kubernetes.io/name=pointsman-operator"
LOGS = 10
"""So many logs are asked for at most: the first that fails says as much as the hundredth"""


@dataclass(frozen=True, kw_only=True)
class Everything:
    """All ModelDeployments of a cluster with their InferenceServices and pods, the serving runtimes, and what graphs have."""

    deployments: tuple[Seen, ...]
    runtimes: Mapping[str, Raw]
    namespaces: tuple[SeenNamespace, ...]
    """Those with graphs or targets"""
    operators: tuple[Raw, ...]
    """The operator's own Deployment; none where it is not installed"""


async def at_one(cluster: Cluster, namespace: str, name: str) -> Seen:
    """All that shows why a ModelDeployment is as it is. Raises NotFound."""
    raw = await cluster.read(MODEL_DEPLOYMENT, namespace, name)
    own = {"labelSelector": f"{names.DEPLOYMENT}={name}"}
    objects = {
        kind.name: await _listed(cluster, kind, own, namespace)
        for kind in (INFERENCE_SERVICE, DEPLOYMENT, REPLICA_SET, POD)
    }
    events = await _warnings(cluster, namespace)
    return Seen(deployment=raw, objects=objects, events=events, now=datetime.now(UTC))


async def at_namespace(cluster: Cluster, namespace: str) -> SeenNamespace:
    """All that shows why the graphs of a namespace are as they are."""
    kinds = (*DOCUMENTS, MODEL_DEPLOYMENT, *MADE, POD)
    listed = [
        await _listed(cluster, kind, {} if kind in DOCUMENTS or kind is MODEL_DEPLOYMENT else OURS, namespace)
        for kind in kinds
    ]
    objects = {kind.name: found for kind, found in zip(kinds, listed, strict=True)}
    return SeenNamespace(
        name=namespace,
        objects=objects,
        events=await _warnings(cluster, namespace),
        deployments=objects[MODEL_DEPLOYMENT.name],
        now=datetime.now(UTC),
    )


async def at_everything(cluster: Cluster) -> Everything:
    """All that an operator which starts now would look at before it writes anything."""
    owned = defaultdict[Key, dict[str, list[Raw]]](lambda: defaultdict(list))
    for kind in (INFERENCE_SERVICE, POD):
        for raw in await _listed(cluster, kind, {"labelSelector": names.DEPLOYMENT}):
            owned[owner_of(raw)][kind.name].append(raw)
    of_namespaces = [key_of(raw) for raw in await _listed(cluster, SERVING_RUNTIME, {})]
    of_cluster = {str(raw["metadata"]["name"]): raw for raw in await _listed(cluster, CLUSTER_SERVING_RUNTIME, {})}
    installed = Installed(kserve=await _kserve(cluster))
    deployments = []
    for raw in await _listed(cluster, MODEL_DEPLOYMENT, {}):
        namespace, name = key_of(raw)
        own = {each for place, each in of_namespaces if place == namespace}
        seen = Seen(
            deployment=raw,
            objects=owned[namespace, name],
            runtimes=frozenset(own | {f"/{each}" for each in of_cluster}),
            installed=installed,
            now=datetime.now(UTC),
        )
        deployments.append(seen)
    owners = [raw for kind in OWNERS for raw in await _listed(cluster, kind, {})]
    return Everything(
        deployments=tuple(deployments),
        runtimes=of_cluster,
        namespaces=tuple([await at_namespace(cluster, name) for name in sorted({key_of(raw)[0] for raw in owners})]),
        operators=tuple(await _listed(cluster, DEPLOYMENT, {"labelSelector": OPERATOR})),
    )


async def at_logs(cluster: Cluster, seen: Objects) -> dict[tuple[str, str], str]:
    """The end of the log, by pod and container, of those that have run, are not ready and have left no word in their status."""
    found = dict[tuple[str, str], str]()
    for pod, container, previous in _unsaid(seen)[:LOGS]:
        try:
            found[pod, container] = await cluster.log_tail(seen.namespace, pod, container, previous=previous)
        except ClusterError:
            continue  # its node has gone, or we may not read logs: the rest is told without
    return found


def _unsaid(seen: Objects) -> list[tuple[str, str, bool]]:
    """Pod, container, and whether the log is that of the run before."""
    return [
        (str(pod["metadata"]["name"]), str(status["name"]), "running" not in status["state"])
        for pod in seen.of(POD)
        if condition(pod, "Ready").get("status") != "True"
        for status in (*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses"))
        if not status.get("ready")
        and ("running" in status.get("state", {}) or status.get("restartCount"))
        and not status.get("lastState", {}).get("terminated", {}).get("message")
    ]


async def _warnings(cluster: Cluster, namespace: str) -> dict[str, list[Raw]]:
    """By the uid of what they are about, the oldest first."""
    found = defaultdict[str, list[Raw]](list)
    for event in sorted(await _listed(cluster, EVENT, {"fieldSelector": "type=Warning"}, namespace), key=last_said):
        found[str(event["involvedObject"].get("uid"))].append(event)
    return found


async def _listed(
    cluster: Cluster, kind: Kind, selectors: Mapping[str, str], namespace: str | None = None
) -> list[Raw]:
    """All of a kind; none where the cluster does not have the kind."""
    try:
        found, _ = await cluster.list(kind, selectors, namespace)
    except NotFound:
        return []
    return list(found)


async def _kserve(cluster: Cluster) -> tuple[str, ...]:
    try:
        group = await cluster.get("/apis/serving.kserve.io")
    except NotFound:
        return ()
    return tuple(str(each["version"]) for each in group["versions"])
