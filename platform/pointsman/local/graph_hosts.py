"""Decision graphs: resolves each with what serves now, and starts, restarts or switches its host as the plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from pointsman.api.decision_graph import DecisionGraph
from pointsman.deployments.plan import Pinned
from pointsman.graphs import plan, references
from pointsman.graphs.activity import Activity
from pointsman.graphs.compile import GraphProblem
from pointsman.graphs.plan import HostState, Wanted
from pointsman.graphs.references import Placement
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel
from pointsman.ingest.report import SourceReport
from pointsman.local import world
from pointsman.local.applied import Applied
from pointsman.local.files import write_private
from pointsman.local.gateway import Route, decisions_url
from pointsman.local.home import Home
from pointsman.local.model_servers import ModelServers
from pointsman.local.objects import Key
from pointsman.local.part import Part, cause_of, is_failing
from pointsman.local.ports import Ports
from pointsman.local.probes import Probes
from pointsman.local.processes import Observed, ProcessSpec, State
from pointsman.local.secrets import SecretStore
from pointsman.local.switching import Switches
from pointsman.models.artifact import ArtifactRefused, ModelArtifact, open_artifact
from pointsman.planning import Told

CONTROL_SECRET = ("pointsman-control", "token")
"""The secret that lets us, and whoever may read it, switch a host's revision and import history."""


class GraphHosts:
    """The hosts of one home's graphs. `database_url` is the hosts'."""

    def __init__(
        self,
        home: Home,
        ports: Ports,
        secrets: SecretStore,
        models: ModelServers,
        probes: Probes,
        switches: Switches,
        *,
        database_url: str,
    ) -> None:
        self._home, self._ports, self._secrets = home, ports, secrets
        self._models, self._probes, self._switches = models, probes, switches
        self._database_url = database_url
        self._resolved = dict[str, ResolvedGraph]()
        """By graph, what its host was started with or last switched to."""
        self._shapes = dict[str, str]()
        self._starts = dict[str, str]()
        """By graph, what makes its process another one than the one before."""
        self._problems = dict[str, tuple[GraphProblem, ...]]()
        self._artifacts = dict[str, ModelArtifact | ArtifactRefused]()

    def urls(self) -> frozenset[str]:
        """Where the hosts answer that run or are to run."""
        return frozenset(world.graph_url(self._ports, name) for name in self._resolved)

    def sources(self) -> dict[str, SourceReport | None]:
        """By graph, what its host says of the source that it reads."""
        return {name: self._probes.host(world.graph_url(self._ports, name)).source for name in self._resolved}

    def activities(self) -> dict[str, Activity]:
        """By graph, what its host says of its decisions."""
        return {name: self._probes.host(world.graph_url(self._ports, name)).activity for name in self._resolved}

    def routes(self) -> tuple[Route, ...]:
        """Where the hosts take decisions that run or are to run."""
        return tuple(self._route(name) for name in sorted(self._resolved))

    def _route(self, name: str) -> Route:
        url = world.graph_url(self._ports, name)
        return Route(graph=name, ingress=urlsplit(url).netloc, replica=self._probes.host(url).listens)

    def in_use(self, applied: Applied) -> dict[str, list[Pinned]]:
        """By deployment, what the hosts serve with, as the statuses say too, and what they are about to switch to."""
        used = dict[str, list[Pinned]]()
        for name in applied.graphs:
            for model in (applied.status("DecisionGraph", name).get("models") or {}).values():
                pinned = Pinned(uri="", version=model["version"], digest=model["digest"])
                used.setdefault(model["deployment"], []).append(pinned)
        for resolved in (*self._resolved.values(), *self._switches.under_way()):
            for model in resolved.models.values():
                pinned = Pinned(uri="", version=model.version, digest=model.digest)
                used.setdefault(model.deployment, []).append(pinned)
        return used

    async def prepare(self) -> None:
        """Read the signatures of what serves, in a thread: the files are digested, and may be large."""
        wanted = {pinned.digest for pinned in self._models.serving.values()}
        self._artifacts = {digest: each for digest, each in self._artifacts.items() if digest in wanted}
        for digest in wanted - self._artifacts.keys():
            self._artifacts[digest] = await asyncio.to_thread(_opened, world.model_folder(self._home, digest), digest)

    def decide(self, applied: Applied, seen: Mapping[str, Observed], told: Mapping[Key, Told]) -> Part:
        """Hosts and statuses. `told` is what the statuses of all that graphs refer to are to say."""
        specs, statuses, problems = dict[str, ProcessSpec](), dict[Key, Told](), self._problems
        self._problems = {}
        for gone in self._resolved.keys() - applied.graphs.keys():
            del self._resolved[gone], self._shapes[gone], self._starts[gone]
            self._switches.forget(gone)
            world.graph_config(self._home, gone).unlink(missing_ok=True)
        for name, graph in applied.graphs.items():
            resolved = references.resolved(graph, applied, self._model)
            if resolved is not None:
                known = problems.get(resolved.revision)
                self._problems[resolved.revision] = self._check(resolved) if known is None else known
            self._note_switch(name, resolved)
            decided = plan.decide(
                plan.Observed(
                    graph=graph,
                    generation=applied.generation("DecisionGraph", name),
                    needs=references.needs(graph, told, serving=self._models.answering),
                    problems=self._problems[resolved.revision] if resolved is not None else (),
                    wanted=self._wanted(graph, resolved),
                    host=self._host(name, seen),
                    address=decisions_url(self._ports, name),
                    sets_aside=world.GRAPHS_SET_ASIDE,
                )
            )
            if decided.host is not None and resolved is not None:
                self._carry_out(decided.host, name, resolved)
            if name in self._resolved:
                spec = world.graph_spec(self._home, self._ports, self._resolved[name].graph, self._starts[name])
                specs[spec.name] = spec
            own = f"{world.graph_url(self._ports, name)}/decisions" if decided.told.fields["url"] else None
            models = self._serving_models(name, applied.status("DecisionGraph", name))
            fields = {**decided.told.fields, "address": own, "models": models}
            statuses["DecisionGraph", name] = Told(conditions=decided.told.conditions, fields=fields)
        return Part(processes=specs, told=statuses)

    # observe

    def _serving_models(self, name: str, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the nodes decide with; while nobody answers, what they decided with last."""
        answer = self._probes.host(world.graph_url(self._ports, name))
        return (answer.models if answer.revision is not None else status.get("models")) or None

    def _note_switch(self, name: str, wanted: ResolvedGraph | None) -> None:
        """A host that has switched starts with the new revision from now on, should it have to start again."""
        if name not in self._resolved:
            return
        url, taken = world.graph_url(self._ports, name), self._switches.done(name)
        if taken is not None:
            self._probes.believe(url, taken.revision)
        elif wanted is not None and self._probes.host(url).revision == wanted.revision:
            taken = wanted  # it has switched although its answer was lost
        if taken is not None and taken.revision != self._resolved[name].revision:
            self._resolved[name] = taken
            self._write_config(name, taken)

    def _host(self, name: str, seen: Mapping[str, Observed]) -> HostState:
        if name not in self._resolved:
            return plan.NO_HOST
        process, resolved = seen.get(world.graph_process(name)), self._resolved[name]
        answer = self._probes.host(world.graph_url(self._ports, name))
        state = HostState(
            running=True,
            answering=False,
            shape=self._shapes[name],
            revision=resolved.revision,
            generation=resolved.graph.metadata.generation,
        )
        if process is None:
            return state
        if process.state is not State.READY or answer.revision is None:
            cause = answer.cause if process.state is State.READY else cause_of(process, self._home.logs)
            return replace(state, cause=cause, failing=is_failing(process))
        refusal = self._switches.refusal(name)
        return replace(
            state,
            answering=True,
            revision=answer.revision,
            generation=state.generation if answer.revision == resolved.revision else None,
            refused=None if refusal is None else refusal.revision,
            cause="" if refusal is None else refusal.cause,
            bands=answer.bands,
            automatic_percent=answer.activity.automatic_percent,
            reviews=answer.activity.reviews,
            awaits=answer.awaits,
        )

    def _wanted(self, graph: DecisionGraph, resolved: ResolvedGraph | None) -> Wanted | None:
        if resolved is None:
            return None
        remote = {model.deployment for model in resolved.models.values() if model.placement == "Remote"}
        return Wanted(
            revision=resolved.revision,
            shape=world.graph_shape(graph, resolved.stream.metadata.uid),
            can_start=remote <= self._models.answering,
            models=self._models.references(),
        )

    def _model(self, deployment: str, placement: Placement) -> ResolvedModel | None:
        pinned = self._models.serving.get(deployment)
        if pinned is None:
            return None
        return ResolvedModel(
            deployment=deployment,
            name=deployment,
            version=pinned.version,
            digest=pinned.digest,
            folder=str(world.model_folder(self._home, pinned.digest)),
            placement=placement,
            url=self._models.url(deployment, pinned),
        )

    def _check(self, found: ResolvedGraph) -> tuple[GraphProblem, ...]:
        return references.problems(found, {node: self._artifacts[model.digest] for node, model in found.models.items()})

    # carry out

    def _carry_out(self, what: str, name: str, resolved: ResolvedGraph) -> None:
        if what == "Switch":
            url, token = world.graph_url(self._ports, name), self._control_token()
            self._switches.begin(name, resolved, url=url, token=token)
            return
        self._switches.forget(name)
        self._resolved[name] = resolved
        self._shapes[name] = world.graph_shape(resolved.graph, resolved.stream.metadata.uid)
        self._starts[name] = f"{self._shapes[name]}, from {resolved.revision}"
        self._write_config(name, resolved)

    def _write_config(self, name: str, resolved: ResolvedGraph) -> None:
        """What the host starts with: always the revision that serves, never one that it has not taken over yet."""
        write_private(
            world.graph_config(self._home, name),
            {
                "databaseUrl": self._database_url,
                "host": world.LOOPBACK,
                "port": self._ports.of(world.graph_process(name)),
                "controlToken": self._control_token(),
                "rayTempDir": str(self._home.ray(name)),
                "follow": False,  # it is switched by a request, which says at once what is refused
                "secretsFolder": str(self._home.secrets),
                "resolved": resolved.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
        )

    def _control_token(self) -> str:
        secret, key = CONTROL_SECRET
        token = self._secrets.get(secret, key)
        if token is None:
            token = token_urlsafe(32)
            self._secrets.put(secret, {key: token})
        return token


def _opened(folder: Path, digest: str) -> ModelArtifact | ArtifactRefused:
    try:
        return open_artifact(folder, expected_digest=digest)
    except ArtifactRefused as error:
        return error
