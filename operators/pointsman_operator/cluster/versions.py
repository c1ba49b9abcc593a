"""Which versions of Kubernetes, KServe and MLflow are there: looked at now and then, and said where they are not supported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx2
import structlog
from prometheus_client import Gauge

from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.seen import DEPLOYMENT
from pointsman_operator.supported import KSERVE, KUBERNETES, MLFLOW, judge

log = structlog.get_logger()

SECONDS = 60.0
"""Between two looks"""
CONTROLLER = {"labelSelector": "control-plane=kserve-controller-manager"}

SUPPORTED = Gauge("pointsman_operator_supported", "Whether this release supports what is there", ["part", "version"])


class Versions:
    """What was found, by part; a part that does not tell is left out. `changed` is called when it is something else."""

    def __init__(self, cluster: Cluster, *, registry_url: str, changed: Callable[[], None]) -> None:
        self.found: Mapping[str, str] = {}
        self.known = asyncio.Event()
        """Set once the cluster was asked"""
        self._cluster, self._registry_url, self._changed = cluster, registry_url, changed

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            self._take(await self._of_cluster())
            self.known.set()
            self._take(await self._of_registry())
            await asyncio.sleep(SECONDS)

    def _take(self, looked: Mapping[str, str | None]) -> None:
        kept = {part: version for part, version in self.found.items() if part not in looked}
        found = kept | {part: version for part, version in looked.items() if version is not None}
        if found == self.found:
            return
        news = found.items() - self.found.items()
        self.found = found
        SUPPORTED.clear()
        for part, version in found.items():
            unsupported = judge(part, version)
            SUPPORTED.labels(part, version).set(unsupported is None)
            if (part, version) not in news:
                continue
            if unsupported is None:
                log.info("supported", part=part, version=version)
            else:
                log.warning("unsupported", part=part, version=version, message=unsupported.message)
        self._changed()

    async def _of_cluster(self) -> Mapping[str, str | None]:
        """Nothing where the API server is away: what was found stays."""
        try:
            server = await self._cluster.get("/version")
            controllers, _ = await self._cluster.list(DEPLOYMENT, CONTROLLER)
        except ClusterError as error:
            log.warning("versions", error=str(error))
            return {}
        images = (
            str(container.get("image", ""))
            for raw in controllers
            for container in raw["spec"]["template"]["spec"]["containers"]
            if container.get("name") == "manager"
        )
        return {
            KUBERNETES: str(server["gitVersion"]),
            KSERVE: next((tag for each in images if (tag := _tag(each))), None),
        }

    async def _of_registry(self) -> Mapping[str, str | None]:
        try:
            async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as client:
                answer = await client.get(f"{self._registry_url.rstrip('/')}/version")
        except httpx2.HTTPError:
            return {}  # whoever refers to a model there says that it is away
        return {MLFLOW: answer.text.strip()[:32] if answer.status_code == 200 else None}


def _tag(image: str) -> str:
    """`v0.20.0` of registry.example.com:5000/kserve/kserve-controller:v0.20.0@sha256:…; nothing where it has no version."""
    _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return tag if tag.lstrip("v")[:1].isdigit() else ""
