"""What an import of ground truth does with each of its labels, before anything is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a source says of one event, and since when that is known."""

    event_id: str
    value: bool
    known_at: datetime


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A label that says the opposite of what an earlier one of ground truth said of the event."""

    event_id: str
    value: bool
    before: bool


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """`new` are positions of what is to be written. What is neither new nor repeated is named: nothing is lost in silence."""

    new: tuple[int, ...]
    repeated: int
    conflicts: tuple[Conflict, ...]
    unknown: tuple[str, ...]
    """Events that the graph has not decided"""


def sort(
    truths: Sequence[Truth], decisions: Sequence[bytes], known: Mapping[bytes, bool | None], *, replace: bool
) -> Sorted:
    """Sort labels, each with its event's decision id. `known` has every decision that was made, and its latest ground truth.

    With `replace` a label that contradicts is new too, and counts from then on in place of the one before.
    """
    latest, new, repeated = dict(known), list[int](), 0
    conflicts, unknown = list[Conflict](), list[str]()
    for at, (truth, decision) in enumerate(zip(truths, decisions, strict=True)):
        if decision not in latest:
            unknown.append(truth.event_id)
            continue
        before = latest[decision]
        if before is truth.value:
            repeated += 1
        elif before is None or replace:
            latest[decision] = truth.value
            new.append(at)
        else:
            conflicts.append(Conflict(event_id=truth.event_id, value=truth.value, before=before))
    return Sorted(new=tuple(new), repeated=repeated, conflicts=tuple(conflicts), unknown=tuple(unknown))
