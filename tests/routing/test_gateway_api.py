"""From a cluster's objects to the routing of the development gateway, and to what their statuses say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman.routing.gateway_api import Decided, Objects, decide
from pointsman.routing.haproxy import render
from pointsman.routing.routes import Routing, Server
from pointsman.routing.statuses import class_status, gateway_status, route_status

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 3, 13, 0, tzinfo=UTC)
DECISIONS = "/v1/graphs/fraud/decisions"
SERVICES = ("fraud", "pointsman-api")


def gateway_class(controller: str = "pointsman.dev/development-gateway") -> dict[str, Any]:
    return {"metadata": {"name": "dev", "generation": 1}, "spec": {"controllerName": controller}}


def the_gateway(*listeners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    own = listeners or (listener(),)
    return {
        "metadata": {"name": "pointsman", "namespace": "system", "generation": 3},
        "spec": {"gatewayClassName": "dev", "listeners": list(own), **spec},
    }


def listener(**changes: Any) -> dict[str, Any]:
    return {
        "name": "http",
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    } | changes


def route(
    *rules: dict[str, Any], name: str = "fraud", created: str = "2026-01-01T00:00:00Z", **spec: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "risk", "generation": 2, "creationTimestamp": created},
        "spec": {"parentRefs": [{"name": "pointsman", "namespace": "system"}], "rules": list(rules), **spec},
    }


def rule(value: str, *services: str, type_: str = "PathPrefix", **more: Any) -> dict[str, Any]:
    match = {"path": {"type": type_, "value": value}, **more.pop("match", {})}
    return {"matches": [match], "backendRefs": [{"name": each, "port": 80} for each in services], **more}


def service(name: str, **port: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "risk"},
        "spec": {"ports": [{"name": "http", "port": 80} | port]},
    }


def endpoints(name: str, *addresses: str, type_: str = "IPv4", **conditions: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}-1", "namespace": "risk", "labels": {"kubernetes.io/service-name": name}},
        "addressType": type_,
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": [{"addresses": [each], "conditions": conditions} for each in addresses],
    }


def decided(
    *routes: dict[str, Any],
    gateway: dict[str, Any] | None = None,
    services: Sequence[dict[str, Any]] | None = None,
    slices: Sequence[dict[str, Any]] | None = None,
) -> Decided:
    """One Gateway, and two Services with a ready endpoint each where nothing else is given."""
    objects = Objects(
        classes=[gateway_class()],
        gateways=[gateway or the_gateway()],
        routes=routes,
        services=services if services is not None else [service(each) for each in SERVICES],
        slices=slices
        if slices is not None
        else [endpoints(each, f"10.0.0.{at}") for at, each in enumerate(SERVICES, 1)],
    )
    return decide(objects, port=80)


def led(routing: Routing) -> list[tuple[str | None, str, list[str | None]]]:
    """Host, path and backends of each rule, in the order in which they are tried."""
    return [(each.match.host, each.match.path, [part.backend for part in each.parts]) for each in routing.rules]


def told(status: dict[str, Any], *types: str) -> list[tuple[str, str, str]]:
    """Status, reason and message of an object's conditions, or those of its first parent."""
    found = {each["type"]: each for each in status.get("conditions") or status["parents"][0]["conditions"]}
    return [(found[each]["status"], found[each]["reason"], found[each]["message"]) for each in types]


def test_decisions_come_before_the_rest_whichever_route_is_older() -> None:
    api = route(rule("/", "pointsman-api"), name="pointsman-api", created="2025-01-01T00:00:00Z")
    found = decided(api, route(rule(DECISIONS, "fraud", type_="Exact"))).routing
    assert led(found) == [
        (None, DECISIONS, ["risk_fraud_80_decisions"]),
        (None, "/", ["risk_pointsman-api_80"]),
    ]
    [decisions, others] = found.backends
    assert (decisions.servers, decisions.decisions) == ((Server(address="10.0.0.1:8000"),), True)
    assert (others.servers, others.decisions) == ((Server(address="10.0.0.2:8000"),), False)


def test_the_more_particular_rule_is_tried_first() -> None:
    rules = [
        rule("/", "fraud"),
        rule("/v1", "fraud"),
        rule("/v1", "fraud", match={"method": "POST"}),
        rule("/v1", "fraud", match={"headers": [{"name": "x-team", "value": "risk"}]}),
        rule("/v1/decisions", "fraud"),
        rule("/v1", "fraud", type_="Exact"),
    ]
    of_all = route(*rules)
    of_one = route(rule("/", "fraud"), name="one", hostnames=["a.example.com"])
    of_many = route(rule("/", "fraud"), name="many", hostnames=["*.example.com"])
    found = decided(of_many, of_all, of_one).routing.rules
    order = [(each.match.host, each.match.path, each.match.method, len(each.match.headers)) for each in found]
    assert order == [
        ("a.example.com", "/", None, 0),
        ("*.example.com", "/", None, 0),
        (None, "/v1", None, 0),
        (None, "/v1/decisions", None, 0),
        (None, "/v1", "POST", 0),
        (None, "/v1", None, 1),
        (None, "/v1", None, 0),
        (None, "/", None, 0),
    ]
    assert found[2].match.exact


@pytest.mark.parametrize(
    ("of_listener", "of_route", "hosts"),
    [
        (None, None, [None]),
        (None, ["a.example.com"], ["a.example.com"]),
        ("a.example.com", None, ["a.example.com"]),
        ("*.example.com", ["a.example.com", "b.elsewhere.com"], ["a.example.com"]),
        ("a.example.com", ["*.example.com"], ["a.example.com"]),
        ("*.example.com", ["*.a.example.com"], ["*.a.example.com"]),
        ("*.a.example.com", ["*.example.com"], ["*.a.example.com"]),
        ("a.example.com", ["b.example.com"], []),
        ("*.example.com", ["example.com"], []),
    ],
)
def test_a_route_is_for_the_hosts_that_its_listener_has_too(
    of_listener: str | None, of_route: list[str] | None, hosts: list[str | None]
) -> None:
    spec = {"hostnames": of_route} if of_route else {}
    own = the_gateway(listener(**({"hostname": of_listener} if of_listener else {})))
    found = decided(route(rule("/", "fraud"), **spec), gateway=own)
    assert [each.match.host for each in found.routing.rules] == hosts
    [accepted] = told(route_status(found.routes[0], now=NOW), "Accepted")
    assert accepted[:2] == (("True", "Accepted") if hosts else ("False", "NoMatchingListenerHostname"))


NOT_HONOURED = {
    "a filter": ({"filters": [{"type": "RequestMirror"}]}, 'spec.rules[0].filters: "RequestMirror"'),
    "a timeout": ({"timeouts": {"request": "1s"}}, "spec.rules[0].timeouts"),
    "a field of tomorrow": ({"retry": {"attempts": 2}}, "spec.rules[0].retry"),
    "a pattern of paths": (
        {"matches": [{"path": {"type": "RegularExpression", "value": "/a.*"}}]},
        'spec.rules[0].matches[0].path.type: "RegularExpression"',
    ),
    "a pattern of a header": (
        {"matches": [{"headers": [{"type": "RegularExpression", "name": "a", "value": "b"}]}]},
        'spec.rules[0].matches[0].headers: "RegularExpression"',
    ),
    "a header's odd name": (
        {"matches": [{"headers": [{"name": "a)b", "value": "b"}]}]},
        'spec.rules[0].matches[0].headers: "a)b"',
    ),
    "a backend's filter": (
        {"backendRefs": [{"name": "fraud", "port": 80, "filters": [{"type": "ExtensionRef"}]}]},
        'spec.rules[0].backendRefs[0].filters: "ExtensionRef"',
    ),
}


@pytest.mark.parametrize("what", NOT_HONOURED)
def test_what_is_not_honoured_is_named_and_routes_nothing(what: str) -> None:
    changes, named = NOT_HONOURED[what]
    found = decided(route(rule("/", "fraud") | changes))
    assert found.routing.rules == ()
    message = f"the development gateway does not honour {named}"
    assert told(route_status(found.routes[0], now=NOW), "Accepted") == [("False", "UnsupportedValue", message)]


def test_the_other_rules_of_a_route_are_served_and_what_was_dropped_is_said() -> None:
    found = decided(route(rule("/a", "fraud"), rule("/b", "fraud", timeouts={"request": "1s"})))
    assert [each.match.path for each in found.routing.rules] == ["/a"]
    status = route_status(found.routes[0], now=NOW)
    dropped = "Dropped Rule: the development gateway does not honour spec.rules[1].timeouts"
    assert told(status, "Accepted", "PartiallyInvalid") == [
        ("True", "Accepted", ""),
        ("True", "UnsupportedValue", dropped),
    ]


UNRESOLVED = {
    "no such Service": ({"name": "other"}, "BackendNotFound", 'there is no Service "other" in "risk"'),
    "no such port": ({"port": 81}, "BackendNotFound", 'the Service "fraud" has no port 81'),
    "another kind": (
        {"kind": "Bucket", "group": "example.com"},
        "InvalidKind",
        'the Bucket "fraud" is no Service: only Services are routed to',
    ),
    "another namespace": (
        {"namespace": "lending"},
        "RefNotPermitted",
        'the Service "fraud" is in the namespace "lending": name one of the route\'s own',
    ),
}


@pytest.mark.parametrize("what", UNRESOLVED)
def test_a_backend_that_is_not_there_is_said_and_its_share_of_requests_is_told_so(what: str) -> None:
    changes, reason, message = UNRESOLVED[what]
    asked = rule("/") | {
        "backendRefs": [{"name": "fraud", "port": 80, "weight": 9} | changes, {"name": "fraud", "port": 80}]
    }
    found = decided(route(asked))
    assert told(route_status(found.routes[0], now=NOW), "Accepted", "ResolvedRefs") == [
        ("True", "Accepted", ""),
        ("False", reason, message),
    ]
    [one] = found.routing.rules
    assert [(each.backend, each.weight) for each in one.parts] == [(None, 9), ("risk_fraud_80", 1)]


REFUSED = {
    "no such listener": ({"sectionName": "https"}, {}, "NoMatchingParent"),
    "no such port": ({"port": 81}, {}, "NoMatchingParent"),
    "its own namespace alone": ({}, {"allowedRoutes": {}}, "NotAllowedByListeners"),
    "no listener that is served": ({}, {"protocol": "HTTPS"}, "NotAllowedByListeners"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_route_that_no_listener_takes_is_told_why(what: str) -> None:
    reference, changes, reason = REFUSED[what]
    parent = {"name": "pointsman", "namespace": "system"} | reference
    found = decided(route(rule("/", "fraud"), parentRefs=[parent]), gateway=the_gateway(listener(**changes)))
    assert found.routing.rules == ()
    [accepted] = told(route_status(found.routes[0], now=NOW), "Accepted")
    assert accepted[:2] == ("False", reason)
    assert '"pointsman"' in accepted[2]


LISTENERS = {
    "another protocol": ({"protocol": "TLS"}, "Accepted", "UnsupportedProtocol"),
    "another port": ({"port": 8080}, "Accepted", "PortUnavailable"),
    "a certificate": ({"tls": {"mode": "Terminate"}}, "Accepted", "UnsupportedValue"),
    "namespaces by label": (
        {"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {}}}},
        "Accepted",
        "UnsupportedValue",
    ),
    "other routes": ({"allowedRoutes": {"kinds": [{"kind": "TCPRoute"}]}}, "ResolvedRefs", "InvalidRouteKinds"),
}


@pytest.mark.parametrize("what", LISTENERS)
def test_a_listener_that_cannot_be_served_is_told_why_and_the_others_serve(what: str) -> None:
    changes, type_, reason = LISTENERS[what]
    own = the_gateway(listener(), listener(name="other", **changes))
    found = decided(route(rule("/", "fraud")), gateway=own)
    status = of_gateway(found)
    assert told(status, "Accepted", "Programmed") == [
        ("True", "ListenersNotValid", 'see the conditions of the listeners "other"'),
        ("True", "Programmed", ""),
    ]
    served, other = status["listeners"]
    assert [each["status"] for each in served["conditions"]] == ["True"] * 3
    assert [each["reason"] for each in other["conditions"] if each["type"] == type_] == [reason]
    assert (served["attachedRoutes"], other["attachedRoutes"]) == (1, 0)


def of_gateway(found: Decided, trouble: str = "", now: datetime = NOW) -> dict[str, Any]:
    [(raw, listeners)] = found.gateways
    address = {"type": "IPAddress", "value": "10.96.0.1"}
    return gateway_status(found, raw, listeners, address=address, trouble=trouble, now=now)


def test_a_gateway_that_asks_for_more_serves_nothing_and_says_what() -> None:
    found = decided(route(rule("/", "fraud")), gateway=the_gateway(infrastructure={"labels": {"a": "b"}}))
    assert found.routing.rules == ()
    message = "the development gateway does not honour spec.infrastructure: remove it"
    assert told(of_gateway(found), "Accepted") == [("False", "Invalid", message)]


def test_what_haproxy_refuses_is_said_of_the_gateway() -> None:
    message = "the routes could not be loaded: no memory"
    assert told(of_gateway(decided(), trouble="no memory"), "Programmed") == [("False", "Pending", message)]


def test_the_same_facts_an_hour_later_are_the_same_status() -> None:
    first = decided(route(rule("/", "fraud")))
    [(raw, _)] = first.gateways
    again = decided(
        first.routes[0].raw | {"status": route_status(first.routes[0], now=NOW)},
        gateway=raw | {"status": of_gateway(first)},
    )
    assert of_gateway(again, now=LATER) == of_gateway(first)
    assert route_status(again.routes[0], now=LATER) == route_status(first.routes[0], now=NOW)
    raw_class = gateway_class()
    status = class_status(raw_class, now=NOW)
    assert class_status(raw_class | {"status": status}, now=LATER) == status


def test_what_other_controllers_said_stays_and_what_was_ours_goes_with_the_reference() -> None:
    others = {"controllerName": "example.com/other", "parentRef": {"name": "public"}, "conditions": []}
    mine = {"controllerName": "pointsman.dev/development-gateway", "parentRef": {"name": "gone"}, "conditions": []}
    moved = route(rule("/", "fraud"), parentRefs=[{"name": "public"}]) | {"status": {"parents": [others, mine]}}
    [found] = decided(moved).routes
    assert route_status(found, now=NOW) == {"parents": [others]}
    assert decided(route(rule("/", "fraud"), parentRefs=[{"name": "public"}])).routes == ()


def test_a_class_of_another_controller_is_left_alone() -> None:
    objects = Objects(
        classes=[gateway_class("example.com/other")],
        gateways=[the_gateway()],
        routes=[route(rule("/", "fraud"))],
        services=[],
        slices=[],
    )
    found = decide(objects, port=80)
    assert (found.classes, found.gateways, found.routes, found.routing.rules) == ((), (), (), ())


ENDPOINTS = {
    "those that are ready": (
        [endpoints("fraud", "10.0.0.2", "10.0.0.1"), endpoints("fraud", "10.0.0.3", ready=False, serving=True)],
        ["10.0.0.1:8000", "10.0.0.2:8000"],
    ),
    "those that end, where none is ready": (
        [
            endpoints("fraud", "10.0.0.3", ready=False, serving=True),
            endpoints("fraud", "10.0.0.4", ready=False, serving=False),
        ],
        ["10.0.0.3:8000"],
    ),
    "of both families one": (
        [endpoints("fraud", "fd00::1", type_="IPv6"), endpoints("fraud", "10.0.0.1")],
        ["10.0.0.1:8000"],
    ),
    "the other family": ([endpoints("fraud", "fd00::1", type_="IPv6")], ["[fd00::1]:8000"]),
    "no name of a host": ([endpoints("fraud", "example.com", type_="FQDN")], []),
    "no other Service's": ([endpoints("other", "10.0.0.1")], []),
    "none": ([], []),
}


@pytest.mark.parametrize("which", ENDPOINTS)
def test_the_servers_of_a_service_are(which: str) -> None:
    slices, wanted = ENDPOINTS[which]
    [backend] = decided(route(rule("/", "fraud")), slices=slices).routing.backends
    assert [each.address for each in backend.servers] == wanted


def test_haproxy_takes_all_of_it(refusal: Callable[[str], str]) -> None:
    headers = [{"name": "x-team", "value": "risk's \"}\n    bind :1"}]
    found = decided(
        route(
            rule("/it's/(a),$b;%20!", "fraud", "pointsman-api", type_="Exact"),
            rule("/", "fraud", match={"headers": headers, "queryParams": [{"name": "a", "value": "} # {"}]}),
            rule("/none"),
            hostnames=["*.example.com", "example.com"],
        ),
        slices=[endpoints("fraud", "fd00::1", type_="IPv6"), endpoints("pointsman-api", "10.0.0.1", "10.0.0.2")],
    )
    assert refusal(render(found.routing, bind=":8080", metrics=":8404")) == ""
