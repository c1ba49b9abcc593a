"""Decides what an EventStream's status says: whether its contract holds, and whether its source is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pointsman.api.conditions import Condition
from pointsman.api.event_stream import EventStream
from pointsman.api.reasons import Reason
from pointsman.planning import Told, judge


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One stream as it is seen. `broken` says why the contract does not compile; else it has a version.

    `sources_elsewhere` holds the kinds of source that this world does not read, each with the way out.
    """

    stream: EventStream
    generation: int
    version: str | None
    broken: str | None
    sources_elsewhere: Mapping[str, str]


def decide(observed: Observed) -> Told:
    """What the status says. The same observation gives the same."""
    conditions = judge((contract_is_valid, source_is_read_here), observed, generation=observed.generation)
    return Told(conditions=conditions, fields={"contractVersion": observed.version})


def contract_is_valid(observed: Observed) -> Condition:
    if observed.broken is not None:
        return Condition(type="ContractValid", status="False", reason=Reason.InvalidSpec, message=observed.broken)
    return Condition(type="ContractValid", status="True", reason=Reason.ContractValid)


def source_is_read_here(observed: Observed) -> Condition | None:
    source = observed.stream.spec.source.type
    if source not in observed.sources_elsewhere:
        return None
    message = f'spec.source.type: "{source}" is not read here: {observed.sources_elsewhere[source]}'
    return Condition(type="SourceReachable", status="False", reason=Reason.NotHonouredHere, message=message)
