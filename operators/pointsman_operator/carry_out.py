"""Carries out what differs: objects applied, replicas set, objects deleted, the status written, what happened told as Events.

Every write is counted, and its answer remembered, so that nothing is written twice before a watch tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter

from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Unresolved
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster, Conflict, NotFound, Refused
from pointsman_operator.desired import Writes
from pointsman_operator.names import MANAGER
from pointsman_operator.seen import DEPLOYMENT, EVENT, MODEL_DEPLOYMENT, Child, Seen

WRITES = Counter("pointsman_operator_writes", "Writes to the API server", ["kind", "verb"])


class Writer:
    """Writes to one cluster."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster, self._caches = cluster, caches

    async def carry_out(self, writes: Writes, seen: Seen) -> Unresolved | None:
        """Everything in its order, up to the first that is refused: why it was. Raises Unreachable."""
        for child in writes.apply:
            refused = await self._apply(child, seen)
            if refused is not None:
                return refused
        for scale in writes.scale:
            await self._scale(seen.namespace, scale.deployment, scale.replicas)
        for kind, raw in writes.delete:
            WRITES.labels(kind.name, "delete").inc()
            await self._cluster.delete(kind, raw)
        return None

    async def status(self, seen: Seen, status: Mapping[str, Any]) -> None:
        """Write the status where it differs. A ModelDeployment that is gone has none."""
        before = seen.status
        if status == before:
            return
        gone = {name: None for name in before if name not in status}
        WRITES.labels(MODEL_DEPLOYMENT.name, "status").inc()
        try:
            raw = await self._cluster.merge(
                MODEL_DEPLOYMENT, seen.namespace, seen.name, {"status": {**status, **gone}}, part="/status"
            )
        except NotFound:
            return
        self._caches.wrote(MODEL_DEPLOYMENT, raw)

    async def tell(self, seen: Seen, *, reason: str, message: str, warning: bool) -> None:
        """An Event about the ModelDeployment: something has happened. The same one is told once."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = hashlib.sha256(f"{seen.uid}/{reason}/{message}/{now}".encode()).hexdigest()[:16]
        document = {
            "apiVersion": "v1",
            "kind": EVENT.name,
            "metadata": {"name": f"{seen.name}.{told}", "namespace": seen.namespace},
            "involvedObject": {
                "apiVersion": MODEL_DEPLOYMENT.api_version,
                "kind": MODEL_DEPLOYMENT.name,
                "name": seen.name,
                "namespace": seen.namespace,
                "uid": seen.uid,
                "resourceVersion": seen.deployment["metadata"]["resourceVersion"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "action": "Reconcile",
            "eventTime": now,
            "reportingComponent": "pointsman.dev/operator",
            "reportingInstance": MANAGER,
        }
        WRITES.labels(EVENT.name, "create").inc()
        try:
            await self._cluster.create(EVENT, document)
        except (NotFound, Refused, Conflict):
            return  # its namespace is being deleted

    async def _apply(self, child: Child, seen: Seen) -> Unresolved | None:
        found = seen.one(child.kind, child.name)
        is_ours = found is not None and seen.is_ours(found)
        WRITES.labels(child.kind.name, "apply").inc()
        try:
            raw = await self._cluster.apply(child.kind, child.document, force=is_ours)
        except Conflict as error:
            message = f'the {child.kind.name} "{child.name}" belongs to someone else: delete or rename it: {error}'
            return Unresolved(reason=Reason.NameTaken, message=message)
        except Refused as error:
            message = f'the {child.kind.name} "{child.name}" is refused: {error}'
            return Unresolved(reason=Reason.WriteRefused, message=message)
        self._caches.wrote(child.kind, raw)
        return None

    async def _scale(self, namespace: str, name: str, replicas: int) -> None:
        WRITES.labels(DEPLOYMENT.name, "scale").inc()
        try:
            await self._cluster.merge(DEPLOYMENT, namespace, name, {"spec": {"replicas": replicas}}, part="/scale")
        except NotFound:
            return  # its end is an event
