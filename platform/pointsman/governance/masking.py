"""Personal values in what the API answers: marked where the answer is made, masked for who may not see them. Pure.

An answer's part that holds personal values says which under `personal`: names of its own, or `part.name` of a part below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pointsman.graphs.resolve import ResolvedGraph

MASK = "•••"
PERSONAL = "personal"


def personal_in(event: Iterable[str], resolved: ResolvedGraph | None) -> list[str]:
    """Of an event's fields those to be masked: personal ones, and any that the contract does not declare.

    Without a readable revision every field is.
    """
    fields = () if resolved is None else resolved.stream.spec.contract.fields
    shown = {each.name for each in fields if not each.personal}
    return sorted(set(event) - shown)


def is_personal(reference: str | None, resolved: ResolvedGraph | None) -> bool:
    """Whether a reference of a graph, `event.field` or `node.output`, names a personal field."""
    if reference is None:
        return False
    owner, _, name = reference.partition(".")
    return owner == "event" and bool(personal_in([name], resolved))


def personal_parameters(action: str, resolved: ResolvedGraph | None) -> list[str]:
    """Of an action's parameters those that are given a personal field, as `parameters.name`."""
    found = None if resolved is None else resolved.graph.spec.action(action)
    given: Mapping[str, str] = {} if found is None else found.parameters
    return sorted(f"parameters.{name}" for name, reference in given.items() if is_personal(reference, resolved))


def personal_case(resolved: ResolvedGraph | None) -> list[str]:
    """`case_key` where the graph's cases are named by a personal field, as far as one can tell."""
    by = None if resolved is None else resolved.graph.spec.review.group_by
    return ["case_key"] if resolved is None or is_personal(by, resolved) else []


def masked(answer: Any) -> Any:
    """The answer with everything that it marks as personal masked, at any depth."""
    if isinstance(answer, Mapping):
        found = {key: masked(value) for key, value in answer.items()}
        marks = answer.get(PERSONAL)
        for path in marks if isinstance(marks, Sequence) and not isinstance(marks, str) else ():
            _mask(found, str(path))
        return found
    return [masked(each) for each in answer] if isinstance(answer, (list, tuple)) else answer


def _mask(part: dict[str, Any], path: str) -> None:
    owner, _, name = path.partition(".")
    inner, key = (part.get(owner), name) if name else (part, owner)
    if isinstance(inner, dict) and inner.get(key) is not None:
        inner[key] = MASK
