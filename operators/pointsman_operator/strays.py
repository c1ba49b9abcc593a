"""Finds what was made for an object of ours and has lost our label, by which everything else finds objects.

What is wanted is written again anyway; what is not wanted any more would otherwise never be found and deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound
from pointsman_operator.cluster.memory import Key
from pointsman_operator.seen import Kind, Raw

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is made for objects of one kind: `made` are its kinds, `labels` by which that of an owner is found, by the owner's
    name, and `owner` knows the owner.
    """

    kind: Kind
    made: Sequence[Kind]
    labels: Callable[[str], Mapping[str, str]]
    owner: Callable[[Key], Raw | None]


class Strays:
    """Those of one cluster."""

    def __init__(self, cluster: Cluster, writer: Writer, families: Sequence[Family]) -> None:
        self._cluster, self._writer, self._families = cluster, writer, families

    async def find(self) -> None:
        """Give every stray its labels back: then a watch tells of it. A server that does not answer is asked next time."""
        for kind in dict.fromkeys(kind for family in self._families for kind in family.made):
            try:
                await self._find(kind)
            except NotFound:
                continue  # the kind is not installed, or the object has gone
            except ClusterError as error:
                log.warning("look for strays", kind=kind.name, error=str(error))

    async def _find(self, kind: Kind) -> None:
        for raw in await self._cluster.metadata(kind):
            for family in self._families:
                metadata, owner = raw["metadata"], _controller(raw, family.kind)
                if owner is None or kind not in family.made:
                    continue
                wanted = family.labels(owner["name"])
                if wanted.items() <= (metadata.get("labels") or {}).items():
                    continue
                known = family.owner((metadata["namespace"], owner["name"]))
                if known is None or known["metadata"]["uid"] != owner["uid"]:
                    continue  # what owned it has gone, and it will too
                log.info("stray", kind=kind.name, object=f"{metadata['namespace']}/{metadata['name']}")
                await self._writer.label(kind, metadata, wanted)


def _controller(raw: Raw, kind: Kind) -> Raw | None:
    """What an object says of the object of this kind that it was made for alone."""
    for owner in raw["metadata"].get("ownerReferences", ()):
        if owner.get("controller") and (owner["kind"], owner["apiVersion"]) == (kind.name, kind.api_version):
            found: Raw = owner
            return found
    return None
