"""What a Gateway's listeners take, and which of them an HTTPRoute is attached to, for which hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.routing.conditions import Trouble, Why

Raw = Mapping[str, Any]
GROUP = "gateway.networking.k8s.io"
_KNOWN = frozenset({"name", "hostname", "port", "protocol", "allowedRoutes"})


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listener of the Gateway `namespace`/`gateway`. `trouble` is why it takes nothing, `kinds` why not what it asks for."""

    gateway: str
    namespace: str
    name: str
    port: int
    hostname: str | None
    takes_all: bool
    """Routes of all namespaces, and not of its own alone"""
    trouble: Trouble | None = None
    kinds: Trouble | None = None

    @property
    def is_open(self) -> bool:
        """Whether routes can be attached."""
        return self.trouble is None and self.kinds is None


@dataclass(frozen=True, kw_only=True)
class Attached:
    """What a parentRef of a route leads to: listeners, and the hosts of them that the route is for (None: any)."""

    listeners: tuple[Listener, ...] = ()
    hosts: tuple[str | None, ...] = ()
    trouble: Trouble | None = None


def listeners(gateway: Raw, *, port: int) -> tuple[Listener, ...]:
    """The listeners of a Gateway, where `port` is the one that is served."""
    return tuple(_listener(gateway, each, port) for each in gateway["spec"]["listeners"])


def attach(route: Raw, reference: Raw, offered: Sequence[Listener]) -> Attached:
    """To what the reference attaches the route, of a Gateway's listeners."""
    section, port = reference.get("sectionName"), reference.get("port")
    named = [each for each in offered if section in (None, each.name) and port in (None, each.port)]
    if not named:
        message = f'the Gateway "{reference["name"]}" has no listener of this name and port: see its spec.listeners'
        return Attached(trouble=Trouble(why=Why.NoMatchingParent, message=message))
    namespace = route["metadata"]["namespace"]
    allowing = [each for each in named if each.is_open and (each.takes_all or each.namespace == namespace)]
    if not allowing:
        message = (
            f'no listener of the Gateway "{reference["name"]}" takes HTTPRoutes of the namespace "{namespace}": '
            "see its allowedRoutes and its conditions"
        )
        return Attached(trouble=Trouble(why=Why.NotAllowedByListeners, message=message))
    wanted = route["spec"].get("hostnames") or (None,)
    found = {each: hosts for each in allowing if (hosts := tuple(_shared(each.hostname, wanted)))}
    if not found:
        message = f'no listener of the Gateway "{reference["name"]}" has a hostname of this route'
        return Attached(trouble=Trouble(why=Why.NoMatchingListenerHostname, message=message))
    shared = dict.fromkeys(host for hosts in found.values() for host in hosts)
    return Attached(listeners=tuple(found), hosts=tuple(shared))


def _listener(gateway: Raw, listener: Raw, port: int) -> Listener:
    allowed = listener.get("allowedRoutes") or {}
    kinds = [each for each in allowed.get("kinds") or () if not _is_http_route(each)]
    wrong = ", ".join(f'"{each["kind"]}"' for each in kinds)
    return Listener(
        gateway=gateway["metadata"]["name"],
        namespace=gateway["metadata"]["namespace"],
        name=listener["name"],
        port=listener["port"],
        hostname=listener.get("hostname") or None,
        takes_all=_from(allowed) == "All",
        trouble=_trouble(listener, port),
        kinds=Trouble(why=Why.InvalidRouteKinds, message=f"only HTTPRoutes are routed here, not {wrong}")
        if kinds
        else None,
    )


def _trouble(listener: Raw, port: int) -> Trouble | None:
    if listener["protocol"] != "HTTP":
        message = f'the development gateway serves HTTP alone, not "{listener["protocol"]}": use another GatewayClass'
        return Trouble(why=Why.UnsupportedProtocol, message=message)
    if listener["port"] != port:
        message = f"the development gateway is reached at port {port} alone, not at {listener['port']}"
        return Trouble(why=Why.PortUnavailable, message=message)
    unknown = sorted(listener.keys() - _KNOWN)
    if _from(listener.get("allowedRoutes") or {}) == "Selector":
        unknown.append("allowedRoutes.namespaces.selector")
    if unknown:
        message = (
            f"the development gateway does not honour {', '.join(unknown)}: remove it, or use another GatewayClass"
        )
        return Trouble(why=Why.UnsupportedValue, message=message)
    return None


def _from(allowed: Raw) -> str:
    return str((allowed.get("namespaces") or {}).get("from") or "Same")


def _is_http_route(kind: Raw) -> bool:
    return (kind["kind"], kind.get("group", GROUP)) == ("HTTPRoute", GROUP)


def _shared(listener: str | None, wanted: Sequence[str | None]) -> Iterator[str | None]:
    """The hosts that both a listener and a route are for; None is any host."""
    for host in wanted:
        if listener is None or host is None:
            yield host or listener
        elif host == listener or (listener.startswith("*.") and host.endswith(listener[1:])):
            yield host
        elif host.startswith("*.") and listener.endswith(host[1:]):
            yield listener
