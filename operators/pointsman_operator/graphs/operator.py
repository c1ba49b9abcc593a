"""The graphs' side of the operator: what follows them, the queue of namespaces in which something changed, and its workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from pointsman.registry.port import Registry
from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster
from pointsman_operator.cluster.nodes import Nodes
from pointsman_operator.cluster.queue import WorkQueue
from pointsman_operator.graphs.asked import Asked
from pointsman_operator.graphs.caches import NamespaceCaches
from pointsman_operator.graphs.installation import platform
from pointsman_operator.graphs.keys import Keys
from pointsman_operator.graphs.reconcile import NamespaceReconciler
from pointsman_operator.graphs.signatures import Signatures
from pointsman_operator.seen import Installed
from pointsman_operator.settings import Settings
from pointsman_operator.work import work

log = structlog.get_logger()

WORKERS = 4
"""Namespaces that are reconciled at the same time"""


class Graphs:
    """Reconciles the graphs of all namespaces while it runs, and writes while `leads`. `models` remembers ModelDeployments;
    `uses_other_models` is told of each namespace in which a graph calls others than before.

    Raises SettingsError.
    """

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        settings: Settings,
        models: Caches,
        nodes: Nodes,
        *,
        leads: Callable[[], bool],
        uses_other_models: Callable[[str], None],
    ) -> None:
        platform(settings, Installed())
        self.queue = WorkQueue[str]()
        self.caches = NamespaceCaches(cluster, models, self._changed, uses_other_models=uses_other_models)
        self._is_working = False
        self._settings = settings
        self._asked, self._signatures = Asked(seconds=settings.probe_seconds), Signatures(registry)
        writer = Writer(cluster, self.caches, leads=leads)
        self._reconciler = NamespaceReconciler(
            settings=settings,
            caches=self.caches,
            writer=writer,
            nodes=nodes,
            keys=Keys(cluster, writer),
            asked=self._asked,
            signatures=self._signatures,
            again=self._again,
        )

    async def work(self) -> None:
        """Reconcile, until cancelled. Call it once the ModelDeployments are known."""
        await self.caches.known()
        self._is_working = True
        namespaces = self.caches.namespaces()
        log.info("reconciling", namespaces=len(namespaces))
        for namespace in namespaces:
            self.queue.add(namespace)
        async with self._closing(), asyncio.TaskGroup() as tasks:
            for number in range(WORKERS):
                reconciling = work(self.queue, self._reconciler.reconcile, lambda namespace: namespace)
                tasks.create_task(reconciling, name=f"worker of graphs {number}")
            tasks.create_task(self._resync(), name="resync of graphs")

    @contextlib.asynccontextmanager
    async def _closing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._asked.close()
            await self._signatures.close()

    async def _resync(self) -> None:
        """Look at everything now and then: what no event tells of is seen too."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            for namespace in self.caches.namespaces():
                self.queue.add(namespace)

    def _changed(self, namespace: str) -> None:
        if namespace and self._is_working:
            self.queue.add(namespace)

    def _again(self, namespace: str, seconds: float) -> None:
        if seconds <= 0:
            self.queue.add(namespace)
        else:
            self.queue.add_after(namespace, seconds)
