"""What GatewayClasses, Gateways and HTTPRoutes are told in their statuses: what holds, and what is not honoured. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pointsman.routing.conditions import Condition, Trouble, Why, fact, written
from pointsman.routing.gateway_api import CONTROLLER, Decided, Parent, Route, not_honoured
from pointsman.routing.listeners import GROUP, Listener

Raw = Mapping[str, Any]
ABOUT = (
    "a gateway for development: HTTP alone, one port, no limits of any kind; for production use another GatewayClass"
)


def class_status(raw: Raw, *, now: datetime) -> dict[str, Any]:
    """What a GatewayClass of ours is told."""
    conditions = [Condition(type="Accepted", holds=True, why=Why.Accepted, message=ABOUT)]
    return {"conditions": _written(raw, raw.get("status"), conditions, now)}


def gateway_status(
    decided: Decided, raw: Raw, own: Sequence[Listener], *, address: Raw | None, trouble: str, now: datetime
) -> dict[str, Any]:
    """What a Gateway is told. `trouble` is why the routing could not be loaded; empty where it was."""
    attached = Counter(
        (each.namespace, each.gateway, each.name)
        for route in decided.routes
        for each in {each for parent in route.parents for each in parent.attached.listeners}
    )
    unloaded = Trouble(why=Why.Pending, message=f"the routes could not be loaded: {trouble}") if trouble else None
    before = {each["name"]: each for each in (raw.get("status") or {}).get("listeners") or ()}
    valid = [each for each in own if each.is_open]
    unserved = unloaded if valid else Trouble(why=Why.Invalid, message="no listener is valid")
    conditions = [_gateway_accepted(raw, own, valid), fact("Programmed", Why.Programmed, unserved)]
    return {
        "addresses": [dict(address)] if address is not None else [],
        "conditions": _written(raw, raw.get("status"), conditions, now),
        "listeners": [
            {
                "name": each.name,
                "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
                "attachedRoutes": attached[each.namespace, each.gateway, each.name],
                "conditions": _written(raw, before.get(each.name), _of_listener(each, unloaded), now),
            }
            for each in own
        ],
    }


def route_status(route: Route, *, now: datetime) -> dict[str, Any]:
    """What an HTTPRoute is told: our parents anew, others' as they are."""
    there = (route.raw.get("status") or {}).get("parents") or ()
    others = [dict(each) for each in there if each["controllerName"] != CONTROLLER]
    mine = [each for each in there if each["controllerName"] == CONTROLLER]
    return {"parents": [*others, *(_parent(route, each, mine, now) for each in route.parents)]}


def _gateway_accepted(raw: Raw, own: Sequence[Listener], valid: Sequence[Listener]) -> Condition:
    trouble = not_honoured(raw)
    if trouble is None and len(valid) < len(own):
        named = ", ".join(f'"{each.name}"' for each in own if not each.is_open)
        message = f"see the conditions of the listeners {named}"
        return Condition(type="Accepted", holds=bool(valid), why=Why.ListenersNotValid, message=message)
    return fact("Accepted", Why.Accepted, trouble, ABOUT)


def _of_listener(listener: Listener, unloaded: Trouble | None) -> Iterator[Condition]:
    closed = Trouble(why=Why.Invalid, message="the listener is not valid")
    yield fact("Accepted", Why.Accepted, listener.trouble)
    yield fact("Programmed", Why.Programmed, unloaded if listener.is_open else closed)
    yield fact("ResolvedRefs", Why.ResolvedRefs, listener.kinds)


def _parent(route: Route, parent: Parent, before: Sequence[Raw], now: datetime) -> dict[str, Any]:
    known = next((each for each in before if each["parentRef"] == parent.reference), None)
    trouble, dropped = parent.attached.trouble, "; ".join(route.dropped)
    if trouble is None and route.dropped and not route.rules:
        trouble = Trouble(why=Why.UnsupportedValue, message=f"the development gateway does not honour {dropped}")
    unresolved = None
    if route.unresolved:
        message = "; ".join(each.message for each in route.unresolved)
        unresolved = Trouble(why=route.unresolved[0].why, message=message)
    conditions = [fact("Accepted", Why.Accepted, trouble), fact("ResolvedRefs", Why.ResolvedRefs, unresolved)]
    if route.dropped and route.rules:
        message = f"Dropped Rule: the development gateway does not honour {dropped}"
        conditions.append(Condition(type="PartiallyInvalid", holds=True, why=Why.UnsupportedValue, message=message))
    return {
        "parentRef": dict(parent.reference),
        "controllerName": CONTROLLER,
        "conditions": _written(route.raw, known, conditions, now),
    }


def _written(raw: Raw, before: Raw | None, conditions: Iterable[Condition], now: datetime) -> list[dict[str, Any]]:
    """Conditions of an object or of a part of it, after those that stand there."""
    known = (before or {}).get("conditions") or ()
    return written(conditions, generation=raw["metadata"]["generation"], before=known, now=now)
