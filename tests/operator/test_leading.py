"""A replica that may not lead any more sends no write of any sort, whatever it was about to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pointsman.api.reasons import Reason
from pointsman_operator.carry_out import NotLeading, Writer
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster, Unreachable
from pointsman_operator.differences import Writes
from pointsman_operator.happened import Happened
from pointsman_operator.seen import MODEL_DEPLOYMENT, SERVICE, Child, Scale, Seen

NOBODY = "http://127.0.0.1:9"
RAW = {"metadata": {"name": "fraud", "namespace": "risk", "uid": "u-1"}}
CHILD = Child(kind=SERVICE, name="fraud", document=RAW)

Write = Callable[[Writer, Seen], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "an object": lambda writer, seen: writer.carry_out(Writes(apply=(CHILD,)), seen),
    "a number": lambda writer, seen: writer.carry_out(Writes(scale=(Scale(deployment="fraud", replicas=1),)), seen),
    "an end": lambda writer, seen: writer.carry_out(Writes(delete=((SERVICE, RAW),)), seen),
    "the status": lambda writer, seen: writer.status(MODEL_DEPLOYMENT, seen.deployment, {"revision": "1"}),
    "an event": lambda writer, seen: writer.tell(
        MODEL_DEPLOYMENT, seen.deployment, Happened(reason=Reason.Ready, message="it serves"), seen.now
    ),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_is_sent_by_a_leader_alone(world: Callable[..., Any], what: str) -> None:
    async def write(*, leads: bool) -> None:
        async with Cluster(url=NOBODY, context=False) as cluster:
            caches = Caches(cluster, lambda key: None, registry_url=NOBODY)
            await WRITES[what](Writer(cluster, caches, leads=lambda: leads), world().seen())

    with pytest.raises(Unreachable):
        asyncio.run(write(leads=True))
    with pytest.raises(NotLeading):
        asyncio.run(write(leads=False))
