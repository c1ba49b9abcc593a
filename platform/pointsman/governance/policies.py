"""Cedar policies: whether a subject in a role may do what is asked, on a graph, a case of one, or the platform. Pure.

`default.cedar` holds ours; the platform's owner may put others in their place. A ruling is the same until the policies change,
so it is kept: Cedar takes some 300 µs, a kept ruling less than one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cedarpy
import orjson

from pointsman.governance.access import Permission, Role

FOLDER = Path(__file__).parent
SCHEMA = (FOLDER / "schema.cedarschema").read_text()
DEFAULT = (FOLDER / "default.cedar").read_text()

Json = dict[str, Any]

RULINGS_KEPT = 10_000
PLATFORM: Json = {"type": "Platform", "id": "pointsman"}
_STATEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|//[^\n]*|[^;"/]|/)*;')


class PolicyRefused(ValueError):
    """Policies that cannot be in force; the message says where, what, and which."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks for what. Without a graph it is about the platform; `mine` is said of a case, None elsewhere."""

    subject: str
    role: Role
    permission: Permission
    graph: str | None = None
    mine: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """Whether it is permitted, and by which policies; of a refusal those that forbid it, none where nothing permits it."""

    allowed: bool
    policies: tuple[str, ...]


class Policies:
    """One text of policies, checked against the schema. Raises PolicyRefused. Thread-safe."""

    def __init__(self, text: str) -> None:
        self.text = text
        _check(text)
        self._parsed = cedarpy.PolicySet.from_str(text)
        self._rulings = dict[Asked, Ruling]()

    def rule(self, asked: Asked) -> Ruling:
        """The ruling; the same for the same question."""
        found = self._rulings.get(asked)
        if found is None:
            if len(self._rulings) >= RULINGS_KEPT:
                self._rulings.clear()
            found = self._rulings[asked] = self._ruled(asked)
        return found

    def _ruled(self, asked: Asked) -> Ruling:
        subject: Json = {"type": "Subject", "id": asked.subject}
        entities: list[Json] = [
            {"uid": subject, "attrs": {}, "parents": [{"type": "Role", "id": asked.role.value}]},
            *_resources(asked),
        ]
        question = {
            "principal": _named(subject),
            "action": _named({"type": "Action", "id": asked.permission.value}),
            "resource": _named(entities[-1]["uid"]),
            "context": {},
        }
        said = cedarpy.is_authorized(question, self._parsed, entities)
        names = said.diagnostics.id_annotations_by_reason
        return Ruling(allowed=said.allowed, policies=tuple(names.get(each, each) for each in said.diagnostics.reasons))


@lru_cache(maxsize=8)
def policies_of(text: str | None) -> Policies:
    """The policies of a text, ours where there is none; with the rulings that were made by it. Raises PolicyRefused."""
    return Policies(DEFAULT if text is None else text)


def refusal(asked: Asked, ruling: Ruling) -> str:
    """What who was refused is told."""
    place = "the platform" if asked.graph is None else f'graph "{asked.graph}"'
    why = "no policy permits it"
    if ruling.policies:
        why = f"it is forbidden by the policy {', '.join(map(_quoted, ruling.policies))}"
    return f'may not "{asked.permission.value}" on {place}: {why}: `pointsman policies show` tells what is in force'


def _resources(asked: Asked) -> Iterator[Json]:
    """The entities above what is asked about, and that at last."""
    yield {"uid": PLATFORM, "attrs": {}, "parents": []}
    graph: Json = {"type": "Graph", "id": asked.graph or ""}
    if asked.graph is not None:
        yield {"uid": graph, "attrs": {}, "parents": [PLATFORM]}
    if asked.mine is not None:
        yield {"uid": {"type": "Case", "id": "case"}, "attrs": {"mine": asked.mine}, "parents": [graph]}


def _check(text: str) -> None:
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise PolicyRefused(f"policies: line {_broken_line(text)}: {error}") from None
    said = cedarpy.validate_policies(text, SCHEMA)
    if said.validation_passed:
        return
    names = said.id_annotations_by_policy_id
    told = [re.sub(r"^for policy `\w+`, ", "", each.error) for each in said.errors]
    found = (
        f"{_quoted(names.get(each.policy_id) or each.policy_id)}: {message}"
        for each, message in zip(said.errors, told, strict=True)
    )
    raise PolicyRefused(f"policies: {'; '.join(dict.fromkeys(found))}")


def _broken_line(text: str) -> int:
    """Where the first statement begins that cannot be read."""
    at = 0
    for statement in _STATEMENT.finditer(text):
        try:
            cedarpy.PolicySet.from_str(statement.group())
        except ValueError:
            break
        at = statement.end()
    return text[: at + len(text[at:]) - len(text[at:].lstrip())].count("\n") + 1


def _named(uid: Json) -> str:
    return f"{uid['type']}::{_quoted(uid['id'])}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
