"""What has become of each version of a registered model in one ModelDeployment, in words for whoever looks into the registry.

Made of the status's history alone, so the same status says the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from pointsman.api.reasons import Reason
from pointsman.deployments.history import Entry, serving
from pointsman.registry.port import InvalidModelUri, ModelUri, ModelVersion


def outcomes(history: Iterable[Entry]) -> dict[ModelVersion, str]:
    """What is to be said of each version. One that was proposed and of which nothing is known yet is not among them.

    Of a version that was proposed more than once the newest outcome counts, and that it serves before all others.
    """
    entries = list(history)
    current = serving(entries)
    found = dict[ModelVersion, str]()
    for entry in [*entries, *([current] if current is not None else [])]:
        version, outcome = _version(entry), _outcome(entry)
        if version is not None and outcome is not None:
            found[version] = outcome
    return found


def _version(entry: Entry) -> ModelVersion | None:
    """The registered version; None where the model does not come from a registry."""
    try:
        return ModelVersion(name=ModelUri.parse(str(entry.get("uri", ""))).name, version=str(entry["version"]))
    except InvalidModelUri:
        return None


def _outcome(entry: Entry) -> str | None:
    revision = f"revision {entry.get('revision')}"
    if "servedUntil" in entry:
        return f"served from {entry['servedFrom']} until {entry['servedUntil']} as {revision}"
    if "servedFrom" in entry:
        return f"serving since {entry['servedFrom']} as {revision}"
    if "failedFor" not in entry:
        return None
    try:
        reason = Reason(str(entry["failedFor"]))
    except ValueError:  # of a later release
        return f"failed as {revision}: {entry['failedFor']}"
    return f"failed as {revision}: {reason}: {reason.description}"
