"""What the status of a ModelDeployment tells of its versions: which was proposed when, and which served from when to when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def versions(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of `status.history`, the newest first; of what has served, `servedUntil` says until when, None until now."""
    found, later = list[dict[str, Any]](), None
    for written in reversed(status.get("history") or ()):
        entry = {**written, "revision": _revision(written)}
        if "servedFrom" in entry:
            entry.setdefault("servedUntil", later)  # an earlier release did not write it
            later = entry["servedFrom"]
        found.append(entry)
    return found


def of_revision(status: Mapping[str, Any], revision: str) -> str:
    """A revision in words: its version, where that is known, and whether it serves."""
    version = next((entry.get("version") for entry in versions(status) if entry["revision"] == revision), None)
    serves = "serves" if status.get("revision") == revision else "does not serve"
    return serves if version is None else f"version {version}, {serves}"


def _revision(entry: Mapping[str, Any]) -> str:
    """Where it is not written, the files alone make the revision."""
    return str(entry.get("revision") or str(entry.get("digest", "")).removeprefix("sha256:")[:8])
