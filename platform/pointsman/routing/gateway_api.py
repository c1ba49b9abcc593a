"""The routing that a cluster's Gateways and HTTPRoutes ask for. Pure; `statuses` says what each of them is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pointsman.routing.conditions import Trouble, Why
from pointsman.routing.endpoints import Endpoints
from pointsman.routing.http_routes import Asked, Reference, asked
from pointsman.routing.listeners import GROUP, Attached, Listener, attach, listeners
from pointsman.routing.routes import Backend, Part, Routing, Rule, in_order

Raw = Mapping[str, Any]
Key = tuple[str, str]
CONTROLLER = "pointsman.dev/development-gateway"
_GATEWAY = frozenset({"gatewayClassName", "listeners"})


@dataclass(frozen=True, kw_only=True)
class Objects:
    """All objects of these kinds in a cluster."""

    classes: Sequence[Raw]
    gateways: Sequence[Raw]
    routes: Sequence[Raw]
    services: Sequence[Raw]
    slices: Sequence[Raw]


@dataclass(frozen=True, kw_only=True)
class Parent:
    """One parentRef of a route that names a Gateway of ours."""

    reference: Raw
    attached: Attached


@dataclass(frozen=True, kw_only=True)
class Route:
    """An HTTPRoute with its parents here. `dropped` says what is not honoured, `unresolved` which backends are not there."""

    raw: Raw
    parents: tuple[Parent, ...]
    rules: tuple[Asked, ...]
    dropped: tuple[str, ...]
    unresolved: tuple[Trouble, ...]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What is to be served, and whose statuses tell of it."""

    routing: Routing
    classes: tuple[Raw, ...]
    gateways: tuple[tuple[Raw, tuple[Listener, ...]], ...]
    routes: tuple[Route, ...]


def decide(objects: Objects, *, port: int) -> Decided:
    """The routing of all Gateways of our classes together; `port` is the one at which they are reached."""
    classes = tuple(each for each in objects.classes if each["spec"]["controllerName"] == CONTROLLER)
    names = {each["metadata"]["name"] for each in classes}
    ours = [each for each in objects.gateways if each["spec"]["gatewayClassName"] in names]
    gateways = {_key(each): (each, _listeners(each, port)) for each in sorted(ours, key=_key)}
    endpoints = Endpoints(objects.services, objects.slices)
    oldest_first = sorted(objects.routes, key=lambda each: (each["metadata"]["creationTimestamp"], _key(each)))
    routes = [_route(each, gateways, endpoints) for each in oldest_first]
    mine = tuple(each for each in routes if each.parents or _told_before(each.raw))
    return Decided(routing=_routing(mine, endpoints), classes=classes, gateways=tuple(gateways.values()), routes=mine)


def _listeners(gateway: Raw, port: int) -> tuple[Listener, ...]:
    """Those of a Gateway that asks for more than is honoured take nothing."""
    found, unknown = listeners(gateway, port=port), not_honoured(gateway)
    return tuple(replace(each, trouble=each.trouble or unknown) for each in found)


def not_honoured(gateway: Raw) -> Trouble | None:
    """What a Gateway asks for that is not honoured."""
    unknown = sorted(field for field in gateway["spec"].keys() - _GATEWAY if gateway["spec"][field])
    if not unknown:
        return None
    fields = ", ".join(f"spec.{field}" for field in unknown)
    return Trouble(why=Why.Invalid, message=f"the development gateway does not honour {fields}: remove it")


def _route(raw: Raw, gateways: Mapping[Key, tuple[Raw, tuple[Listener, ...]]], endpoints: Endpoints) -> Route:
    parents = list[Parent]()
    for reference in raw["spec"].get("parentRefs") or ():
        if reference.get("kind", "Gateway") != "Gateway" or reference.get("group", GROUP) != GROUP:
            continue
        found = gateways.get((reference.get("namespace") or raw["metadata"]["namespace"], reference["name"]))
        if found is not None:
            parents.append(Parent(reference=reference, attached=attach(raw, reference, found[1])))
    rules, dropped = asked(raw) if parents else ((), ())
    rules = tuple(replace(each, references=tuple(_resolved(at, endpoints) for at in each.references)) for each in rules)
    troubles = dict.fromkeys(at.trouble for each in rules for at in each.references if at.trouble is not None)
    return Route(raw=raw, parents=tuple(parents), rules=rules, dropped=dropped, unresolved=tuple(troubles))


def _resolved(reference: Reference, endpoints: Endpoints) -> Reference:
    if reference.trouble is not None:
        return reference
    return replace(reference, trouble=endpoints.trouble(reference.namespace, reference.service, reference.port))


def _routing(routes: Sequence[Route], endpoints: Endpoints) -> Routing:
    rules, backends = list[Rule](), dict[str, Backend]()
    for route in routes:
        hosts = dict.fromkeys(host for parent in route.parents for host in parent.attached.hosts)
        for each in route.rules if hosts else ():
            parts = list[Part]()
            for at in each.references:
                backend = _backend(at, endpoints, decisions=each.decisions) if at.trouble is None else None
                if backend is not None:
                    backends[backend.name] = backend
                parts.append(Part(backend=backend.name if backend is not None else None, weight=at.weight))
            rules += [
                Rule(match=replace(match, host=host), parts=tuple(parts)) for match in each.matches for host in hosts
            ]
    return Routing(rules=in_order(rules), backends=tuple(backends[name] for name in sorted(backends)))


def _backend(reference: Reference, endpoints: Endpoints, *, decisions: bool) -> Backend:
    """One for each Service's port, and one more where that takes decisions. No name of Kubernetes has a `_`."""
    servers = endpoints.servers(reference.namespace, reference.service, reference.port)
    name = f"{reference.namespace}_{reference.service}_{reference.port}" + "_decisions" * decisions
    return Backend(name=name, servers=servers, decisions=decisions)


def _told_before(raw: Raw) -> bool:
    there = (raw.get("status") or {}).get("parents") or ()
    return any(each["controllerName"] == CONTROLLER for each in there)


def _key(raw: Raw) -> Key:
    return str(raw["metadata"].get("namespace", "")), str(raw["metadata"]["name"])
