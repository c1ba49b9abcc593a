"""One leader among replicas, by a Lease: it is renewed while the leader lives, and taken over once it has not been for long.

A leader that cannot renew in time ends its work before another may begin: time is measured here by the monotonic clock, from
before each renewal was sent. One that was stopped meanwhile, and wakes up, finds out before it writes: `is_held`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from pointsman_operator.cluster.client import Cluster, ClusterError, Conflict, NotFound
from pointsman_operator.seen import Kind, Raw

log = structlog.get_logger()

LEASE = Kind(name="Lease", api_version="coordination.k8s.io/v1", plural="leases")
NAME = "pointsman-operator"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What was seen of somebody's lease: the object's version, and when that was first seen, by our clock (seconds)."""

    version: str
    since: float


class Lease:
    """The operator's Lease. `identity` is this replica's name, `seconds` how long a leader may be silent."""

    def __init__(self, cluster: Cluster, *, namespace: str, identity: str, seconds: float) -> None:
        self._cluster, self._namespace, self._identity, self._seconds = cluster, namespace, identity, seconds
        self._address = f"{LEASE.path}/namespaces/{namespace}/{LEASE.plural}/{NAME}"
        self._held_until = 0.0
        self._others: Holding | None = None

    @property
    def is_held(self) -> bool:
        """Whether nobody else may lead yet, for a third of the lease's time at least: what is sent now arrives by then."""
        return time.monotonic() < self._held_until

    async def acquire(self) -> None:
        """Wait until this replica leads."""
        while not await self._try():
            await asyncio.sleep(self._seconds / 12)
        log.info("leading", identity=self._identity)

    async def keep(self) -> None:
        """Renew until that fails for too long; returns when this replica must not lead any more."""
        while self.is_held:
            await asyncio.sleep(self._seconds / 6)
            try:
                async with asyncio.timeout(self._seconds / 3):
                    if not await self._try():
                        break
            except TimeoutError:
                continue
        log.error("the lease is lost", identity=self._identity)

    async def release(self) -> None:
        """Let another replica lead at once. What stands there counts: a renewal that was broken off may have been written."""
        try:
            for _ in range(2):
                with suppress(Conflict):  # it arrives only now
                    found = await self._cluster.get(self._address)
                    if found["spec"].get("holderIdentity") == self._identity:
                        await self._cluster.replace(LEASE, self._document(found, holder=""))
                    return
        except NotFound:
            return
        except ClusterError as error:
            log.warning("the lease was not released", error=str(error))

    async def _try(self) -> bool:
        """Take or renew; whether it is ours now. A server that does not answer leaves it as it is."""
        began = time.monotonic()
        if not await self._taken():
            return False
        self._held_until = began + self._seconds * 2 / 3
        return True

    async def _taken(self) -> bool:
        try:
            found = await self._cluster.get(self._address)
        except NotFound:
            return await self._write(None)
        except ClusterError as error:
            log.warning("lease", error=str(error))
            return False
        holder = found["spec"].get("holderIdentity")
        if holder and holder != self._identity and not self._is_over(found):
            return False
        return await self._write(found)

    def _is_over(self, found: Raw) -> bool:
        """Whether the leader has been silent for its time, by our clock alone: others' clocks may be wrong."""
        version, now = str(found["metadata"]["resourceVersion"]), time.monotonic()
        if self._others is None or self._others.version != version:
            self._others = Holding(version=version, since=now)
        return now - self._others.since > float(found["spec"].get("leaseDurationSeconds") or self._seconds)

    async def _write(self, before: Raw | None) -> bool:
        document = self._document(before, holder=self._identity)
        try:
            if before is None:
                await self._cluster.create(LEASE, document)
            else:
                await self._cluster.replace(LEASE, document)
        except Conflict:
            return False
        except ClusterError as error:
            log.warning("lease", error=str(error))
            return False
        return True

    def _document(self, before: Raw | None, *, holder: str) -> Mapping[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(before["spec"]) if before is not None else {}
        if spec.get("holderIdentity") != holder:
            transitions = int(spec.get("leaseTransitions") or 0) + (1 if before is not None else 0)
            spec |= {"acquireTime": now, "leaseTransitions": transitions}
        spec |= {"holderIdentity": holder, "renewTime": now, "leaseDurationSeconds": max(1, round(self._seconds))}
        metadata: Any = before["metadata"] if before is not None else {"name": NAME, "namespace": self._namespace}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata, "spec": spec}
