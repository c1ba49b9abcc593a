"""The Secret of each namespace with what was made up for it: written once, reached by its name, never listed or watched."""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from pointsman_operator import names
from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.client import Cluster, NotFound
from pointsman_operator.resources.metadata import owned_by
from pointsman_operator.seen import SECRET, Kind, Raw

KEYS = ("adminKey", "controlToken", "metricsKey")
"""The API's first key, what may switch a host's revision, and the key by which Prometheus reads the API"""
LOOK_AGAIN_SECONDS = 120.0


class Keys:
    """Those of all namespaces."""

    def __init__(self, cluster: Cluster, writer: Writer) -> None:
        self._cluster, self._writer = cluster, writer
        self._seen = dict[str, tuple[float, list[dict[str, Any]]]]()

    async def ensure(self, namespace: str, owners: Sequence[tuple[Kind, Raw]]) -> None:
        """See that the Secret is there, whole, and owned by all of these. What stands in it is never written over.

        Raises ClusterError.
        """
        wanted = sorted(
            (owned_by(kind, raw, controller=False) for kind, raw in owners), key=lambda each: str(each["uid"])
        )
        looked_at, known = self._seen.get(namespace, (float("-inf"), []))
        if known == wanted and time.monotonic() - looked_at < LOOK_AGAIN_SECONDS:
            return
        try:
            found: Raw = await self._cluster.read(SECRET, namespace, names.KEYS)
        except NotFound:
            found = {}
        data = found.get("data") or {}
        made_up = {name: _random() for name in KEYS if not data.get(name)}
        owned = sorted(found.get("metadata", {}).get("ownerReferences", ()), key=lambda each: str(each["uid"]))
        if not found:
            await self._writer.make(SECRET, _document(namespace, wanted, made_up))
        elif made_up or owned != wanted:
            change = {"metadata": {"ownerReferences": wanted}, **({"data": made_up} if made_up else {})}
            await self._writer.change(SECRET, namespace, names.KEYS, change)
        self._seen[namespace] = (time.monotonic(), wanted)

    def forget(self, namespace: str) -> None:
        """Nobody needs them there any more; they go with their owners."""
        self._seen.pop(namespace, None)


def _document(namespace: str, owners: list[dict[str, Any]], made_up: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": {
            "name": names.KEYS,
            "namespace": namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": owners,
        },
        "type": "Opaque",
        "data": made_up,
    }


def _random() -> str:
    """As it stands in a Secret."""
    return b64encode(secrets.token_urlsafe(32).encode()).decode()
