"""Finds what a ModelDeployment controls and what has lost our label, by which everything else finds objects.

What is wanted is written again anyway; what is not wanted any more would otherwise never be found and deleted.
"""

from __future__ import annotations

import structlog

from pointsman_operator import names
from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound
from pointsman_operator.cluster.memory import controller_of
from pointsman_operator.seen import MADE, Kind

log = structlog.get_logger()


class Strays:
    """Those of one cluster."""

    def __init__(self, cluster: Cluster, caches: Caches, writer: Writer) -> None:
        self._cluster, self._caches, self._writer = cluster, caches, writer

    async def find(self) -> None:
        """Give every stray its label back: then a watch tells of it. A server that does not answer is asked next time."""
        for kind in MADE:
            try:
                await self._find(kind)
            except NotFound:
                continue  # the kind is not installed, or the object has gone
            except ClusterError as error:
                log.warning("look for strays", kind=kind.name, error=str(error))

    async def _find(self, kind: Kind) -> None:
        for raw in await self._cluster.metadata(kind):
            metadata, owner = raw["metadata"], controller_of(raw)
            if owner is None or names.DEPLOYMENT in metadata.get("labels", {}):
                continue
            known = self._caches.deployment((metadata["namespace"], owner["name"]))
            if known is None or known["metadata"]["uid"] != owner["uid"]:
                continue  # what owned it has gone, and it will too
            log.info("stray", kind=kind.name, object=f"{metadata['namespace']}/{metadata['name']}")
            await self._writer.label(kind, metadata, owner["name"])
