"""The servers behind a Service's port, from its EndpointSlices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pointsman.routing.conditions import Trouble, Why
from pointsman.routing.routes import Server

Raw = Mapping[str, Any]
SERVICE_NAME = "kubernetes.io/service-name"
_OTHER_PROTOCOLS = ("kubernetes.io/h2c", "grpc", "kubernetes.io/ws", "https")


class Endpoints:
    """All Services of a cluster with their endpoints, looked up by namespace, name and port."""

    def __init__(self, services: Iterable[Raw], slices: Iterable[Raw]) -> None:
        self._services = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in services}
        self._slices = defaultdict[tuple[str, str], list[Raw]](list)
        for each in slices:
            name = (each["metadata"].get("labels") or {}).get(SERVICE_NAME, "")
            self._slices[each["metadata"]["namespace"], name].append(each)

    def trouble(self, namespace: str, name: str, port: int) -> Trouble | None:
        """Why nothing can be led to this port, if that is so."""
        service = self._services.get((namespace, name))
        if service is None:
            return Trouble(why=Why.BackendNotFound, message=f'there is no Service "{name}" in "{namespace}"')
        offered = _port(service, port)
        if offered is None:
            return Trouble(why=Why.BackendNotFound, message=f'the Service "{name}" has no port {port}')
        if offered.get("appProtocol") in _OTHER_PROTOCOLS:
            message = f'the Service "{name}" speaks "{offered["appProtocol"]}" at port {port}: only HTTP/1.1 is spoken'
            return Trouble(why=Why.UnsupportedProtocol, message=message)
        return None

    def servers(self, namespace: str, name: str, port: int) -> tuple[Server, ...]:
        """Those that are ready; where none is, those that still answer while they end. In order of their addresses."""
        service = self._services.get((namespace, name))
        offered = _port(service, port) if service is not None else None
        if offered is None:
            return ()
        slices = self._slices[namespace, name]
        of_four = [each for each in slices if each["addressType"] == "IPv4"]
        found = [each for each in of_four or slices if each["addressType"] != "FQDN"]
        ready = set(_addresses(found, offered.get("name", ""), "ready"))
        addresses = ready or set(_addresses(found, offered.get("name", ""), "serving"))
        return tuple(Server(address=address) for address in sorted(addresses))


def _port(service: Raw, port: int) -> Raw | None:
    return next((each for each in service["spec"].get("ports") or () if each["port"] == port), None)


def _addresses(slices: Iterable[Raw], port: str, condition: str) -> Iterator[str]:
    """Of the endpoints for which the condition holds: one that is not told holds."""
    for each in slices:
        number = next((at["port"] for at in each.get("ports") or () if at.get("name", "") == port), None)
        for endpoint in each.get("endpoints") or () if number is not None else ():
            if (endpoint.get("conditions") or {}).get(condition, True) is not False:
                address = endpoint["addresses"][0]
                yield f"[{address}]:{number}" if each["addressType"] == "IPv6" else f"{address}:{number}"
