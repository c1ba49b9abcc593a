"""Everything that the operator remembers of the cluster, and what of it matters for one ModelDeployment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from pointsman_operator import names
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound
from pointsman_operator.cluster.follow import Follower
from pointsman_operator.cluster.memory import Key, key_of, owner_of
from pointsman_operator.cluster.versions import Versions
from pointsman_operator.cluster.warnings import Warnings
from pointsman_operator.seen import (
    CLUSTER_SERVING_RUNTIME,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MADE,
    MODEL_DEPLOYMENT,
    POD,
    POD_MONITOR,
    SERVING_RUNTIME,
    Installed,
    Kind,
    Raw,
    Seen,
)
from pointsman_operator.supported import KSERVE

LABELLED = (*MADE, DEPLOYMENT, POD)
"""Found by our label: KServe hands an InferenceService's labels on to the Deployment and the pods"""
OF_ALL = (SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME)
"""A change of these may matter for every ModelDeployment"""


class Caches:
    """What is known of the cluster. `changed` is told of each ModelDeployment for which something may be different."""

    def __init__(self, cluster: Cluster, changed: Callable[[Key], None], *, registry_url: str) -> None:
        self._cluster, self._changed = cluster, changed
        self._versions = Versions(cluster, registry_url=registry_url, changed=self._all_changed)
        self.warnings = Warnings(cluster)
        """About pods, whosoever they are"""
        self.warnings.subscribe(self._warned)
        self._of_models = list[Callable[[str], None]]()
        self._kserve: tuple[str, ...] = ()
        self._looked_for_kserve = asyncio.Event()
        self._followers: Mapping[str, Follower] = {
            kind.name: Follower(
                cluster,
                kind,
                heard=self._heard,
                appeared=self._appeared,
                selectors=_selectors(kind),
            )
            for kind in (MODEL_DEPLOYMENT, *OF_ALL, *LABELLED)
        } | {EVENT.name: self.warnings.follower}

    async def run(self) -> None:
        """Follow everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers.values():
                tasks.create_task(follower.run(), name=f"follow {follower.kind.name}")
            tasks.create_task(self._look_for_kserve(), name="look for KServe")
            tasks.create_task(self._versions.run(), name="versions")

    @property
    def is_known(self) -> bool:
        """Whether everything that was in the cluster at the start is remembered."""
        return all(each.is_set() for each in self._parts())

    async def known(self) -> None:
        """Wait until everything that is in the cluster now is remembered."""
        for each in self._parts():
            await each.wait()

    def _parts(self) -> Iterator[asyncio.Event]:
        yield from (follower.known for follower in self._followers.values())
        yield from (self._looked_for_kserve, self._versions.known)

    def silent_seconds(self) -> dict[str, float]:
        """For how long the API server has said nothing, by kind. It says something every minute."""
        now = time.monotonic()
        return {name: now - follower.heard_at for name, follower in self._followers.items()}

    def statuses(self) -> Iterator[Raw]:
        """What all ModelDeployments say of themselves."""
        return (raw.get("status") or {} for raw in self._followers[MODEL_DEPLOYMENT.name].memory)

    def deployments(self) -> list[Key]:
        """All ModelDeployments."""
        return [key_of(raw) for raw in self._followers[MODEL_DEPLOYMENT.name].memory]

    def deployment(self, key: Key) -> Raw | None:
        """One ModelDeployment."""
        return self._followers[MODEL_DEPLOYMENT.name].memory.get(key)

    def wrote(self, kind: Kind, raw: Raw) -> None:
        """Remember the answer to a write of our own, so that nothing is written twice before a watch tells of it."""
        self._followers[kind.name].memory.put(raw)
        if kind is MODEL_DEPLOYMENT:
            self._tell_of_model(raw)

    def subscribe(self, heard: Callable[[str], None]) -> None:
        """Tell of every namespace in which a ModelDeployment is another, or says another thing of itself, from now on."""
        self._of_models.append(heard)

    def deployments_in(self, namespace: str) -> list[Raw]:
        """The ModelDeployments of a namespace."""
        return self._followers[MODEL_DEPLOYMENT.name].memory.of((namespace, ""))

    def release(self, part: str) -> str | None:
        """Which version of a part is there, where it tells."""
        return self._versions.found.get(part)

    def seen(self, key: Key) -> Seen | None:
        """All that is remembered for a ModelDeployment; None where it is not there."""
        raw = self.deployment(key)
        if raw is None:
            return None
        objects = {kind.name: self._followers[kind.name].memory.of(key) for kind in LABELLED}
        return Seen(
            deployment=raw,
            objects=objects,
            events=self.warnings.of(objects[POD.name]),
            runtimes=self._runtimes(key[0]),
            installed=Installed(
                kserve=self._kserve,
                kserve_release=self._versions.found.get(KSERVE),
                gateway=self._followers[HTTP_ROUTE.name].is_there,
                monitors=self._followers[POD_MONITOR.name].is_there,
            ),
            now=datetime.now(UTC),
        )

    def _runtimes(self, namespace: str) -> frozenset[str]:
        of_namespace = (key_of(raw) for raw in self._followers[SERVING_RUNTIME.name].memory)
        of_cluster = (key_of(raw) for raw in self._followers[CLUSTER_SERVING_RUNTIME.name].memory)
        return frozenset(
            [name for place, name in of_namespace if place == namespace] + [f"/{name}" for _, name in of_cluster]
        )

    def _heard(self, kind: Kind, raw: Raw, is_living: bool) -> None:
        if kind is MODEL_DEPLOYMENT:
            self._changed(key_of(raw))
            self._tell_of_model(raw)
        elif kind in OF_ALL:
            self._all_changed()
        else:
            if kind is POD and not is_living:
                self.warnings.forget(raw)
            self._changed(owner_of(raw))

    def _warned(self, pod: Key) -> None:
        raw = self._followers[POD.name].memory.get(pod)
        if raw is not None:
            self._changed(owner_of(raw))

    def _tell_of_model(self, raw: Raw) -> None:
        for heard in self._of_models:
            heard(key_of(raw)[0])

    def _appeared(self, kind: Kind) -> None:
        if kind is not MODEL_DEPLOYMENT:
            self._all_changed()

    def _all_changed(self) -> None:
        for key in self.deployments():
            self._changed(key)

    async def _look_for_kserve(self) -> None:
        """Which versions of InferenceService the cluster has: to be told where the one that is written is not among them."""
        await self._followers[INFERENCE_SERVICE.name].known.wait()
        while True:
            try:
                group = await self._cluster.get("/apis/serving.kserve.io")
                found = tuple(str(each["version"]) for each in group["versions"])
                if INFERENCE_SERVICE.api_version.split("/")[1] in found and not self._is_there(INFERENCE_SERVICE):
                    found = ()
            except NotFound:
                found = ()
            except ClusterError:
                found = self._kserve
            if found != self._kserve:
                self._kserve = found
                self._all_changed()
            self._looked_for_kserve.set()
            await asyncio.sleep(2.0)

    def _is_there(self, kind: Kind) -> bool:
        return self._followers[kind.name].is_there


def _selectors(kind: Kind) -> Mapping[str, str]:
    return {"labelSelector": names.DEPLOYMENT} if kind in LABELLED else {}
