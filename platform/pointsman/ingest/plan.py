"""Decides what an EventStream's status says: whether its contract holds, and whether its source is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pointsman.api.conditions import Condition, Status
from pointsman.api.event_stream import EventStream
from pointsman.api.reasons import Reason
from pointsman.ingest import kafka as kafka_source
from pointsman.ingest.report import SourceReport
from pointsman.planning import Told, judge, shown

SOURCES_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("Files", "SQL"), "choose HTTP, and post events to the graph, or Kafka")
)
"""The kinds of source that neither a laptop nor a cluster reads yet, each with the way out"""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One stream as it is seen. `broken` says why the contract does not compile; else it has a version.

    `sources_elsewhere` holds the kinds of source that this world does not read, each with the way out; `readers`, by graph
    that uses the stream, what its host says of the source, None where it says nothing.
    """

    stream: EventStream
    generation: int
    version: str | None
    broken: str | None
    sources_elsewhere: Mapping[str, str]
    readers: Mapping[str, SourceReport | None]


def decide(observed: Observed) -> Told:
    """What the status says. The same observation gives the same."""
    facts = (contract_is_valid, source_is_reached, reading_goes_on)
    conditions = judge(facts, observed, generation=observed.generation)
    said = [report for report in observed.readers.values() if report is not None]
    lags = [report.lag for report in said if report.lag is not None]
    letters = [report.dead_letters for report in said if report.dead_letters is not None]
    fields = {
        "contractVersion": observed.version,
        "lag": shown(max(lags)) if lags else None,
        "deadLetters": shown(sum(letters)) if letters else None,
    }
    return Told(conditions=conditions, fields=fields)


def contract_is_valid(observed: Observed) -> Condition:
    if observed.broken is not None:
        return Condition(type="ContractValid", status="False", reason=Reason.InvalidSpec, message=observed.broken)
    return Condition(type="ContractValid", status="True", reason=Reason.ContractValid)


def source_is_reached(observed: Observed) -> Condition | None:
    source = observed.stream.spec.source.type
    if source == "HTTP":
        return None
    if source in observed.sources_elsewhere:
        message = f'spec.source.type: "{source}" is not read here: {observed.sources_elsewhere[source]}'
        return _reached("False", Reason.NotHonouredHere, message)
    for path, way_out in not_honoured(observed.stream).items():
        return _reached("False", Reason.NotHonouredHere, f"{path}: {way_out}")
    if not observed.readers:
        name = observed.stream.name
        return _reached(
            "Unknown", Reason.NothingWatches, f'no DecisionGraph has eventStreamRef "{name}", so nothing reads it'
        )
    for report in observed.readers.values():
        if report is not None and report.reason is not None:
            return _reached("False", report.reason, report.cause)
    for graph, report in observed.readers.items():
        if report is None or not report.reached:
            message = f'the host of DecisionGraph "{graph}" has not reached it yet'
            return _reached("Unknown", Reason.Progressing, message)
    return _reached("True", Reason.SourceReachable)


def reading_goes_on(observed: Observed) -> Condition | None:
    """Said while a graph reads no further. That is no fault of the source's: Ready does not look at it."""
    for graph, report in observed.readers.items():
        if report is not None and report.paused is not None:
            message = f'DecisionGraph "{graph}" reads no further: {report.paused}'
            return Condition(type="Reading", status="False", reason=report.pause or Reason.Progressing, message=message)
    return None


def not_honoured(stream: EventStream) -> Mapping[str, str]:
    """What of a stream no world reads yet: path → what it is and the way out. It is refused where it is applied."""
    kafka = stream.spec.source.kafka
    return {} if kafka is None else kafka_source.not_honoured(kafka)


def _reached(status: Status, reason: Reason, message: str = "") -> Condition:
    return Condition(type="SourceReachable", status=status, reason=reason, message=message)
