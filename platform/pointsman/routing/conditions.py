"""Conditions as the Gateway API has them: its own types and reasons, on Gateways, listeners and HTTPRoutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Why(StrEnum):
    """The Gateway API's reasons, those of them that are given here."""

    Accepted = "Accepted"
    Programmed = "Programmed"
    ResolvedRefs = "ResolvedRefs"
    Pending = "Pending"
    Invalid = "Invalid"
    ListenersNotValid = "ListenersNotValid"
    UnsupportedProtocol = "UnsupportedProtocol"
    PortUnavailable = "PortUnavailable"
    InvalidRouteKinds = "InvalidRouteKinds"
    UnsupportedValue = "UnsupportedValue"
    NotAllowedByListeners = "NotAllowedByListeners"
    NoMatchingListenerHostname = "NoMatchingListenerHostname"
    NoMatchingParent = "NoMatchingParent"
    RefNotPermitted = "RefNotPermitted"
    InvalidKind = "InvalidKind"
    BackendNotFound = "BackendNotFound"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why something is not so."""

    why: Why
    message: str


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One fact about an object."""

    type: str
    holds: bool
    why: Why
    message: str = ""


def fact(type_: str, well: Why, trouble: Trouble | None, message: str = "") -> Condition:
    """What holds, unless there is trouble."""
    if trouble is None:
        return Condition(type=type_, holds=True, why=well, message=message)
    return Condition(type=type_, holds=False, why=trouble.why, message=trouble.message)


def written(
    conditions: Iterable[Condition], *, generation: int, before: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """As Kubernetes has them, in order of type; each with the transition time of the one before while its status is the same."""
    since = {(each["type"], each["status"]): each["lastTransitionTime"] for each in before}
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "type": each.type,
            "status": str(each.holds),
            "reason": each.why.value,
            "message": each.message,
            "observedGeneration": generation,
            "lastTransitionTime": since.get((each.type, str(each.holds)), moment),
        }
        for each in sorted(conditions, key=lambda each: each.type)
    ]
