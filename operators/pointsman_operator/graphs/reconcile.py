"""The reconcile of one namespace: observe, decide, carry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from pointsman.deployments.plan import Unresolved
from pointsman.graphs import references
from pointsman.graphs.compile import GraphProblem, Signature
from pointsman.graphs.definitions import Definitions
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.ingest.plan import SOURCES_ELSEWHERE
from pointsman.models.tensors import ArtifactRefused
from pointsman.planning import Told, written
from pointsman_operator import names
from pointsman_operator.carry_out import Writer
from pointsman_operator.causes.cause import condition
from pointsman_operator.cluster.nodes import Nodes
from pointsman_operator.graphs import documents
from pointsman_operator.graphs.asked import Asked
from pointsman_operator.graphs.caches import NamespaceCaches
from pointsman_operator.graphs.decide import decide
from pointsman_operator.graphs.documents import Documents
from pointsman_operator.graphs.installation import platform
from pointsman_operator.graphs.keys import Keys
from pointsman_operator.graphs.observe import activities, sources
from pointsman_operator.graphs.seen import DOCUMENTS, SeenNamespace, Unknown
from pointsman_operator.graphs.signatures import Signatures
from pointsman_operator.graphs.situation import Decision, Situation
from pointsman_operator.happened import happened
from pointsman_operator.observe import served
from pointsman_operator.resources.graphs.edges import DISPATCHER_PORT
from pointsman_operator.resources.graphs.hosts import PORT
from pointsman_operator.seen import DEPLOYMENT, POD, RAY_SERVICE, Kind, Raw
from pointsman_operator.settings import Settings

log = structlog.get_logger()

REFUSED_SECONDS = 5.0
"""Before what the API server has refused is tried again"""
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in DOCUMENTS}


class NamespaceReconciler:
    """Reconciles the graphs of any namespace. `again` is asked to look at one again, at once or after some seconds."""

    def __init__(
        self,
        *,
        settings: Settings,
        caches: NamespaceCaches,
        writer: Writer,
        nodes: Nodes,
        keys: Keys,
        asked: Asked,
        signatures: Signatures,
        again: Callable[[str, float], None],
    ) -> None:
        self._settings, self._caches, self._writer, self._nodes = settings, caches, writer, nodes
        self._keys, self._asked, self._signatures, self._again = keys, asked, signatures, again
        self._definitions = dict[str, Definitions]()
        self._problems = dict[str, dict[str, tuple[str, tuple[GraphProblem, ...]]]]()
        """By namespace and graph: the revision that was looked at last, and what is wrong with it"""
        self._refused = dict[str, dict[str, Unresolved]]()

    async def reconcile(self, namespace: str) -> None:
        """Bring a namespace nearer to what its documents ask for. Raises ClusterError where it is to be tried again."""
        seen = self._caches.seen(namespace)
        if not any(seen.of(kind) for kind in DOCUMENTS):
            self._forget(namespace)
            return
        if seen.owners:
            await self._keys.ensure(namespace, seen.owners)
        read = documents.read(seen)
        seen = await self._with_facts(seen)
        before = self._refused.get(namespace, {})
        seen = replace(seen, refused=before)
        decided = decide(self._situation(read, seen))
        refused = await self._carry_out(decided, seen)
        if refused != before:
            self._refused[namespace] = refused
            decided = decide(self._situation(read, replace(seen, refused=refused)))
        if refused:
            self._again(namespace, REFUSED_SECONDS)
        moments = [each.look_again for each in decided.graphs.values() if each.look_again is not None]
        if moments:
            self._again(namespace, (min(moments) - seen.now).total_seconds())
        for (kind, name), told in decided.told.items():
            await self._say(KINDS[kind], read.raw[kind, name], told, seen)

    async def _with_facts(self, seen: SeenNamespace) -> SeenNamespace:
        """What the objects do not tell: hosts and dispatcher are asked, and the registry for what models take and give."""
        again = lambda: self._again(seen.name, 0.0)  # noqa: E731
        hosts = {
            str(raw["metadata"]["name"]): self._address(raw["metadata"]["name"], seen.name, PORT)
            + f"/v1/graphs/{raw['metadata']['labels'][names.GRAPH]}/-/ready"
            for kind in (RAY_SERVICE, DEPLOYMENT)
            for raw in seen.of(kind)
            if names.SHAPE in raw["metadata"]["labels"] and seen.is_ours(raw)
        }
        if seen.one(DEPLOYMENT, names.DISPATCHER) is not None:
            hosts[names.DISPATCHER] = self._address(names.DISPATCHER, seen.name, DISPATCHER_PORT) + "/-/targets"
        said = self._asked.want(seen.name, hosts, again)
        pins = [pinned for raw in seen.deployments if (pinned := served(raw.get("status") or {})) is not None]
        if any(condition(pod, "PodScheduled").get("reason") == "Unschedulable" for pod in seen.of(POD)):
            seen = replace(seen, largest=await self._nodes.largest())
        return replace(
            seen,
            dispatcher=said.pop(names.DISPATCHER, None),
            hosts=said,
            signatures=self._signatures.of({each.digest: each.source for each in pins}, again),
        )

    def _address(self, service: str, namespace: str, port: int) -> str:
        return self._settings.graph_address.format(service=service, namespace=namespace, port=port)

    def _situation(self, read: Documents, seen: SeenNamespace) -> Situation:
        definitions = self._definitions.setdefault(seen.name, Definitions(sources_elsewhere=SOURCES_ELSEWHERE))
        return Situation(
            documents=read,
            seen=seen,
            platform=platform(self._settings, seen.installed),
            drain=timedelta(seconds=self._settings.drain_seconds),
            checked=lambda resolved: self._checked(resolved, seen),
            definitions=definitions.decide(read, sources(seen), activities(seen), read.status),
        )

    def _checked(self, resolved: ResolvedGraph, seen: SeenNamespace) -> tuple[GraphProblem, ...]:
        """What is wrong with a graph. Where the registry does not tell what a model takes, its host is the one to say."""
        signatures = dict[str, Signature | ArtifactRefused]()
        for node, model in resolved.models.items():
            found = seen.signatures.get(model.digest)
            if found is None or isinstance(found, Unknown):
                return ()
            signatures[node] = found
        known = self._problems.setdefault(seen.name, {})
        before = known.get(resolved.graph.name)
        if before is None or before[0] != resolved.revision:
            known[resolved.graph.name] = before = (resolved.revision, references.problems(resolved, signatures))
        return before[1]

    async def _carry_out(self, decided: Decision, seen: SeenNamespace) -> dict[str, Unresolved]:
        """Everything, what all share first; what was refused, by the graph that needs it."""
        refused = dict[str, Unresolved]()
        for name, writes in {
            "": decided.shared,
            **{name: each.writes for name, each in decided.graphs.items()},
        }.items():
            why = await self._writer.carry_out(writes, seen)
            if why is not None:
                refused[name] = why
        return refused

    async def _say(self, kind: Kind, raw: Raw, told: Told, seen: SeenNamespace) -> None:
        """Events for what has changed in a status, then the status."""
        before = raw.get("status") or {}
        status = written(told, before, generation=int(raw["metadata"].get("generation", 0)), now=seen.now)
        for each in happened(before, status):
            log.info("happened", kind=kind.name, name=raw["metadata"]["name"], reason=each.reason, message=each.message)
            await self._writer.tell(kind, raw, each, seen.now)
        await self._writer.status(kind, raw, status)

    def _forget(self, namespace: str) -> None:
        self._asked.want(namespace, {}, lambda: None)
        self._keys.forget(namespace)
        for known in (self._definitions, self._problems, self._refused):
            known.pop(namespace, None)
