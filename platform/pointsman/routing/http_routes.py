"""What an HTTPRoute asks for, and what of that is not honoured here: no field of it is passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pointsman.routing.conditions import Trouble, Why
from pointsman.routing.routes import Equal, Match

Raw = Mapping[str, Any]

DECISIONS = re.compile(r"/v1/graphs/[^/]+/decisions")
"""Paths at which a request may be sent again: an event that was decided gets the same answer"""
_RULE = frozenset({"name", "matches", "backendRefs"})
_MATCH = frozenset({"path", "headers", "queryParams", "method"})
_REFERENCE = frozenset({"group", "kind", "name", "namespace", "port", "weight"})
_PATHS = ("Exact", "PathPrefix")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A Service's port, and its share of a rule's requests; trouble where nothing may be led there."""

    namespace: str
    service: str
    port: int
    weight: int
    trouble: Trouble | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A rule of a route. `host` of its matches is still open."""

    matches: tuple[Match, ...]
    references: tuple[Reference, ...]

    @property
    def decisions(self) -> bool:
        """Whether all its requests are for decisions."""
        return all(each.exact and DECISIONS.fullmatch(each.path) for each in self.matches)


def asked(route: Raw) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The rules that are honoured, and what keeps each other rule from it: its place, and what stands there."""
    rules, dropped = list[Asked](), list[str]()
    for number, rule in enumerate(route["spec"].get("rules") or ()):
        unknown = list(_unknown(rule, f"spec.rules[{number}]"))
        dropped += unknown
        if not unknown:
            references = tuple(_reference(route, each) for each in rule.get("backendRefs") or ())
            rules.append(Asked(matches=tuple(map(_match, rule.get("matches") or ({},))), references=references))
    return tuple(rules), tuple(dropped)


def _unknown(rule: Raw, place: str) -> Iterator[str]:
    yield from _others(rule, _RULE, place)
    for number, match in enumerate(rule.get("matches") or ()):
        at = f"{place}.matches[{number}]"
        yield from _others(match, _MATCH, at)
        if match.get("path", {}).get("type", "PathPrefix") not in _PATHS:
            yield f'{at}.path.type: "{match["path"]["type"]}"'
        for field in ("headers", "queryParams"):
            for each in match.get(field) or ():
                if each.get("type", "Exact") != "Exact":
                    yield f'{at}.{field}: "{each["type"]}"'
                if not _NAME.fullmatch(each["name"]):
                    yield f'{at}.{field}: "{each["name"]}"'
    for number, reference in enumerate(rule.get("backendRefs") or ()):
        yield from _others(reference, _REFERENCE, f"{place}.backendRefs[{number}]")


def _others(found: Raw, known: frozenset[str], place: str) -> Iterator[str]:
    for field in sorted(found.keys() - known):
        value = found[field]
        kinds = [f'"{each["type"]}"' for each in value if "type" in each] if isinstance(value, list) else []
        yield f"{place}.{field}" + (f": {', '.join(kinds)}" if kinds else "")


def _match(match: Raw) -> Match:
    path = match.get("path") or {}
    return Match(
        path=path.get("value", "/"),
        exact=path.get("type") == "Exact",
        method=match.get("method"),
        headers=tuple(Equal(name=each["name"], value=each["value"]) for each in match.get("headers") or ()),
        query=tuple(Equal(name=each["name"], value=each["value"]) for each in match.get("queryParams") or ()),
    )


def _reference(route: Raw, reference: Raw) -> Reference:
    own = route["metadata"]["namespace"]
    namespace, group, kind = reference.get("namespace") or own, reference.get("group"), reference.get("kind", "Service")
    trouble = None
    if group or kind != "Service":
        message = f'the {kind} "{reference["name"]}" is no Service: only Services are routed to'
        trouble = Trouble(why=Why.InvalidKind, message=message)
    elif namespace != own:
        message = f'the Service "{reference["name"]}" is in the namespace "{namespace}": name one of the route\'s own'
        trouble = Trouble(why=Why.RefNotPermitted, message=message)
    return Reference(
        namespace=namespace,
        service=reference["name"],
        port=reference.get("port") or 0,
        weight=reference.get("weight", 1),
        trouble=trouble,
    )
