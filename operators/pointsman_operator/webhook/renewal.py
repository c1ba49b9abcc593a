"""Keeps the webhook's certificates: held in one Secret that all replicas share, trusted by the API server, shown by this process.

Every replica does the same, the leader and the others; of two that renew at once the Secret's version lets one through, and the
other reads again. Nothing is written while nothing is due.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Gauge

from pointsman_operator.cluster.client import Cluster, ClusterError, Conflict, NotFound
from pointsman_operator.resources.admission import NAME, WEBHOOK
from pointsman_operator.seen import SECRET, Kind, Raw
from pointsman_operator.webhook.certificates import Certificates, read, renewed, written

log = structlog.get_logger()

CONFIGURATION = Kind(
    name="ValidatingWebhookConfiguration",
    api_version="admissionregistration.k8s.io/v1",
    plural="validatingwebhookconfigurations",
    namespaced=False,
)
SECRET_NAME = "pointsman-operator-webhook"
LONGEST_SECONDS = 60.0
"""Between two looks; where certificates live for less than 20 minutes it is a twentieth of that"""
ATTEMPTS = 5
"""Of a write that meets another replica's"""

ENDS = Gauge(
    "pointsman_operator_webhook_certificate_ends", "When the webhook's certificate ends, in seconds since 1970"
)


class Renewal:
    """One replica's part. Its server shows `shown` through `context`; `is_serving` is set once there is something to show."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        host: str,
        lifetime: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.is_serving = asyncio.Event()
        self._cluster, self._namespace, self._host, self._lifetime, self._now = cluster, namespace, host, lifetime, now
        self.shown: Certificates | None = None

    async def run(self) -> None:
        """Look now and then, until cancelled. An API server that is away is waited for."""
        seconds = max(1.0, min(LONGEST_SECONDS, self._lifetime.total_seconds() / 20))
        while True:
            try:
                await self.look()
            except ClusterError as error:
                log.warning("the webhook's certificates cannot be kept", error=str(error))
            except Exception:  # the replica reconciles without them
                log.exception("the webhook's certificates cannot be kept")
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Renew what is due, show what is new, then tell the API server whom to trust. Raises ClusterError."""
        configuration = await self._configuration()
        trusted = _bundle(configuration)
        held = await self._held(trusted)
        if self.shown is None or held.serving != self.shown.serving:
            self._show(held)
        self.shown = held
        self.is_serving.set()
        if configuration is not None and trusted != held.bundle:
            await self._cluster.apply(CONFIGURATION, _trusting(held), force=True)
            log.info("the API server trusts", authorities=len(held.authorities))

    async def _held(self, trusted: bytes) -> Certificates:
        """What the Secret holds, renewed where that is due."""
        for _ in range(ATTEMPTS):
            secret = await self._secret()
            held = read(secret.get("data") or {})
            wanted = renewed(held, host=self._host, lifetime=self._lifetime, trusted=trusted, now=self._now())
            if wanted is held:
                return wanted
            try:
                await self._cluster.replace(SECRET, {**secret, "data": written(wanted)})
            except Conflict:
                continue  # another replica has renewed it
            log.info("the webhook's certificates are renewed", authorities=len(wanted.authorities))
            return wanted
        raise Conflict(f'the Secret "{SECRET_NAME}" changes again and again')

    async def _secret(self) -> Raw:
        """The Secret; an empty one where there is none. It is made by apply: that alone can be allowed by name."""
        try:
            return await self._cluster.get(f"{SECRET.path}/namespaces/{self._namespace}/{SECRET.plural}/{SECRET_NAME}")
        except NotFound:
            metadata = {"name": SECRET_NAME, "namespace": self._namespace}
            document = {"apiVersion": SECRET.api_version, "kind": SECRET.name, "metadata": metadata}
            return await self._cluster.apply(SECRET, document, force=True)

    async def _configuration(self) -> Raw | None:
        """The webhook's configuration; None where it was taken away, which switches the webhook off."""
        try:
            found = await self._cluster.get(f"{CONFIGURATION.path}/{CONFIGURATION.plural}/{NAME}")
        except NotFound:
            return None
        return found if any(each["name"] == WEBHOOK for each in found.get("webhooks", ())) else None

    def _show(self, held: Certificates) -> None:
        """Connections that are opened from here on see it; those that are open go on. OpenSSL reads files alone."""
        with tempfile.TemporaryDirectory(prefix="pointsman-webhook-") as folder:
            path = Path(folder) / "serving.pem"
            path.touch(mode=0o600)
            path.write_bytes(held.serving.certificate + held.serving.key)
            self.context.load_cert_chain(path)
        ENDS.set(held.ends.timestamp())


def _bundle(configuration: Raw | None) -> bytes:
    webhooks = configuration.get("webhooks", ()) if configuration is not None else ()
    return b"".join(b64decode(each["clientConfig"].get("caBundle", "")) for each in webhooks if each["name"] == WEBHOOK)


def _trusting(held: Certificates) -> dict[str, Any]:
    """The one field of the configuration that is ours."""
    bundle = {"caBundle": b64encode(held.bundle).decode()}
    return {
        "apiVersion": CONFIGURATION.api_version,
        "kind": CONFIGURATION.name,
        "metadata": {"name": NAME},
        "webhooks": [{"name": WEBHOOK, "clientConfig": bundle}],
    }
