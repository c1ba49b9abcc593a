"""Decides what an EventStream's status says."""

from __future__ import annotations

from dataclasses import replace

from pointsman.api.conditions import Condition, ready
from pointsman.api.event_stream import EventStream
from pointsman.api.reasons import Reason

SOURCES_HERE = frozenset({"HTTP"})


def conditions(stream: EventStream, *, generation: int, broken: str | None) -> tuple[Condition, ...]:
    """`broken` says why the contract does not compile, or None."""
    found = list[Condition]()
    if broken is None:
        found.append(Condition(type="ContractValid", status="True", reason=Reason.ContractValid))
    else:
        found.append(Condition(type="ContractValid", status="False", reason=Reason.InvalidSpec, message=broken))
    source = stream.spec.source.type
    if source not in SOURCES_HERE:
        message = f'spec.source.type: "{source}" is not read by this version: choose HTTP, and post events to the graph'
        found.append(Condition(type="SourceReachable", status="False", reason=Reason.NotHonouredHere, message=message))
    return finish(found, generation)


def finish(found: list[Condition], generation: int) -> tuple[Condition, ...]:
    """Date the conditions with the generation, and compute Ready from them."""
    dated = [replace(each, observed_generation=generation) for each in found]
    return (*dated, ready(dated, generation=generation))
