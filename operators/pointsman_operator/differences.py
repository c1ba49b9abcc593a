"""What has to be written for what is wanted to be there: the objects that differ, and those that nobody wants any more. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pointsman.api.values import Quantity
from pointsman_operator.seen import Child, Kind, Objects, Raw, Scale

WHOLE = frozenset({"selector", "podSelector", "namespaceSelector", "labelSelector", "nodeSelector"})
"""Maps that mean something else with anything beside what is wanted"""
AMOUNTS = frozenset({"limits", "requests", "averageValue", "sizeLimit"})
"""Quantities: 1024Mi is kept as 1Gi"""


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What differs: objects to apply in this order, then numbers to set, then objects to delete."""

    apply: tuple[Child, ...] = ()
    scale: tuple[Scale, ...] = ()
    delete: tuple[tuple[Kind, Raw], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.apply or self.scale or self.delete)


def differing(children: Sequence[Child], seen: Objects) -> tuple[Child, ...]:
    """Those that are not there as they are wanted. What is on its way out is not written: its end is an event."""
    return tuple(each for each in children if _differs(each, seen))


def unwanted(
    kinds: Sequence[Kind], children: Sequence[Child], seen: Objects, *, stays: Callable[[Raw], bool]
) -> Iterator[tuple[Kind, Raw]]:
    """What is ours of these kinds and wanted no more. What `stays` is left as it is, and what is somebody else's too."""
    known = {(child.kind.name, child.name) for child in children}
    for kind in kinds:
        for raw in seen.of(kind):
            metadata = raw["metadata"]
            if (
                seen.is_ours(raw)
                and (kind.name, metadata["name"]) not in known
                and not stays(raw)
                and not metadata.get("deletionTimestamp")
            ):
                yield kind, raw


def is_part(wanted: object, found: object) -> bool:
    """Whether everything that is wanted is found: maps hold at least as much, lists as many and each at its place.

    A map of WHOLE holds nothing else. What is empty may be missing, and AMOUNTS may be written in another way: so the API server
    keeps them.
    """
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found, key, value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(wanted) == len(found)
            and all(is_part(mine, theirs) for mine, theirs in zip(wanted, found, strict=True))
        )
    return wanted == found


def _holds(found: Mapping[str, object], key: str, value: object) -> bool:
    if key not in found:
        return value in ({}, [])
    if key in WHOLE:
        return value == found[key]
    if key in AMOUNTS:
        return is_part(_amounts(value), _amounts(found[key]))
    return is_part(value, found[key])


def _amounts(value: object) -> object:
    """As numbers, where they are amounts."""
    if isinstance(value, Mapping):
        return {key: _amounts(each) for key, each in value.items()}
    try:
        return Quantity.of(value).value
    except ValueError:
        return value


def _differs(child: Child, seen: Objects) -> bool:
    found = seen.one(child.kind, child.name)
    if found is not None and found["metadata"].get("deletionTimestamp"):
        return False  # its end is an event, and then it is made anew
    return found is None or not is_part(child.document, found)
