"""Everything that is remembered of the cluster for graphs: what users wrote, and what was made of it. By namespace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from pointsman_operator import names
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.client import Cluster
from pointsman_operator.cluster.follow import Follower
from pointsman_operator.cluster.memory import Key, Memory, key_of, of_pod
from pointsman_operator.graphs.seen import DOCUMENTS, MADE, SeenNamespace
from pointsman_operator.seen import DECISION_GRAPH, HTTP_ROUTE, POD, POD_MONITOR, RAY_SERVICE, Installed, Kind, Raw
from pointsman_operator.supported import KUBERAY

OURS = {"labelSelector": f"{names.SELECTOR},!{names.DEPLOYMENT}"}
"""What is made for graphs and their namespace, and not for a ModelDeployment"""
SPECS = {POD.name: of_pod}
"""All else is compared with what is wanted, down to the last field"""


class NamespaceCaches:
    """What is known of all namespaces. `changed` is told of each for which something may be different.

    `models` remembers ModelDeployments, and the warnings about pods; `uses_other_models` is told of each namespace in which a
    graph decides with others than before.
    """

    def __init__(
        self,
        cluster: Cluster,
        models: Caches,
        changed: Callable[[str], None],
        *,
        uses_other_models: Callable[[str], None],
    ) -> None:
        self._models, self._changed, self._uses_other_models = models, changed, uses_other_models
        self._used = dict[Key, object]()
        models.subscribe(self._changed_where_there_are_graphs)
        models.warnings.subscribe(self._warned)
        self._followers: Mapping[str, Follower] = {
            kind.name: Follower(
                cluster,
                kind,
                heard=self._heard,
                appeared=self._appeared,
                selectors={} if kind in DOCUMENTS else OURS,
                memory=Memory(SPECS),
            )
            for kind in (*DOCUMENTS, *MADE, POD)
        }

    async def run(self) -> None:
        """Follow everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers.values():
                tasks.create_task(follower.run(), name=f"follow {follower.kind.name} of graphs")

    @property
    def is_known(self) -> bool:
        """Whether everything that was in the cluster at the start is remembered."""
        return all(follower.known.is_set() for follower in self._followers.values())

    async def known(self) -> None:
        """Wait until everything that is in the cluster now is remembered."""
        for follower in self._followers.values():
            await follower.known.wait()

    def silent_seconds(self) -> dict[str, float]:
        """For how long the API server has said nothing, by kind. It says something every minute."""
        now = time.monotonic()
        return {name: now - follower.heard_at for name, follower in self._followers.items()}

    def namespaces(self) -> list[str]:
        """All in which users wrote anything."""
        return sorted({raw["metadata"]["namespace"] for kind in DOCUMENTS for raw in self._all(kind)})

    def statuses(self, kind: Kind) -> Iterator[Raw]:
        """What all of a kind say of themselves."""
        return (raw.get("status") or {} for raw in self._all(kind))

    def graphs(self) -> Iterator[Raw]:
        """The DecisionGraphs of all namespaces."""
        return iter(self._all(DECISION_GRAPH))

    def graphs_in(self, namespace: str) -> list[Raw]:
        """The DecisionGraphs of a namespace."""
        return self._of(DECISION_GRAPH, namespace)

    def graph(self, key: Key) -> Raw | None:
        """One DecisionGraph."""
        return self._followers[DECISION_GRAPH.name].memory.get(key)

    def wrote(self, kind: Kind, raw: Raw) -> None:
        """Remember the answer to a write of our own, so that nothing is written twice before a watch tells of it."""
        self._followers[kind.name].memory.put(raw)
        if kind is DECISION_GRAPH:
            self._note_models(raw, is_living=True)

    def seen(self, namespace: str) -> SeenNamespace:
        """All that is remembered for a namespace."""
        pods = self._of(POD, namespace)
        return SeenNamespace(
            name=namespace,
            objects={kind.name: self._of(kind, namespace) for kind in (*DOCUMENTS, *MADE)} | {POD.name: pods},
            events=self._models.warnings.of(pods),
            deployments=self._models.deployments_in(namespace),
            installed=Installed(
                kuberay=self._followers[RAY_SERVICE.name].is_there,
                kuberay_release=self._models.release(KUBERAY),
                gateway=self._followers[HTTP_ROUTE.name].is_there,
                monitors=self._followers[POD_MONITOR.name].is_there,
            ),
            now=datetime.now(UTC),
        )

    def _all(self, kind: Kind) -> Memory:
        return self._followers[kind.name].memory

    def _of(self, kind: Kind, namespace: str) -> list[Raw]:
        return self._followers[kind.name].memory.of((namespace, ""))

    def _heard(self, kind: Kind, raw: Raw, is_living: bool) -> None:
        if kind is POD and not is_living:
            self._models.warnings.forget(raw)
        if kind is DECISION_GRAPH:
            self._note_models(raw, is_living=is_living)
        self._changed(str(raw["metadata"].get("namespace", "")))

    def _note_models(self, graph: Raw, *, is_living: bool) -> None:
        key, used = key_of(graph), (graph.get("status") or {}).get("models") if is_living else None
        if self._used.get(key) == used:
            return
        self._used[key] = used
        if used is None:
            del self._used[key]
        self._uses_other_models(key[0])

    def _warned(self, pod: Key) -> None:
        if self._followers[POD.name].memory.get(pod) is not None:
            self._changed(pod[0])

    def _appeared(self, kind: Kind) -> None:
        if kind not in DOCUMENTS:
            for namespace in self.namespaces():
                self._changed(namespace)

    def _changed_where_there_are_graphs(self, namespace: str) -> None:
        if self.graphs_in(namespace):
            self._changed(namespace)
