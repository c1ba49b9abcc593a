"""Where a target is: its base URL, resolved to one address when the target is registered, and kept.

Nothing that a request or an answer holds can lead elsewhere afterwards: no redirect, no second look-up of the name.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

UNKNOWN = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
"""What a look-up ends with where the name is not there"""


class AddressRefused(Exception):
    """The base URL cannot be a target's; asking again changes nothing."""


class NameNotResolved(Exception):
    """The host's name has no address now; it may have one later. `name_is_unknown` where a name server says that there is no such
    name, and not that it cannot tell.
    """

    def __init__(self, message: str, *, name_is_unknown: bool) -> None:
        super().__init__(message)
        self.name_is_unknown = name_is_unknown


@dataclass(frozen=True, kw_only=True)
class Address:
    """One address. `host` is the name that a server and its certificate are asked for; `prefix` precedes every path."""

    scheme: Literal["http", "https"]
    ip: str
    port: int
    host: str
    prefix: bytes

    @property
    def host_header(self) -> str:
        usual = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"


def resolve(url: str) -> Address:
    """Look the name up once and check what comes out; blocks while it does. Raises AddressRefused, NameNotResolved."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused(f'target: is no URL: "{url}"') from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
        raise AddressRefused(f'target: needs scheme, host and at most a port and a path: "{url}"')
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    port = port or {"http": 80, "https": 443}[scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        name_is_unknown = error.errno in UNKNOWN
        raise NameNotResolved(f'target: cannot be resolved: "{host}"', name_is_unknown=name_is_unknown) from error
    ip = str(found[0][4][0])
    _check(ip, host)
    return Address(scheme=scheme, ip=ip, port=port, host=host, prefix=parts.path.rstrip("/").encode("ascii"))


def _check(ip: str, host: str) -> None:
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise AddressRefused(f'target: is at an address that no target may have: "{host}" is {ip}')
    if address.is_loopback and host != "localhost" and not _is_literal(host):
        raise AddressRefused(f'target: a name that leads back to this machine: "{host}" is {ip}')


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
