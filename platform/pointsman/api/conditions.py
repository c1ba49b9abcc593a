"""Conditions: what is true of an object, why, and what to do. Pure values, written by plans, shown by the CLI.

Each condition has one owner. Ready is computed from the others and never set by hand: Unknown while something is waited
for, False when someone must act. A message names things in quotes, says the next step, and holds no time, so the same
state gives the same bytes and nothing is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, cast

from pointsman.api.reasons import Reason

Status = Literal["True", "False", "Unknown"]
READY = "Ready"

INFORMATIVE = frozenset({"Honoured", "Certified", "Monitored", "Reading", "Reviews"})
"""Types that a user must know of but that keep nothing from serving; Ready does not look at them."""

_UNSET = datetime(1970, 1, 1, tzinfo=UTC)
_WEIGHT = {"False": 0, "Unknown": 1, "True": 2}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One fact about an object. `last_transition_time` is when `status` last changed; `merge` keeps it."""

    type: str
    status: Status
    reason: Reason
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime = _UNSET

    def to_dict(self) -> dict[str, object]:
        """As Kubernetes writes it; the time in UTC, to the second."""
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason.value,
            "message": self.message,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": self.last_transition_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, object]) -> Condition:
        """The reverse of `to_dict`. ValueError where the status or the reason is not one of ours."""
        status = str(written["status"])
        if status not in _WEIGHT:
            raise ValueError(f'not a condition\'s status: "{status}"')
        return cls(
            type=str(written["type"]),
            status=cast(Status, status),
            reason=Reason(str(written["reason"])),
            message=str(written.get("message", "")),
            observed_generation=int(str(written.get("observedGeneration", 0))),
            last_transition_time=datetime.fromisoformat(str(written["lastTransitionTime"])),
        )


def ready(conditions: Iterable[Condition], *, generation: int) -> Condition:
    """Ready, from all other conditions: the first False decides, else the first Unknown, else it is True.

    A condition that was observed for an older generation counts as Unknown. No condition at all is Unknown too.
    INFORMATIVE ones do not count.
    """
    others = [condition for condition in conditions if condition.type != READY and condition.type not in INFORMATIVE]
    if not others:
        return Condition(
            type=READY,
            status="Unknown",
            reason=Reason.Progressing,
            message="nothing has been observed yet",
            observed_generation=generation,
        )
    current = [
        condition
        if condition.observed_generation >= generation
        else replace(condition, status="Unknown", reason=Reason.Progressing, message=_stale(condition))
        for condition in others
    ]
    worst = min(current, key=lambda condition: _WEIGHT[condition.status])
    if worst.status == "True":
        return Condition(type=READY, status="True", reason=Reason.Ready, observed_generation=generation)
    return replace(worst, type=READY, observed_generation=generation, last_transition_time=_UNSET)


def _stale(condition: Condition) -> str:
    return f'"{condition.type}" has not been observed for the newest spec yet'


def merge(old: Iterable[Condition], new: Iterable[Condition], now: datetime) -> list[Condition]:
    """The new conditions, each with the transition time of the old one of its type while its status is the same.

    In order of type. What is not in `new` is gone. Merging twice changes nothing.
    """
    before = {condition.type: condition for condition in old}
    moment = now.astimezone(UTC).replace(microsecond=0)
    merged: dict[str, Condition] = {}
    for condition in new:
        known = before.get(condition.type)
        since = known.last_transition_time if known is not None and known.status == condition.status else moment
        merged[condition.type] = replace(condition, last_transition_time=since)
    return [merged[kind] for kind in sorted(merged)]


def to_dicts(conditions: Iterable[Condition]) -> list[dict[str, object]]:
    """All of them as Kubernetes writes them, in order of type."""
    return [condition.to_dict() for condition in sorted(conditions, key=lambda condition: condition.type)]


def from_dicts(written: Sequence[Mapping[str, object]]) -> list[Condition]:
    """The reverse of `to_dicts`."""
    return [Condition.from_dict(each) for each in written]


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)
