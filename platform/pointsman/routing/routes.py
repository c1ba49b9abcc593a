"""What a gateway does with a request: rules in the order in which they are tried, and the servers behind them. Values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Server:
    """One process that answers, at `address` (host:port).

    `checked`: whether it is asked for a connection every second. `backup`: only asked when no other server is up.
    `ends_requests`: whether requests that are under way are given up once its check fails.
    """

    address: str
    checked: bool = True
    backup: bool = False
    ends_requests: bool = False


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Servers of which any may answer. `decisions`: they take decisions, whose events make a request safe to send again."""

    name: str
    servers: tuple[Server, ...]
    decisions: bool = False


@dataclass(frozen=True, kw_only=True)
class Equal:
    """A header or a parameter of the query with this value."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Match:
    """Requests that a rule is for. `host` may begin with `*.`; a path that is not exact matches whole parts of paths."""

    path: str = "/"
    exact: bool = False
    host: str | None = None
    method: str | None = None
    headers: tuple[Equal, ...] = ()
    query: tuple[Equal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A share of a rule's requests. `backend` is a Backend's name; None: it is not there, which is said to who asks."""

    backend: str | None
    weight: int = 1


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What becomes of the requests that match."""

    match: Match
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Routing:
    """All of it. The first rule that matches decides."""

    rules: tuple[Rule, ...]
    backends: tuple[Backend, ...]


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The more particular rule first, as the Gateway API says; of two alike the one that was given first."""
    return tuple(sorted(rules, key=lambda rule: _precedence(rule.match)))


def structure(routing: Routing) -> Routing:
    """All but the servers: while this is the same, servers may come and go without anything being loaded anew."""
    return replace(routing, backends=tuple(replace(each, servers=()) for each in routing.backends))


def _precedence(match: Match) -> tuple[int, ...]:
    host = match.host or ""
    whole = 0 if host.startswith("*") else len(host)
    path = (not match.exact, -len(match.path))
    return (-whole, -len(host), *path, match.method is None, -len(match.headers), -len(match.query))
