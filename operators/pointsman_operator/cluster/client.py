"""Requests to the API server over one pool of connections. Kubernetes' own client library reads kubeconfigs.

Objects are plain JSON values. Every request that fails raises one of the errors here, named by what a caller can do.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson

from pointsman_operator.names import MANAGER
from pointsman_operator.seen import POD, Kind, Raw

SECONDS = 30.0
"""For an answer"""
WATCH_SECONDS = 290
"""After so long a watch is ended by the server and begun anew"""
SILENT_SECONDS = 120.0
"""A watch is sent a bookmark every minute; one that is silent for longer is dead and nobody has said so"""
CONNECTIONS = 64
UNDECLARED = "failed to create typed patch object"
"""How server-side apply says that a field is not in the schema: with the status 500, as if it were the server's fault"""
TOKEN_SECONDS = 20.0
"""For which a token is used before it is asked for again"""
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds what it is"""
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ClusterError(Exception):
    """A request failed. The message says what, where and why in one line."""


class Unreachable(ClusterError):
    """Nobody answered, or the server was busy or failed. Try again later."""


class Conflict(ClusterError):
    """Somebody else owns a field that was to be written, or has changed the object meanwhile."""


class NotFound(ClusterError):
    """There is no such object, or no such kind."""


class Gone(ClusterError):
    """A watch asked for what the server has forgotten. List again."""


class Refused(ClusterError):
    """The server understood and refuses: invalid, forbidden, or an admission webhook said no."""


class Cluster:
    """One API server."""

    def __init__(
        self, *, url: str, context: ssl.SSLContext | bool, credentials: Any = None, namespace: str = "default"
    ) -> None:
        self._url, self.trust, self._credentials = url.rstrip("/"), context, credentials
        self._authorised, self._until = dict[str, str](), 0.0
        self._http: aiohttp.ClientSession
        self.namespace = namespace
        """The one that is meant where none is named"""

    @classmethod
    def configured(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """The one of the kubeconfig or its context, of the pod that this runs in, or of KUBECONFIG. Raises ClusterError."""
        if kubeconfig is None and context is None and _is_in_a_pod():
            return cls(
                url=_of_pod(), context=ssl.create_default_context(cafile=ACCOUNT / "ca.crt"), credentials=Account()
            )
        from kubernetes import client, config  # takes a second to import, and only this needs it

        configuration, namespace = client.Configuration(), "default"
        try:
            config.load_kube_config(config_file=kubeconfig, context=context, client_configuration=configuration)
            contexts, current = config.list_kube_config_contexts(config_file=kubeconfig)
            named = next((each for each in contexts if each["name"] == context), current)
            namespace = named["context"].get("namespace") or namespace
        except (config.ConfigException, OSError) as error:
            told = str(error).rstrip(".")
            raise ClusterError(f"no cluster is configured: {told}: set KUBECONFIG or --kubeconfig") from error
        trust = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            trust.load_cert_chain(configuration.cert_file, configuration.key_file)
        if not configuration.verify_ssl:
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        return cls(url=configuration.host, context=trust, credentials=configuration, namespace=namespace)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.trust, limit=CONNECTIONS)
        self._http = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def address_of(self, service: str, namespace: str) -> str:
        """Where the API server itself leads to a Service's port 80, for who may reach `services/proxy`."""
        return f"{self._url}/api/v1/namespaces/{namespace}/services/{service}:80/proxy"

    async def get(self, path: str) -> Raw:
        """What stands at an address. Raises NotFound."""
        return await self._ask("GET", path)

    async def read(self, kind: Kind, namespace: str, name: str) -> Raw:
        """One object. Raises NotFound."""
        return await self._ask("GET", _address(kind, namespace, name))

    async def log_tail(self, namespace: str, pod: str, container: str, *, previous: bool) -> str:
        """The last lines of a container's log; of the one before it, where it has been started again."""
        asked = {"container": container, "tailLines": "20", "limitBytes": "65536", "previous": str(previous).lower()}
        path = f"{_address(POD, namespace, pod)}/log"
        return (await self._answer("GET", path, params=asked)).decode(errors="replace")

    async def metadata(self, kind: Kind) -> Sequence[Raw]:
        """The metadata of all objects of a kind, and nothing else of them."""
        found: dict[str, Any] = orjson.loads(await self._answer("GET", _address(kind), accept=_METADATA))
        return found["items"] or ()  # null where there are none

    async def list(
        self, kind: Kind, selectors: Mapping[str, str], namespace: str | None = None
    ) -> tuple[list[dict[str, Any]], str]:
        """All objects of a kind in the cluster or in one namespace, and the version from which a watch goes on."""
        found = await self._ask("GET", _address(kind, namespace), params=selectors)
        named = {"apiVersion": kind.api_version, "kind": kind.name}
        return [{**named, **each} for each in found["items"]], str(found["metadata"]["resourceVersion"])

    async def watch(self, kind: Kind, version: str, selectors: Mapping[str, str]) -> AsyncIterator[tuple[str, Raw]]:
        """What changes after a version: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        Ends by itself after some minutes. Raises Gone where the version is forgotten, Unreachable where nothing is heard.
        """
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
            **selectors,
        }
        timeout = aiohttp.ClientTimeout(sock_connect=SECONDS, sock_read=SILENT_SECONDS)
        url = self._url + _address(kind)
        try:
            async with self._http.get(url, params=asked, headers=self.credentials(), timeout=timeout) as answer:
                if answer.status != 200:
                    raise _error(answer.status, await answer.read(), f"watch {kind.plural}")
                try:
                    async for line in _lines(answer.content):
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            code = int(event["object"].get("code", 500))
                            raise _error(code, orjson.dumps(event["object"]), kind.plural)
                        yield event["type"], event["object"]
                finally:
                    if answer.connection is not None and answer.connection.transport is not None:
                        answer.connection.transport.abort()  # no answer to a goodbye is waited for
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"watch {kind.plural}: {type(error).__name__}") from error

    async def apply(self, kind: Kind, document: Raw, *, force: bool) -> Raw:
        """Server-side apply: the fields of the document are ours. Without `force` raises Conflict over others' fields.

        Raises Refused over a field that the cluster does not know.
        """
        metadata = document["metadata"]
        return await self._ask(
            "PATCH",
            _address(kind, metadata.get("namespace"), metadata["name"]),
            params={"fieldManager": MANAGER, "force": "true" if force else "false"},
            content=orjson.dumps(document),
            type_="application/apply-patch+yaml",
        )

    async def merge(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any], *, part: str = "") -> Raw:
        """A merge patch of an object or of one `part` of it, such as /status or /scale."""
        return await self._ask(
            "PATCH",
            _address(kind, namespace, name) + part,
            params={"fieldManager": MANAGER},
            content=orjson.dumps(change),
            type_="application/merge-patch+json",
        )

    async def create(self, kind: Kind, document: Raw) -> Raw:
        """A new object. Raises Conflict where there is one of that name."""
        address = _address(kind, document["metadata"].get("namespace"))
        return await self._ask(
            "POST", address, params={"fieldManager": MANAGER}, content=orjson.dumps(document), type_="application/json"
        )

    async def replace(self, kind: Kind, document: Raw) -> Raw:
        """The whole object in place of the one of the version that it names. Raises Conflict where that has changed."""
        metadata = document["metadata"]
        address = _address(kind, metadata.get("namespace"), metadata["name"])
        return await self._ask(
            "PUT", address, params={"fieldManager": MANAGER}, content=orjson.dumps(document), type_="application/json"
        )

    async def delete(self, kind: Kind, raw: Raw) -> None:
        """Delete this very object: not one that has taken its name since. One that is gone already is deleted."""
        metadata = raw["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._ask(
                "DELETE",
                _address(kind, metadata.get("namespace"), metadata["name"]),
                content=orjson.dumps(options),
                type_="application/json",
            )
        except (NotFound, Conflict):
            return

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        type_: str | None = None,
    ) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(
            await self._answer(method, path, params=params, content=content, type_=type_)
        )
        return found

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        type_: str | None = None,
        accept: str = "application/json",
    ) -> bytes:
        headers = {**self.credentials(), "Accept": accept, **({"Content-Type": type_} if type_ is not None else {})}
        try:
            async with self._http.request(
                method, self._url + path, params=params, data=content, headers=headers
            ) as answer:
                body = await answer.read()
        except TimeoutError as error:
            raise Unreachable(f"{method} {path}: no answer from {self._url} in {SECONDS:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{method} {path}: nobody answers at {self._url}: {error.strerror}") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"{method} {path}: {self._url}: {type(error).__name__}") from error
        if answer.status >= 300:
            raise _error(answer.status, body, f"{method} {path}")
        return body

    def credentials(self) -> Mapping[str, str]:
        """The headers that say who this is. The token is asked for now and then: in a pod it is renewed every hour."""
        if self._credentials is not None and time.monotonic() > self._until:
            found = [each for each in self._credentials.auth_settings().values() if each["in"] == "header"]
            self._authorised = {each["key"]: each["value"] for each in found if each["value"]}
            self._until = time.monotonic() + TOKEN_SECONDS
        return self._authorised


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length."""
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


class Account:
    """The credentials of the pod that this runs in, whose token is renewed while it runs."""

    def auth_settings(self) -> Mapping[str, Mapping[str, str]]:
        """As Kubernetes' own library has them."""
        token = (ACCOUNT / "token").read_text().strip()
        return {"BearerToken": {"in": "header", "key": "authorization", "value": f"Bearer {token}"}}


def _is_in_a_pod() -> bool:
    return ACCOUNT.exists() and "KUBERNETES_SERVICE_HOST" in os.environ


def _of_pod() -> str:
    """The API server's address, as every pod is told of it."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    return f"https://{f'[{host}]' if ':' in host else host}:{os.environ['KUBERNETES_SERVICE_PORT']}"


def _address(kind: Kind, namespace: str | None = None, name: str | None = None) -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{kind.path}{place}/{kind.plural}" + (f"/{name}" if name else "")


def _error(code: int, body: bytes, what: str) -> ClusterError:
    try:
        message = str(orjson.loads(body).get("message", ""))
    except orjson.JSONDecodeError:
        message = body[:200].decode(errors="replace")
    told = f"{what}: {message or f'status {code}'}"
    if code == 410:
        return Gone(told)
    if code == 404:
        return NotFound(told)
    if code == 409:
        return Conflict(told)
    if UNDECLARED in message:
        return Refused(message)
    if code == 429 or code >= 500:
        return Unreachable(told)
    return Refused(message or told)
