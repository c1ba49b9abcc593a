"""Carries out what differs: objects applied, replicas set, objects deleted, the status written, what happened told as Events.

Every write is counted, and its answer remembered, so that nothing is written twice before a watch tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import orjson
from prometheus_client import Counter

from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Unresolved
from pointsman_operator.cluster.client import Cluster, ClusterError, Conflict, NotFound, Refused
from pointsman_operator.differences import Writes
from pointsman_operator.happened import Happened
from pointsman_operator.names import MANAGER
from pointsman_operator.seen import DEPLOYMENT, EVENT, Child, Kind, Objects, Raw

WRITES = Counter("pointsman_operator_writes", "Writes to the API server", ["kind", "verb"])


class NotLeading(ClusterError):
    """Another replica may lead by now: nothing is written any more."""


class Remembers(Protocol):
    """What is known of the cluster."""

    def wrote(self, kind: Kind, raw: Raw) -> None:
        """Remember the answer to a write of our own."""


class Writer:
    """Writes to one cluster, while this replica leads. All methods raise NotLeading when it does not."""

    def __init__(self, cluster: Cluster, memory: Remembers, *, leads: Callable[[], bool]) -> None:
        self._cluster, self._memory, self._leads = cluster, memory, leads

    async def carry_out(self, writes: Writes, seen: Objects) -> Unresolved | None:
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

    async def status(self, kind: Kind, raw: Raw, status: Mapping[str, Any]) -> None:
        """Write the status of an object where it differs. One that is gone has none."""
        before, metadata = raw.get("status") or {}, raw["metadata"]
        if status == before:
            return
        gone = {name: None for name in before if name not in status}
        self._begin(kind, "status")
        try:
            written = await self._cluster.merge(
                kind, metadata["namespace"], metadata["name"], {"status": {**status, **gone}}, part="/status"
            )
        except NotFound:
            return
        self._memory.wrote(kind, written)

    async def tell(self, kind: Kind, raw: Raw, what: Happened, now: datetime) -> None:
        """An Event about an object, before the status that it was taken from is written.

        Its name is made of what was before, so that an operator that ended in between tells the same Event, and not twice.
        """
        metadata = raw["metadata"]
        before = orjson.dumps(raw.get("status") or {}, option=orjson.OPT_SORT_KEYS)
        told = hashlib.sha256(f"{metadata['uid']}/{what.reason}/{what.message}/".encode() + before).hexdigest()[:16]
        document = {
            "apiVersion": "v1",
            "kind": EVENT.name,
            "metadata": {"name": f"{metadata['name']}.{told}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                **{name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")},
            },
            "type": "Warning" if what.warning else "Normal",
            "reason": what.reason,
            "message": what.message[:1024],
            "action": "Reconcile",
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingComponent": "pointsman.dev/operator",
            "reportingInstance": MANAGER,
        }
        self._begin(EVENT, "create")
        try:
            await self._cluster.create(EVENT, document)
        except (NotFound, Refused, Conflict):
            return  # its namespace is being deleted, or it was told before

    async def label(self, kind: Kind, metadata: Raw, labels: Mapping[str, str]) -> None:
        """Give an object its labels back. A watch tells of it."""
        self._begin(kind, "label")
        change = {"metadata": {"labels": dict(labels)}}
        await self._cluster.merge(kind, metadata["namespace"], metadata["name"], change)

    async def make(self, kind: Kind, document: Raw) -> None:
        """An object that is made once, and that nobody follows. Raises Conflict where somebody else's is there."""
        self._begin(kind, "apply")
        await self._cluster.apply(kind, document, force=False)

    async def change(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> None:
        """Some fields of an object that nobody follows."""
        self._begin(kind, "change")
        await self._cluster.merge(kind, namespace, name, change)

    def _begin(self, kind: Kind, verb: str) -> None:
        """Before each write."""
        if not self._leads():
            raise NotLeading(f"{verb} {kind.name}: this replica does not lead any more")
        WRITES.labels(kind.name, verb).inc()

    async def _apply(self, child: Child, seen: Objects) -> Unresolved | None:
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
        self._memory.wrote(child.kind, await self._cluster.apply(child.kind, child.document, force=force))

    async def _scale(self, namespace: str, name: str, replicas: int) -> None:
        self._begin(DEPLOYMENT, "scale")
        try:
            await self._cluster.merge(DEPLOYMENT, namespace, name, {"spec": {"replicas": replicas}}, part="/scale")
        except NotFound:
            return  # its end is an event
