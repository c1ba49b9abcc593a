"""Follows a cluster's Gateways, HTTPRoutes and what is behind them, has HAProxy serve that, and says so in their statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from pointsman.routing.gateway_api import Decided, Objects, decide
from pointsman.routing.haproxy import admit, dismiss, render
from pointsman.routing.routes import Routing, structure
from pointsman.routing.statuses import class_status, gateway_status, route_status
from pointsman_operator.cluster.client import Cluster, ClusterError, Conflict, NotFound
from pointsman_operator.cluster.follow import Follower
from pointsman_operator.gateway.haproxy import HAProxy, NotTaken
from pointsman_operator.seen import HTTP_ROUTE, SERVICE, Kind, Raw

log = structlog.get_logger()

GATEWAY_CLASS = Kind(
    name="GatewayClass", api_version="gateway.networking.k8s.io/v1", plural="gatewayclasses", namespaced=False
)
GATEWAY = Kind(name="Gateway", api_version="gateway.networking.k8s.io/v1", plural="gateways")
ENDPOINT_SLICE = Kind(name="EndpointSlice", api_version="discovery.k8s.io/v1", plural="endpointslices")
FOLLOWED = (GATEWAY_CLASS, GATEWAY, HTTP_ROUTE, SERVICE, ENDPOINT_SLICE)

RETRY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`bind` and `metrics` are HAProxy's addresses; `service` (namespace/name) leads to `bind` from `port`."""

    bind: str
    metrics: str
    service: tuple[str, str]
    port: int
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Told:
    """What statuses are to say: what was decided, and why HAProxy does not serve it."""

    decided: Decided
    trouble: str


class Gateway:
    """The gateway of one cluster."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self._wake, self._news = asyncio.Event(), asyncio.Event()
        self._told: Told | None = None
        self._haproxy = HAProxy(settings.folder, ended=self._ended)
        self._served: Routing | None = None
        """What HAProxy serves; None where that is not known"""
        self._followers = {
            kind.name: Follower(cluster, kind, heard=lambda *_: self._wake.set(), appeared=lambda _: self._wake.set())
            for kind in FOLLOWED
        }

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers.values():
                tasks.create_task(follower.run(), name=f"follow {follower.kind.name}")
            for follower in self._followers.values():
                await follower.known.wait()
            tasks.create_task(self._serving(), name="serve")
            tasks.create_task(self._telling(), name="tell")

    async def stop(self, seconds: float) -> None:
        """End HAProxy with its last request, or after so many seconds."""
        await self._haproxy.stop(seconds)

    async def _serving(self) -> None:
        """Have HAProxy serve what the cluster asks for, as soon as that is something else."""
        while True:
            self._wake.clear()
            trouble = "it could not be brought up to date: the log says why"
            try:
                decided = decide(
                    Objects(**{field: self._all(kind) for field, kind in _FIELDS.items()}), port=self._settings.port
                )
                trouble = await self._serve(decided.routing)
                self._told = Told(decided=decided, trouble=trouble)
                self._news.set()
            except Exception:  # what is served goes on being served
                log.exception("the routes could not be brought up to date")
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if trouble else None):
                    await self._wake.wait()

    async def _telling(self) -> None:
        """Say so in the statuses: beside, since there may be many, and endpoints do not wait."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._told is not None and not await self._say(self._told):
                await asyncio.sleep(RETRY_SECONDS)
                self._news.set()

    async def _serve(self, wanted: Routing) -> str:
        """Why HAProxy does not serve this; empty where it does."""
        before, self._served = self._served, None
        text = render(wanted, bind=self._settings.bind, metrics=self._settings.metrics)
        try:
            if before is None or structure(before) != structure(wanted):
                await self._haproxy.load(text)
            elif before != wanted:
                try:
                    await self._haproxy.tell(text, _commands(before, wanted))
                except NotTaken as error:
                    log.warning("HAProxy is loaded anew", error=str(error))
                    await self._haproxy.load(text)
        except NotTaken as error:
            log.error("HAProxy does not serve the routes", error=str(error))
            return str(error)
        self._served = wanted if self._haproxy.runs else None
        return ""

    async def _say(self, told: Told) -> bool:
        """Whether every status says it."""
        decided, now, address, done = told.decided, datetime.now(UTC), self._address(), True
        for raw in decided.classes:
            done &= await self._status(GATEWAY_CLASS, raw, class_status(raw, now=now))
        for raw, listeners in decided.gateways:
            status = gateway_status(decided, raw, listeners, address=address, trouble=told.trouble, now=now)
            done &= await self._status(GATEWAY, raw, status)
        for route in decided.routes:
            done &= await self._status(HTTP_ROUTE, route.raw, route_status(route, now=now))
        return done

    async def _status(self, kind: Kind, raw: Raw, status: Mapping[str, Any]) -> bool:
        """Write it where it differs, and nobody has written it meanwhile."""
        before = raw.get("status") or {}
        if all(before.get(field) == value for field, value in status.items()):
            return True
        metadata = raw["metadata"]
        change = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status}
        try:
            written = await self._cluster.merge(
                kind, metadata.get("namespace", ""), metadata["name"], change, part="/status"
            )
        except (NotFound, Conflict):
            return True  # a watch tells what it is now
        except ClusterError as error:
            log.warning("status", object=metadata["name"], error=str(error))
            return False
        self._followers[kind.name].memory.put(written)
        return True

    def _address(self) -> Raw | None:
        """Where Gateways are reached: what a load balancer gave the Service, else its address in the cluster."""
        service = self._followers[SERVICE.name].memory.get(self._settings.service)
        if service is None:
            return None
        balanced = (service.get("status") or {}).get("loadBalancer") or {}
        first: Raw = next(iter(balanced.get("ingress") or ()), {})
        if "hostname" in first:
            return {"type": "Hostname", "value": first["hostname"]}
        ip = first.get("ip") or service["spec"].get("clusterIP")
        return {"type": "IPAddress", "value": ip} if ip and ip != "None" else None

    def _all(self, kind: Kind) -> Sequence[Raw]:
        return list(self._followers[kind.name].memory)

    def _ended(self) -> None:
        self._served = None
        self._wake.set()


_FIELDS = {
    "classes": GATEWAY_CLASS,
    "gateways": GATEWAY,
    "routes": HTTP_ROUTE,
    "services": SERVICE,
    "slices": ENDPOINT_SLICE,
}


def _commands(before: Routing, wanted: Routing) -> list[str]:
    """New servers first, so that there is always one to ask."""
    told = list[str]()
    for old, new in zip(before.backends, wanted.backends, strict=True):
        told += [command for server in new.servers if server not in old.servers for command in admit(new, server)]
        told += [command for server in old.servers if server not in new.servers for command in dismiss(old, server)]
    return told
