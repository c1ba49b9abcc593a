"""The operator as a whole: what follows the cluster, the queue of what changed, and the workers that reconcile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from pointsman.registry.port import Registry
from pointsman.registry.write_back import WriteBack
from pointsman_operator import names
from pointsman_operator.carry_out import Writer
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster
from pointsman_operator.cluster.memory import Key
from pointsman_operator.cluster.nodes import Nodes
from pointsman_operator.cluster.queue import WorkQueue
from pointsman_operator.graphs.operator import Graphs
from pointsman_operator.graphs.seen import MADE as MADE_FOR_GRAPHS
from pointsman_operator.prober import Prober
from pointsman_operator.reconcile import Reconciler
from pointsman_operator.references import References
from pointsman_operator.seen import DECISION_GRAPH, MADE, MODEL_DEPLOYMENT
from pointsman_operator.settings import Settings
from pointsman_operator.strays import Family, Strays
from pointsman_operator.work import work

log = structlog.get_logger()

WORKERS = 8
"""ModelDeployments that are reconciled at the same time: most of it is waiting for the API server"""


class Operator:
    """Reconciles all ModelDeployments of a cluster while it runs, and with `graphs` all else of ours; writes while `leads`.

    `caches`, `queue` and `is_working` are there to be looked at.
    """

    def __init__(self, cluster: Cluster, registry: Registry, settings: Settings, *, leads: Callable[[], bool]) -> None:
        self.queue = WorkQueue[Key]()
        self.is_working = False
        """Whether it reconciles: another replica may be the one that does"""
        self.caches = Caches(cluster, self._changed, registry_url=settings.registry_url)
        self._settings = settings
        writer = Writer(cluster, self.caches, leads=leads)
        self._references = References(registry, poll_seconds=settings.registry_poll_seconds, changed=self._changed)
        self._write_back = WriteBack(registry)
        self._prober = Prober(seconds=settings.probe_seconds)
        nodes = Nodes(cluster)
        self.graphs = Graphs(
            cluster, registry, settings, self.caches, nodes, leads=leads, uses_other_models=self._uses_other_models
        )
        self._strays = Strays(
            cluster,
            writer,
            (
                Family(kind=MODEL_DEPLOYMENT, made=MADE, labels=names.labels, owner=self.caches.deployment),
                Family(
                    kind=DECISION_GRAPH, made=MADE_FOR_GRAPHS, labels=names.graph_labels, owner=self.graphs.caches.graph
                ),
            ),
        )
        self._reconciler = Reconciler(
            settings=settings,
            caches=self.caches,
            writer=writer,
            references=self._references,
            nodes=nodes,
            write_back=self._write_back,
            prober=self._prober,
            graphs=self.graphs.caches.graphs_in,
            again=self._again,
        )

    @property
    def is_known(self) -> bool:
        """Whether everything that was in the cluster at the start is remembered."""
        return self.caches.is_known and self.graphs.caches.is_known

    @property
    def tags_pending(self) -> int:
        """ModelDeployments whose outcome is still to be written to the registry."""
        return self._write_back.pending

    async def follow(self) -> None:
        """Remember the cluster, until cancelled. A replica that does not lead does this too, to take over at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.caches.run(), name="models")
            tasks.create_task(self.graphs.caches.run(), name="graphs")

    async def work(self) -> None:
        """Reconcile, until cancelled. What is under way is broken off: each write is whole, and the next leader sees the rest."""
        await self.caches.known()
        await self.graphs.caches.known()
        self.is_working = True
        for key in self.caches.deployments():
            self.queue.add(key)
        log.info("reconciling", modeldeployments=len(self.caches.deployments()))
        async with self._closing(), asyncio.TaskGroup() as tasks:
            for number in range(WORKERS):
                tasks.create_task(work(self.queue, self._reconciler.reconcile, "/".join), name=f"worker {number}")
            tasks.create_task(self._resync(), name="resync")
            tasks.create_task(self.graphs.work(), name="graphs")

    @contextlib.asynccontextmanager
    async def _closing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._references.close()
            await self._write_back.close()
            await self._prober.close()

    async def _resync(self) -> None:
        """Look at everything now and then: what no event tells of is seen too."""
        while True:
            await self._strays.find()
            await asyncio.sleep(self._settings.resync_seconds)
            for key in self.caches.deployments():
                self.queue.add(key)

    def _uses_other_models(self, namespace: str) -> None:
        """A graph there may call other revisions than before: those that it does not call any more may go."""
        for raw in self.caches.deployments_in(namespace):
            self._changed((namespace, str(raw["metadata"]["name"])))

    def _changed(self, key: Key) -> None:
        if key[1] and self.is_working:
            self.queue.add(key)

    def _again(self, key: Key, seconds: float) -> None:
        if seconds <= 0:
            self.queue.add(key)
        else:
            self.queue.add_after(key, seconds)
