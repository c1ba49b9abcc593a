"""What a ModelDeployment's status keeps of its past: what its reference came to mean, and what served from when to when.

An entry is one revision: proposed when the reference, or what surrounds the model, came to mean it, and served from one moment
to another, or never. Every world's plan lets it grow; nothing is forgotten by a restart, because nothing else is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pointsman.api.reasons import Reason

if TYPE_CHECKING:
    from pointsman.deployments.plan import Pinned  # which grows a history

Entry = Mapping[str, Any]
"""As it stands in the status: version, digest, revision, uri, and the moments of what has become of it"""

LONGEST = 20
"""So many entries are kept. The one that serves is never among those that are dropped."""


def grown(
    before: Iterable[Entry], *, wanted: Pinned | None, serve: Pinned | None, failed: Reason | None, now: datetime
) -> list[Entry]:
    """The entries after one plan, the newest last; equal to those before where nothing has changed.

    `failed` is why the wanted revision cannot take over; it stays said until that revision serves.
    """
    entries, moment = [dict(each) for each in before], now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if wanted is not None and not _is_of(newest(entries), wanted, uri=True):
        entries.append({**_named(wanted), "proposedAt": moment})
    current = serving(entries)
    if current is not None and (serve is None or not _is_of(current, serve)):
        current["servedUntil"] = moment
        current = None
    if serve is not None and current is None:
        last = entries[-1] if entries else None
        if last is None or "servedFrom" in last or not _is_of(last, serve):
            entries.append(last := _named(serve))
        last.pop("failedFor", None)
        last["servedFrom"] = moment
    if failed is not None and entries and "servedFrom" not in entries[-1]:
        entries[-1]["failedFor"] = failed.value
    return _shortened(entries)


def newest(entries: Iterable[Entry]) -> Entry | None:
    """What was proposed last: what the reference means, as far as anybody was told."""
    return next((each for each in reversed(list(entries)) if "proposedAt" in each), None)


def serving(entries: Iterable[Entry]) -> Any | None:
    """The entry that serves."""
    last = next((each for each in reversed(list(entries)) if "servedFrom" in each), None)
    return None if last is None or "servedUntil" in last else last


def ended(before: Sequence[Entry], now: datetime) -> list[Entry]:
    """The entries once the ModelDeployment is gone: nothing serves any more."""
    return grown(before, wanted=None, serve=None, failed=None, now=now)


def _named(pinned: Pinned) -> dict[str, Any]:
    source = {"source": pinned.source} if pinned.source else {}
    return {
        "version": pinned.version,
        "digest": pinned.digest,
        "revision": pinned.revision,
        "uri": pinned.uri,
        **source,
    }


def _is_of(entry: Entry | None, pinned: Pinned, *, uri: bool = False) -> bool:
    """Whether the entry is of this revision; with `uri`, also reached by the same reference."""
    if entry is None:
        return False
    fields = ("version", "digest", "revision", *(["uri"] if uri else []))
    return all(entry.get(name, value) == value for name, value in _named(pinned).items() if name in fields)


def _shortened(entries: list[dict[str, Any]]) -> list[Entry]:
    kept = serving(entries)
    while len(entries) > LONGEST:
        entries.remove(next(each for each in entries if each is not kept))
    return list(entries)
