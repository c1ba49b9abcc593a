"""Carries out what differs: objects applied, replicas set, objects deleted, the status written, what happened told as Events.

Every write is counted, and its answer remembered, so that nothing is written twice before a watch tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from prometheus_client import Counter

from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Unresolved
from pointsman_operator import names
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster, ClusterError, Conflict, NotFound, Refused
from pointsman_operator.desired import Writes
from pointsman_operator.happened import Happened
from pointsman_operator.names import MANAGER
from pointsman_operator.seen import DEPLOYMENT, EVENT, MODEL_DEPLOYMENT, Child, Kind, Raw, Seen

WRITES = Counter("pointsman_operator_writes", "Writes to the API server", ["kind", "verb"])


class NotLeading(ClusterError):
    """Another replica may lead by now: nothing is written any more."""


class Writer:
    """Writes to one cluster, while this replica leads. All methods raise NotLeading when it does not."""

    def __init__(self, cluster: Cluster, caches: Caches, *, leads: Callable[[], bool]) -> None:
        self._cluster, self._caches, self._leads = cluster, caches, leads

    async def carry_out(self, writes: Writes, seen: Seen) -> Unresolved | None:
        """Everything in its order, up to the first that is refused: why it was. Raises Unreachable."""
        for child in writes.apply:
            refused = await self._apply(child, seen)
            if refused is not None:
                return refused
        for scale in writes.scale:
            await self._scale(seen.namespace, scale.deployment, scale.replicas)
        for kind, raw in writes.delete:
            self._begin(kind, "delete")
            await self._cluster.delete(kind, raw)
        return None

    async def status(self, seen: Seen, status: Mapping[str, Any]) -> None:
        """Write the status where it differs. A ModelDeployment that is gone has none."""
        before = seen.status
        if status == before:
            return
        gone = {name: None for name in before if name not in status}
        self._begin(MODEL_DEPLOYMENT, "status")
        try:
            raw = await self._cluster.merge(
                MODEL_DEPLOYMENT, seen.namespace, seen.name, {"status": {**status, **gone}}, part="/status"
            )
        except NotFound:
            return
        self._caches.wrote(MODEL_DEPLOYMENT, raw)

    async def tell(self, seen: Seen, what: Happened) -> None:
        """An Event about the ModelDeployment, before the status that it was taken from is written.

        Its name is made of what was before, so that an operator that ended in between tells the same Event, and not twice.
        """
        before = orjson.dumps(seen.status, option=orjson.OPT_SORT_KEYS)
        told = hashlib.sha256(f"{seen.uid}/{what.reason}/{what.message}/".encode() + before).hexdigest()[:16]
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
            "type": "Warning" if what.warning else "Normal",
            "reason": what.reason,
            "message": what.message[:1024],
            "action": "Reconcile",
            "eventTime": seen.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingComponent": "pointsman.dev/operator",
            "reportingInstance": MANAGER,
        }
        self._begin(EVENT, "create")
        try:
            await self._cluster.create(EVENT, document)
        except (NotFound, Refused, Conflict):
            return  # its namespace is being deleted, or it was told before

    async def label(self, kind: Kind, metadata: Raw, owner: str) -> None:
        """Give an object of a ModelDeployment its labels back. A watch tells of it."""
        self._begin(kind, "label")
        labels = {"metadata": {"labels": names.labels(owner)}}
        await self._cluster.merge(kind, metadata["namespace"], metadata["name"], labels)

    def _begin(self, kind: Kind, verb: str) -> None:
        """Before each write."""
        if not self._leads():
            raise NotLeading(f"{verb} {kind.name}: this replica does not lead any more")
        WRITES.labels(kind.name, verb).inc()

    async def _apply(self, child: Child, seen: Seen) -> Unresolved | None:
        found = seen.one(child.kind, child.name)
        is_ours = found is not None and seen.is_ours(found)
        try:
            try:
                await self._write(child, force=is_ours)
            except Conflict:  # with somebody's field: ours are found by their label, which somebody may have taken away
                if not seen.is_ours(await self._cluster.read(child.kind, seen.namespace, child.name)):
                    raise
                await self._write(child, force=True)
        except Conflict as error:
            message = f'the {child.kind.name} "{child.name}" belongs to someone else: delete or rename it: {error}'
            return Unresolved(reason=Reason.NameTaken, message=message)
        except Refused as error:
            message = f'the {child.kind.name} "{child.name}" is refused: {error}'
            return Unresolved(reason=Reason.WriteRefused, message=message)
        return None

    async def _write(self, child: Child, *, force: bool) -> None:
        self._begin(child.kind, "apply")
        self._caches.wrote(child.kind, await self._cluster.apply(child.kind, child.document, force=force))

    async def _scale(self, namespace: str, name: str, replicas: int) -> None:
        self._begin(DEPLOYMENT, "scale")
        try:
            await self._cluster.merge(DEPLOYMENT, namespace, name, {"spec": {"replicas": replicas}}, part="/scale")
        except NotFound:
            return  # its end is an event
