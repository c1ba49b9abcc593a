"""Which applied object refers to which. What is still referred to is not deleted unless that is forced. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.local.objects import Key, StoredObject

Path = tuple[str, ...]

SECRET_KEY = "secretKeyRef"
REFERENCES: Mapping[str, tuple[tuple[str, Path], ...]] = {
    "FeatureView": (("EventStream", ("sourceRef", "name")),),
    "DecisionGraph": (
        ("EventStream", ("eventStreamRef", "name")),
        ("FeatureView", ("nodes", "features", "viewRef", "name")),
        ("ModelDeployment", ("nodes", "model", "deploymentRef", "name")),
        ("ActionTarget", ("actions", "targetRef", "name")),
    ),
    "ActionTarget": (("Service", ("serviceRef", "name")),),
}
"""kind → (kind it refers to, where below `spec` the name stands; lists are walked)"""


def referrers(stored: Mapping[Key, StoredObject], kind: str, name: str) -> list[str]:
    """Which objects refer to this one, as `Kind "name"`. A Service finds its processes by labels: nothing refers to those."""
    return [
        f'{other.kind} "{other.name}"'
        for other in stored.values()
        if (kind == "Secret" and name in _secrets(other.document.get("spec")))
        or any(
            referred == kind and name in _values(other.document.get("spec"), path)
            for referred, path in REFERENCES.get(other.kind, ())
        )
    ]


def _values(block: Any, path: Path) -> list[Any]:
    if isinstance(block, list):
        return [value for each in block for value in _values(each, path)]
    if not path:
        return [block]
    return _values(block[path[0]], path[1:]) if isinstance(block, dict) and path[0] in block else []


def _secrets(block: Any) -> set[str]:
    """The Secrets that are pointed at anywhere below."""
    if isinstance(block, list):
        return {name for each in block for name in _secrets(each)}
    if not isinstance(block, dict):
        return set()
    reference = block.get(SECRET_KEY)
    here = {reference["name"]} if isinstance(reference, dict) and "name" in reference else set[str]()
    return here | {name for each in block.values() for name in _secrets(each)}
