"""What nodes have, asked for only where a pod finds none: nobody watches nodes for the day on which that is so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from pointsman.api.meta import Quantity
from pointsman_operator.cluster.client import Cluster, Refused

FRESH_SECONDS = 60.0
"""For so long an answer is taken for true"""


class Nodes:
    """The nodes of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._asking = cluster, asyncio.Lock()
        self._largest: Mapping[str, str] = {}
        self._asked_at = float("-inf")

    async def largest(self) -> Mapping[str, str]:
        """The most that one node has, by resource; nothing where it may not be asked for. Raises Unreachable."""
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._largest, self._asked_at = await self._ask(), time.monotonic()
        return self._largest

    async def _ask(self) -> Mapping[str, str]:
        try:
            listed = await self._cluster.get("/api/v1/nodes?resourceVersion=0")
        except Refused:
            return {}
        found = dict[str, Quantity]()
        for node in listed["items"]:
            if node["spec"].get("unschedulable"):
                continue
            for name, amount in node["status"].get("allocatable", {}).items():
                quantity = Quantity(amount)
                if name not in found or quantity.value > found[name].value:
                    found[name] = quantity
        return found
