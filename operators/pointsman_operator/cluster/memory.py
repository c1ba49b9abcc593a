"""What is remembered of one kind of object: the newest state that was seen of each. No I/O.

A watch and the answers to our own writes both tell of objects, in any order; the newer state counts, by the object's version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pointsman_operator import names
from pointsman_operator.seen import MODEL_DEPLOYMENT, Raw

Key = tuple[str, str]
"""Namespace (empty where there is none) and name"""
TOMBSTONES = 10_000
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWNER = MODEL_DEPLOYMENT.name, MODEL_DEPLOYMENT.api_version


class Memory:
    """All objects of a kind, found by key and by the ModelDeployment that they belong to.

    `specs` says what is remembered of a spec, by kind: of any other kind all of it.
    """

    def __init__(self, specs: Mapping[str, Callable[[Raw], Raw]] | None = None) -> None:
        self._specs = SPECS if specs is None else specs
        self._objects = dict[Key, Raw]()
        self._of = defaultdict[Key, dict[Key, Raw]](dict)
        self._ended = dict[Key, int]()

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Raw]:
        return iter(self._objects.values())

    def get(self, key: Key) -> Raw | None:
        """The object, if there is one."""
        return self._objects.get(key)

    def of(self, owner: Key) -> list[Raw]:
        """What belongs to a ModelDeployment, by name."""
        return [raw for _, raw in sorted(self._of.get(owner, {}).items())]

    def put(self, raw: Raw) -> bool:
        """Remember a state; whether it was news."""
        key, version = key_of(raw), version_of(raw)
        known = self._objects.get(key)
        if (known is not None and version_of(known) >= version) or self._ended.get(key, -1) >= version:
            return False
        if known is not None:
            self._remove(key)  # its label may have changed
        kept = slim(raw, self._specs)
        self._objects[key] = kept
        self._of[owner_of(raw)][key] = kept
        return True

    def drop(self, raw: Raw) -> bool:
        """Forget an object that has ended; whether it was known."""
        key, version = key_of(raw), version_of(raw)
        self._ended[key] = version
        while len(self._ended) > TOMBSTONES:
            del self._ended[next(iter(self._ended))]
        known = self._objects.get(key)
        if known is None or version_of(known) > version:
            return False
        self._remove(key)
        return True

    def replace(self, listed: Iterable[Raw], version: str) -> list[tuple[Raw, bool]]:
        """Take a list, as of a version, for all there is; what was news, and whether it lives or has ended.

        Without a version nothing can be newer than the list.
        """
        found = {key_of(raw): raw for raw in listed}
        gone = [
            raw
            for key, raw in self._objects.items()
            if key not in found and (not version or version_of(raw) <= int(version))
        ]
        for raw in gone:
            self._remove(key_of(raw))
        return [*((raw, False) for raw in gone), *((raw, True) for raw in found.values() if self.put(raw))]

    def _remove(self, key: Key) -> None:
        raw = self._objects.pop(key)
        owner = owner_of(raw)
        self._of[owner].pop(key, None)
        if not self._of[owner]:
            del self._of[owner]


def key_of(raw: Raw) -> Key:
    """Namespace and name."""
    return str(raw["metadata"].get("namespace", "")), str(raw["metadata"]["name"])


def owner_of(raw: Raw) -> Key:
    """The ModelDeployment that controls an object, whatever its label says; else the one that its label names.

    For all others, and for ModelDeployments, no name.
    """
    metadata = raw["metadata"]
    owner = controller_of(raw)
    name = owner["name"] if owner is not None else (metadata.get("labels") or {}).get(names.DEPLOYMENT, "")
    return str(metadata.get("namespace", "")), str(name)


def controller_of(raw: Raw) -> Raw | None:
    """What an object says of the ModelDeployment that controls it."""
    for owner in raw["metadata"].get("ownerReferences", ()):
        if owner.get("controller") and (owner["kind"], owner["apiVersion"]) == _OWNER:
            found: Raw = owner
            return found
    return None


def version_of(raw: Raw) -> int:
    """Versions of one kind grow: Kubernetes promises so of all its own and of custom resources since 1.35."""
    return int(raw["metadata"]["resourceVersion"])


def slim(raw: Raw, specs: Mapping[str, Callable[[Raw], Raw]]) -> Mapping[str, Any]:
    """Without what nobody here reads, which is most of an object.

    That is who manages which field, what kubectl notes of an apply, and of `specs` the rest.
    """
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    if _APPLIED in metadata.get("annotations", ()):
        metadata["annotations"] = {name: value for name, value in metadata["annotations"].items() if name != _APPLIED}
    read = specs.get(raw.get("kind", ""))
    spec = {"spec": read(raw["spec"])} if read is not None and "spec" in raw else {}
    return {**raw, "metadata": metadata, **spec}


def of_pod(spec: Raw) -> Raw:
    """Of a pod's spec, what its containers are called and ask for."""
    return {
        "containers": [
            {name: each[name] for name in ("name", "resources") if name in each} for each in spec.get("containers", ())
        ]
    }


def _of_deployment(spec: Raw) -> Raw:
    return {"replicas": spec.get("replicas")}


SPECS: Mapping[str, Callable[[Raw], Raw]] = {"Pod": of_pod, "Deployment": _of_deployment}
"""What is remembered of a spec, by kind: whoever decides by more has it remembered here"""
