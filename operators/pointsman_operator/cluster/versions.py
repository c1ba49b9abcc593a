"""Which versions of Kubernetes, KServe, KubeRay and MLflow are there: looked at now and then; what is not supported is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx2
import structlog
from prometheus_client import Gauge

from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.seen import DEPLOYMENT
from pointsman_operator.supported import KSERVE, KUBERAY, KUBERNETES, MLFLOW, judge

log = structlog.get_logger()

SECONDS = 60.0
"""Between two looks"""
CONTROLLERS = {
    KSERVE: ("control-plane=kserve-controller-manager", "manager"),
    KUBERAY: ("app.kubernetes.io/name=kuberay-operator", "kuberay-operator"),
}
"""The label of what controls a part, and the container in whose image's tag its version stands"""

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
            controllers = {part: await self._controller(*named) for part, named in CONTROLLERS.items()}
        except ClusterError as error:
            log.warning("versions", error=str(error))
            return {}
        return {KUBERNETES: str(server["gitVersion"]), **controllers}

    async def _controller(self, label: str, container: str) -> str | None:
        """The version of what runs with this label; None where it does not tell, or is not there."""
        found, _ = await self._cluster.list(DEPLOYMENT, {"labelSelector": label})
        images = (
            str(each.get("image", ""))
            for raw in found
            for each in raw["spec"]["template"]["spec"]["containers"]
            if each.get("name") == container
        )
        return next((tag for image in images if (tag := _tag(image))), None)

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
