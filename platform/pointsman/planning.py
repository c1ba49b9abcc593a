"""What the plans of all kinds share: a list of small facts becomes conditions, and conditions become a status.

Every kind's `plan` module calls it; every world writes what `written` returns. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from pointsman.api.conditions import Condition, Status, find, from_dicts, merge, ready, to_dicts
from pointsman.api.reasons import Reason

O = TypeVar("O")  # noqa: E741  what is observed of one object

Fact = Callable[[O], Condition | None]
"""Looks at what is observed and says one thing about it, or nothing where it does not apply."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an object's status is to say: its conditions, Ready among them, and its fields (None: left out)."""

    conditions: tuple[Condition, ...]
    fields: Mapping[str, Any]

    def status_of(self, type_: str) -> Status | None:
        """The status of a condition, None where there is none of this type."""
        found = find(self.conditions, type_)
        return None if found is None else found.status


def judge(facts: Sequence[Fact[O]], observed: O, *, generation: int) -> tuple[Condition, ...]:
    """The conditions that the facts state, dated with the generation, and Ready computed from them."""
    stated = (fact(observed) for fact in facts)
    dated = [replace(each, observed_generation=generation) for each in stated if each is not None]
    return (*dated, ready(dated, generation=generation))


def set_aside(places: Mapping[str, str]) -> Condition:
    """Whether everything in a document is honoured here; else each path that is not, with what it means or the way out."""
    if not places:
        return Condition(type="Honoured", status="True", reason=Reason.Accepted)
    told = "; ".join(f"{path}: {meaning}" for path, meaning in places.items())
    return Condition(type="Honoured", status="False", reason=Reason.NotHonouredHere, message=f"set aside here: {told}")


def shown(count: int) -> int:
    """A count that moves all the time, to two digits: a status is written where it says something new."""
    return round(count, min(0, 2 - len(str(count))))


def written(told: Told, before: Mapping[str, Any], *, generation: int, now: datetime) -> dict[str, Any]:
    """The status to write. Where nothing has changed it equals `before`, byte for byte, and is not written."""
    status = {
        "observedGeneration": generation,
        **{name: value for name, value in told.fields.items() if value is not None},
    }
    return {**status, "conditions": to_dicts(merge(_known(before), told.conditions, now))}


def _known(before: Mapping[str, Any]) -> Iterable[Condition]:
    try:
        return from_dicts(before.get("conditions", ()))
    except (KeyError, ValueError):  # written by a release with other reasons; it is written anew
        return ()
