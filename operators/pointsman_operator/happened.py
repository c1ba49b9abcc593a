"""What has happened to a ModelDeployment, or a DecisionGraph, between two of its statuses, to be told as Events. Pure.

Whatever is told is told of a change that is in the status, so no restart tells it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pointsman.api.conditions import READY, Condition, find, from_dicts
from pointsman.api.reasons import Reason
from pointsman.deployments.history import newest, serving
from pointsman_operator.seen import Raw

BEHIND = (Reason.ReviewQueueFull, Reason.ReviewOverflow, Reason.ReviewEscalated)
"""Reasons that say that people do not keep up"""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """Something that users are told once."""

    reason: Reason
    message: str
    warning: bool = False


def happened(before: Raw, after: Raw) -> tuple[Happened, ...]:
    """In the order in which it happened, each thing once."""
    if before == after:
        return ()
    found = (
        *_an_alias_moved(before, after),
        *_a_revision_failed(before, after),
        *_a_version_serves(before, after),
        *_bands_changed(before, after),
        *_people_fell_behind(before, after),
    )
    return tuple(dict.fromkeys((*found, *_ready_changed(before, after, serves=_serves(before, after)))))


def _an_alias_moved(before: Raw, after: Raw) -> Iterator[Happened]:
    old, new = newest(before.get("history", ())), newest(after.get("history", ()))
    if old is None or new is None or old["version"] == new["version"] or old.get("uri") != new["uri"]:
        return
    message = f'"{new["uri"]}" has moved from version {old["version"]} to version {new["version"]}'
    yield Happened(reason=Reason.NewRevisionProposed, message=message)


def _a_revision_failed(before: Raw, after: Raw) -> Iterator[Happened]:
    """In the words of the condition that says so."""
    old, new = newest(before.get("history", ())), newest(after.get("history", ()))
    if new is None or "failedFor" not in new or old == new:
        return
    conditions = _conditions(after)
    said = [each for type_ in ("Rollout", "ModelReady") if (each := find(conditions, type_)) and each.status == "False"]
    if said:
        yield Happened(reason=said[0].reason, message=said[0].message, warning=True)


def _a_version_serves(before: Raw, after: Raw) -> Iterator[Happened]:
    if _serves(before, after):
        message = f"version {after['version']} serves, as revision {after['revision']}"
        yield Happened(reason=Reason.ModelServing, message=message)


def _bands_changed(before: Raw, after: Raw) -> Iterator[Happened]:
    """That a band was demoted, or is armed again, and that a certificate ends soon."""
    old, new = (find(_conditions(status), "Monitored") for status in (before, after))
    if new is not None and new.status == "False" and (old is None or old.message != new.message):
        yield Happened(reason=new.reason, message=new.message, warning=True)
    if new is not None and new.status == "True" and old is not None and old.status == "False":
        yield Happened(reason=new.reason, message="every band that was demoted is armed again")
    yield from _says(before, after, "Certified", Reason.CertificateEndsSoon)


def _people_fell_behind(before: Raw, after: Raw) -> Iterator[Happened]:
    yield from _says(before, after, "Reviews", *BEHIND)


def _says(before: Raw, after: Raw, type_: str, *reasons: Reason) -> Iterator[Happened]:
    """That a condition has come to have one of these reasons."""
    old, new = (find(_conditions(status), type_) for status in (before, after))
    if new is not None and new.reason in reasons and (old is None or old.reason != new.reason):
        yield Happened(reason=new.reason, message=new.message, warning=True)


def _ready_changed(before: Raw, after: Raw, *, serves: bool) -> Iterator[Happened]:
    """That it is Ready goes without saying where a version has just begun to serve."""
    old, new = find(_conditions(before), READY), find(_conditions(after), READY)
    waits = new is not None and new.reason is Reason.AwaitingCertificate  # until somebody acts
    if new is None or (new.status == "Unknown" and not waits) or (serves and new.status == "True"):
        return
    if old is None or (old.status, old.reason) != (new.status, new.reason):
        yield Happened(reason=new.reason, message=new.message or "it serves", warning=new.status != "True")


def _serves(before: Raw, after: Raw) -> bool:
    """Whether another version or revision serves than before."""
    old, new = serving(before.get("history", ())), serving(after.get("history", ()))
    return new is not None and (old is None or old["servedFrom"] != new["servedFrom"] or _name(old) != _name(new))


def _name(entry: Raw) -> tuple[object, object]:
    return entry["version"], entry.get("revision")


def _conditions(status: Raw) -> list[Condition]:
    try:
        return from_dicts(status.get("conditions", ()))
    except (KeyError, ValueError):  # written by a release with other reasons
        return []
