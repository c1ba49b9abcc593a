"""The operator as a whole: what follows the cluster, the queue of what changed, and the workers that reconcile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog
from prometheus_client import Counter, Histogram
from structlog.contextvars import bind_contextvars, clear_contextvars

from pointsman.registry.port import Registry
from pointsman.registry.write_back import WriteBack
from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.cluster.memory import Key
from pointsman_operator.cluster.nodes import Nodes
from pointsman_operator.cluster.queue import WorkQueue
from pointsman_operator.prober import Prober
from pointsman_operator.reconcile import Reconciler
from pointsman_operator.references import References
from pointsman_operator.settings import Settings
from pointsman_operator.strays import Strays

log = structlog.get_logger()

WORKERS = 8
"""ModelDeployments that are reconciled at the same time: most of it is waiting for the API server"""

RECONCILES = Counter("pointsman_operator_reconciles", "Reconciles, by how they ended", ["outcome"])
SECONDS = Histogram("pointsman_operator_reconcile_seconds", "How long a reconcile takes")
for _outcome in ("done", "retry", "error"):
    RECONCILES.labels(_outcome)  # from 0 on, so that the first one of a kind is an increase


class Operator:
    """Reconciles all ModelDeployments of a cluster while it runs, and writes while `leads`.

    `caches`, `queue` and `is_working` are there to be looked at.
    """

    def __init__(self, cluster: Cluster, registry: Registry, settings: Settings, *, leads: Callable[[], bool]) -> None:
        self.queue = WorkQueue[Key]()
        self.is_working = False
        """Whether it reconciles: another replica may be the one that does"""
        self.caches = Caches(cluster, self._changed, registry_url=settings.registry_url)
        self._settings = settings
        writer = Writer(cluster, self.caches, leads=leads)
        self._strays = Strays(cluster, self.caches, writer)
        self._references = References(registry, poll_seconds=settings.registry_poll_seconds, changed=self._changed)
        self._write_back = WriteBack(registry)
        self._prober = Prober(seconds=settings.probe_seconds)
        self._reconciler = Reconciler(
            settings=settings,
            caches=self.caches,
            writer=writer,
            references=self._references,
            nodes=Nodes(cluster),
            write_back=self._write_back,
            prober=self._prober,
            again=self._again,
        )

    @property
    def tags_pending(self) -> int:
        """ModelDeployments whose outcome is still to be written to the registry."""
        return self._write_back.pending

    async def follow(self) -> None:
        """Remember the cluster, until cancelled. A replica that does not lead does this too, to take over at once."""
        await self.caches.run()

    async def work(self) -> None:
        """Reconcile, until cancelled. What is under way is broken off: each write is whole, and the next leader sees the rest."""
        await self.caches.known()
        self.is_working = True
        for key in self.caches.deployments():
            self.queue.add(key)
        log.info("reconciling", modeldeployments=len(self.caches.deployments()))
        async with self._closing(), asyncio.TaskGroup() as tasks:
            for number in range(WORKERS):
                tasks.create_task(self._worker(), name=f"worker {number}")
            tasks.create_task(self._resync(), name="resync")

    @contextlib.asynccontextmanager
    async def _closing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._references.close()
            await self._write_back.close()
            await self._prober.close()

    async def _worker(self) -> None:
        while True:
            key = await self.queue.take()
            clear_contextvars()
            bind_contextvars(object="/".join(key))
            try:
                with SECONDS.time():
                    await self._reconciler.reconcile(key)
            except ClusterError as error:
                seconds = self.queue.failed(key)
                RECONCILES.labels("retry").inc()
                log.warning("retry", seconds=seconds, error=str(error))
            except Exception:  # one object's trouble must not end the others' reconciles
                self.queue.failed(key)
                RECONCILES.labels("error").inc()
                log.exception("a reconcile failed")
            else:
                self.queue.done(key)
                RECONCILES.labels("done").inc()

    async def _resync(self) -> None:
        """Look at everything now and then: what no event tells of is seen too."""
        while True:
            await self._strays.find()
            await asyncio.sleep(self._settings.resync_seconds)
            for key in self.caches.deployments():
                self.queue.add(key)

    def _changed(self, key: Key) -> None:
        if key[1] and self.is_working:
            self.queue.add(key)

    def _again(self, key: Key, seconds: float) -> None:
        if seconds <= 0:
            self.queue.add(key)
        else:
            self.queue.add_after(key, seconds)
