"""Decides what a FeatureView's status says. It needs its stream's contract, never a graph."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pointsman.api.conditions import Condition
from pointsman.api.feature_view import FeatureView
from pointsman.api.reasons import Reason
from pointsman.graphs.activity import timestamp
from pointsman.planning import Told, judge


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One view as it is seen. `broken` says why it does not compile against its stream; else it has a version.

    `newest` is when the newest event happened that a graph's host has seen with the view, None where no host tells;
    `known`, as a status has it, what was told before of this version.
    """

    view: FeatureView
    generation: int
    stream_exists: bool
    version: str | None
    broken: str | None
    newest: datetime | None = None
    known: str | None = None


def decide(observed: Observed) -> Told:
    """What the status says. The same observation gives the same."""
    conditions = judge((it_compiles,), observed, generation=observed.generation)
    return Told(conditions=conditions, fields={"version": observed.version, "freshness": _freshness(observed)})


def it_compiles(observed: Observed) -> Condition:
    if not observed.stream_exists:
        message = f'EventStream "{observed.view.spec.source_ref.name}" does not exist: apply it'
        return Condition(type="Compiled", status="False", reason=Reason.StreamNotFound, message=message)
    if observed.broken is not None:
        return Condition(type="Compiled", status="False", reason=Reason.InvalidSpec, message=observed.broken)
    return Condition(type="Compiled", status="True", reason=Reason.Compiled)


def _freshness(observed: Observed) -> str | None:
    """What was heard stays so while hosts start again, or nobody has asked them yet."""
    return observed.known if observed.newest is None else timestamp(observed.newest)
