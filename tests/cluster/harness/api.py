"""Requests to a test cluster's API server, many at a time: what kubectl would do, without a process for each."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
import orjson
from kubernetes import client, config

from pointsman_operator.seen import Kind

Object = Mapping[str, Any]

MERGE, APPLY, JSON = "application/merge-patch+json", "application/apply-patch+yaml", "application/json"
_CONNECTIONS = 64


class Answered(Exception):
    """The API server did not do it: its status code, and what it said."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """The API server of a kubeconfig, as one user of it."""

    def __init__(self, kubeconfig: Path) -> None:
        """With whatever the kubeconfig says who that is."""
        known = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=known)
        context = ssl.create_default_context(cafile=known.ssl_ca_cert)
        if known.cert_file:
            context.load_cert_chain(known.cert_file, known.key_file)
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._http = httpx2.AsyncClient(base_url=known.host, verify=context, limits=limits, timeout=60, trust_env=False)
        for each in known.auth_settings().values():
            self._http.headers[each["key"]] = each["value"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def create(self, kind: Kind, document: Object) -> dict[str, Any]:
        """A new object."""
        place = address(kind, document["metadata"].get("namespace"))
        return await self.ask("POST", place, document)

    async def apply(self, kind: Kind, document: Object, manager: str = "kubectl") -> dict[str, Any]:
        """Server-side apply, which takes every field from whoever has it."""
        metadata = document["metadata"]
        place = address(kind, metadata.get("namespace"), metadata["name"])
        return await self.ask("PATCH", f"{place}?fieldManager={manager}&force=true", document, APPLY)

    async def merge(
        self, kind: Kind, namespace: str, name: str, change: Object, part: str = "", manager: str = "kubectl-edit"
    ) -> dict[str, Any]:
        """A merge patch of an object, or of one part of it such as "/status"."""
        place = f"{address(kind, namespace, name)}{part}?fieldManager={manager}"
        return await self.ask("PATCH", place, change, MERGE)

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """One object."""
        return await self.ask("GET", address(kind, namespace, name))

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object, and in the background what it owns."""
        await self.ask("DELETE", address(kind, namespace, name), {"propagationPolicy": "Background"})

    async def list(self, kind: Kind, namespace: str | None = None) -> list[dict[str, Any]]:
        """The objects of a kind, in a namespace or in all."""
        found = await self.ask("GET", address(kind, namespace))
        return [{"apiVersion": kind.api_version, "kind": kind.name, **each} for each in found["items"]]

    async def count(self, kind: Kind, namespace: str) -> int:
        """How many there are, without reading them."""
        found = await self.ask("GET", f"{address(kind, namespace)}?limit=1")
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))

    async def ask(self, method: str, path: str, body: Object | None = None, type_: str = JSON) -> dict[str, Any]:
        """Any request. Raises Answered."""
        content = None if body is None else orjson.dumps(body)
        answer = await self._http.request(method, path, content=content, headers={"Content-Type": type_})
        found: dict[str, Any] = orjson.loads(answer.content)
        if answer.status_code >= 300:
            raise Answered(answer.status_code, str(found.get("message")))
        return found


def address(kind: Kind, namespace: str | None = None, name: str | None = None) -> str:
    """Where the API has the objects of a kind, or one of them."""
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{kind.path}{place}/{kind.plural}" + (f"/{name}" if name else "")
