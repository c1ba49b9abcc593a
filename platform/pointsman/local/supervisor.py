"""The supervisor of a home: observe, decide, carry out, for every applied object, once a second and at every change.

`python -m pointsman.local.supervisor --home DIR`, usually below a keeper. It speaks to the command line over a unix socket
(`control`), keeps its children in a `ProcessTable`, and holds no rule of the product: those are in the plans.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import httpx2
import psycopg
import structlog

from pointsman import __version__
from pointsman.actions import plan as action_plan
from pointsman.api.action_target import ActionTarget
from pointsman.api.conditions import Condition, from_dicts, merge, to_dicts
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import Companion
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import Resource
from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments import plan as deployment_plan
from pointsman.deployments.plan import Pinned, RevisionState
from pointsman.features import plan as feature_plan
from pointsman.features.definition import InvalidView, compile_view
from pointsman.graphs import plan as graph_plan
from pointsman.graphs.compile import GraphProblem, InvalidGraph, compile_graph
from pointsman.graphs.contract import InvalidContract, compile_contract
from pointsman.graphs.plan import HostState, Need
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel, resolve
from pointsman.ingest import plan as stream_plan
from pointsman.local import world
from pointsman.local.companions import LocalProcess, LocalService, read_process, read_secret, read_service
from pointsman.local.control import control_app
from pointsman.local.home import Home, HomeInUse
from pointsman.local.leftovers import end
from pointsman.local.mlflow_server import mlflow_spec
from pointsman.local.objects import Key, ObjectStore, StoredObject
from pointsman.local.ports import Ports
from pointsman.local.postgres import PostgresServer
from pointsman.local.processes import Observed, ProcessSpec, ProcessTable, State, last_lines
from pointsman.local.registry_watch import RegistryWatch
from pointsman.local.secrets import SecretStore
from pointsman.models.artifact import ArtifactRefused, ModelArtifact, open_artifact
from pointsman.store.database import APP_ROLE, OWNER_ROLE, connect
from pointsman.store.migrate import migrate

log = structlog.get_logger()

TICK_SECONDS = 1.0
CRASHES_TO_FAIL = 3
"""A process that ended so often without being ready again is said to be failing."""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The applied objects by kind, parsed."""

    stored: Mapping[Key, StoredObject]
    streams: Mapping[str, EventStream]
    views: Mapping[str, FeatureView]
    deployments: Mapping[str, ModelDeployment]
    targets: Mapping[str, ActionTarget]
    graphs: Mapping[str, DecisionGraph]
    processes: Mapping[str, LocalProcess]
    services: Mapping[str, LocalService]

    @classmethod
    def parse(cls, stored: Mapping[Key, StoredObject]) -> Applied:
        """Parse what is stored."""
        parsed = {key: each.resource() for key, each in stored.items()}

        def of(kind: type[Resource]) -> dict[str, Any]:
            return {name: each for (_, name), each in parsed.items() if isinstance(each, kind)}

        companions = [each for each in parsed.values() if isinstance(each, Companion)]
        return cls(
            stored=stored,
            streams=of(EventStream),
            views=of(FeatureView),
            deployments=of(ModelDeployment),
            targets=of(ActionTarget),
            graphs=of(DecisionGraph),
            processes={each.name: read_process(each.document) for each in companions if each.kind == "Deployment"},
            services={each.name: read_service(each.document) for each in companions if each.kind == "Service"},
        )

    def generation(self, kind: str, name: str) -> int:
        return self.stored[kind, name].generation

    def status(self, kind: str, name: str) -> dict[str, Any]:
        return self.stored[kind, name].status


class Supervisor:
    """One home's supervisor. `run` returns when it was told to stop and everything has stopped."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.ports = Ports(home)
        self.secrets = SecretStore(home.secrets)
        self.postgres = PostgresServer(home)
        self.wake, self.stopping = asyncio.Event(), asyncio.Event()
        self.table = ProcessTable(instance=home.instance, logs=home.logs, changed=self.wake.set)
        self.registry: RegistryWatch | None = None
        self.applied = Applied.parse({})
        self.booting: str | None = "starting"
        self._objects: ObjectStore | None = None
        self._store: psycopg.Connection[Any] | None = None
        self._writing = asyncio.Lock()
        self._serving = dict[str, Pinned]()
        self._resolved = dict[str, ResolvedGraph]()
        self._hosts = dict[str, HostState]()
        self._artifacts = dict[str, ModelArtifact]()
        self._checked = dict[str, list[GraphProblem]]()
        self._answering = dict[str, bool]()
        self._switching = dict[str, asyncio.Task[None]]()
        self._client = httpx2.AsyncClient(timeout=3, trust_env=False, verify=False)

    async def run(self) -> None:
        """Boot, reconcile until told to stop, then stop everything in the reverse order of starting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        tasks = list[asyncio.Task[Any]]()
        try:
            await asyncio.to_thread(end, self.home.instance, but={os.getppid()})
            self.ports.free_again()
            tasks.append(asyncio.create_task(control_app(self).serve()))
            await self._boot()
            assert self.registry is not None
            tasks.append(asyncio.create_task(self.registry.run()))
            await self._reconcile_for_ever()
        finally:
            log.info("stopping")
            await self.table.stop_all()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.home.control_socket.unlink(missing_ok=True)

    def stop(self) -> None:
        """Begin to stop. Safe twice."""
        self.stopping.set()
        self.wake.set()

    async def _boot(self) -> None:
        self.booting = "PostgreSQL is starting"
        await asyncio.to_thread(self.postgres.initialise)
        await self.table.apply({"postgres": self._postgres_spec()})
        while not await asyncio.to_thread(self.postgres.answers):
            self._give_up_where_told()
            await asyncio.sleep(0.05)
        await asyncio.to_thread(self.postgres.ensure_databases)
        await asyncio.to_thread(migrate, self.postgres.url("pointsman", OWNER_ROLE))
        self.registry = RegistryWatch(
            self.mlflow_url, artifacts=self.home.artifacts, models=self.home.models, changed=self.wake.set
        )
        await self._load_objects()
        for name, deployment in self.applied.deployments.items():
            status = self.applied.status("ModelDeployment", name)
            if status.get("digest") and status.get("uri") == deployment.spec.model.uri:
                pinned = Pinned(version=status["version"], digest=status["digest"])
                self.registry.remember(name, deployment.spec.model.uri, pinned)
        self.booting = None

    def _give_up_where_told(self) -> None:
        if self.stopping.is_set():
            raise asyncio.CancelledError

    async def _reconcile_for_ever(self) -> None:
        while not self.stopping.is_set():
            self.wake.clear()
            try:
                await self._reconcile()
            except psycopg.OperationalError as error:
                log.warning("the decision store is away", error=str(error).strip())
                self._store = None
            except Exception:  # the loop must live; the next tick tries again
                log.exception("a reconcile failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), TICK_SECONDS)

    async def _reconcile(self) -> None:
        assert self.registry is not None
        if self._store is None:
            await self._load_objects()
        applied = self.applied
        self.registry.want(applied.deployments)
        await self._look_around(applied)
        seen = self.table.observed()
        desired = {"postgres": self._postgres_spec(), "mlflow": self._mlflow_spec()}
        statuses = dict[Key, tuple[Sequence[Condition], dict[str, Any]]]()
        desired |= self._companions(applied, seen, statuses)
        self._streams_and_views(applied, statuses)
        urls = self._targets(applied, statuses)
        if applied.targets and world.write_private(self.home.config / "dispatcher.json", self._dispatcher(urls)):
            log.info("dispatcher configured", targets=sorted(urls))
        if applied.targets:
            desired["dispatcher"] = world.dispatcher_spec(self.home)
        desired |= self._deployments(applied, seen, statuses)
        desired |= self._graphs(applied, statuses)
        await self.table.apply(desired)
        await self._write_statuses(applied, statuses)

    # observe

    async def _look_around(self, applied: Applied) -> None:
        """Ask every host for its revision, and see whether every target answers."""
        seen = self.table.observed()

        async def host(name: str) -> None:
            process = seen.get(world.graph_process(name))
            self._hosts[name] = await self._host_state(name, process)

        async def target(name: str, url: str) -> None:
            self._answering[name] = await world.listens(url)()

        urls = self._target_urls(applied)
        await asyncio.gather(
            *(host(name) for name in applied.graphs),
            *(target(name, url) for name, url in urls.items() if url is not None),
        )

    async def _host_state(self, name: str, process: Observed | None) -> HostState:
        if process is None:
            return HostState(running=False, answering=False)
        try:
            answer = await self._client.get(f"{world.graph_url(self.ports, name)}/-/ready")
            body = answer.json()
            if answer.status_code == 200:
                return HostState(running=True, answering=True, revision=body["revision"])
            cause = str(body.get("message", ""))
        except (httpx2.HTTPError, ValueError, KeyError):
            cause = process.last_exit or ""
        failing = process.restarts >= CRASHES_TO_FAIL and process.state is not State.READY
        if failing:
            cause = f"{process.last_exit}: {_last_words(self.home, process.name)}"
        return HostState(running=True, answering=False, cause=cause, failing=failing)

    # decide, by kind

    def _companions(self, applied: Applied, seen: Mapping[str, Observed], statuses: dict[Any, Any]) -> dict[str, Any]:
        desired = dict[str, ProcessSpec]()
        for name, process in applied.processes.items():
            spec = world.companion_spec(self.home, self.ports, self.secrets, process)
            if spec is not None:
                desired[name] = spec
            statuses["Deployment", name] = (_companion_conditions(spec, seen.get(name), process), {})
        return desired

    def _streams_and_views(self, applied: Applied, statuses: dict[Any, Any]) -> None:
        for name, stream in applied.streams.items():
            version, broken = None, None
            try:
                version = compile_contract(stream).version
            except InvalidContract as error:
                broken = str(error)
            conditions = stream_plan.conditions(
                stream, generation=applied.generation("EventStream", name), broken=broken
            )
            statuses["EventStream", name] = (conditions, {"contractVersion": version})
        for name, view in applied.views.items():
            version, broken = None, None
            found = applied.streams.get(view.spec.source_ref.name)
            if found is not None:
                try:
                    version = compile_view(view, found).version
                except (InvalidView, InvalidContract) as error:
                    broken = str(error)
            conditions = feature_plan.conditions(
                view,
                generation=applied.generation("FeatureView", name),
                stream_exists=found is not None,
                broken=broken,
            )
            statuses["FeatureView", name] = (conditions, {"version": version})

    def _target_urls(self, applied: Applied) -> dict[str, str | None]:
        urls = dict[str, str | None]()
        for name, target in applied.targets.items():
            service = target.spec.service_ref
            urls[name] = target.spec.url
            if service is not None:
                urls[name] = world.service_url(
                    self.ports, applied.services, applied.processes, service.name, service.port
                )
        return urls

    def _targets(self, applied: Applied, statuses: dict[Any, Any]) -> dict[str, str]:
        urls = self._target_urls(applied)
        for name, target in applied.targets.items():
            missing = [
                f"{secret}/{key}" for secret, key in world.secret_keys(target) if self.secrets.get(secret, key) is None
            ]
            conditions = action_plan.conditions(
                target,
                generation=applied.generation("ActionTarget", name),
                url=urls[name],
                missing_secrets=missing,
                answers=self._answering.get(name, False),
            )
            statuses["ActionTarget", name] = (
                conditions,
                {"address": urls[name], "reachable": self._answering.get(name, False)},
            )
        return {name: url for name, url in urls.items() if url is not None}

    def _dispatcher(self, urls: Mapping[str, str]) -> dict[str, Any]:
        return {
            "databaseUrl": self.postgres.url("pointsman", APP_ROLE),
            "secretsFolder": str(self.home.secrets),
            "owner": "dispatcher",
            "targets": [{**self.applied.targets[name].document(), "url": url} for name, url in sorted(urls.items())],
        }

    def _deployments(
        self, applied: Applied, seen: Mapping[str, Observed], statuses: dict[Any, Any]
    ) -> dict[str, ProcessSpec]:
        assert self.registry is not None
        desired = dict[str, ProcessSpec]()
        for name, deployment in applied.deployments.items():
            known = self.registry.known(name)
            running = {
                digest: _revision_state(self.home, seen[process])
                for digest, process in self._revisions_of(name, seen).items()
            }
            plan = deployment_plan.decide(
                deployment_plan.Observed(
                    deployment=deployment,
                    generation=applied.generation("ModelDeployment", name),
                    wanted=known.pinned,
                    trouble=known.trouble,
                    serving=self._serving.get(name),
                    running=running,
                    in_use=frozenset(
                        model.digest
                        for resolved in self._resolved.values()
                        for model in resolved.models.values()
                        if model.deployment == name
                    ),
                )
            )
            if plan.serve is not None:
                self._serving[name] = plan.serve
            for pinned in plan.run:
                version = pinned.version or self._version_of(name, pinned.digest)
                spec = world.model_spec(
                    self.home, self.ports, deployment, Pinned(version=version, digest=pinned.digest)
                )
                desired[spec.name] = spec
            history = _history(applied.status("ModelDeployment", name), plan.serve)
            answering = sum(each.state == "Answering" for each in running.values())
            statuses["ModelDeployment", name] = (
                plan.conditions,
                {
                    "uri": deployment.spec.model.uri,
                    "version": plan.serve.version if plan.serve else None,
                    "digest": plan.serve.digest if plan.serve else None,
                    "revision": plan.serve.digest.removeprefix("sha256:")[:8] if plan.serve else None,
                    "address": self._model_address(name, plan.serve),
                    "readyReplicas": min(answering, 1),
                    "history": history,
                },
            )
        return desired

    def _revisions_of(self, name: str, seen: Mapping[str, Observed]) -> dict[str, str]:
        """digest → process, of the revisions of a deployment that run."""
        assert self.registry is not None
        digests = {each.digest for each in (self.registry.known(name).pinned, self._serving.get(name)) if each}
        digests |= {
            model.digest
            for resolved in self._resolved.values()
            for model in resolved.models.values()
            if model.deployment == name
        }
        processes = {digest: world.model_process(name, digest) for digest in digests}
        return {digest: process for digest, process in processes.items() if process in seen}

    def _version_of(self, name: str, digest: str) -> str:
        for resolved in self._resolved.values():
            for model in resolved.models.values():
                if (model.deployment, model.digest) == (name, digest):
                    return model.version
        return "0"

    def _model_address(self, name: str, serve: Pinned | None) -> str | None:
        return None if serve is None else world.model_url(self.ports, world.model_process(name, serve.digest))

    def _graphs(self, applied: Applied, statuses: dict[Any, Any]) -> dict[str, ProcessSpec]:
        desired = dict[str, ProcessSpec]()
        for gone in self._resolved.keys() - applied.graphs.keys():
            del self._resolved[gone]
        for name, graph in applied.graphs.items():
            needs = self._needs(graph, statuses)
            resolved, problems = self._resolve(graph, applied)
            plan = graph_plan.decide(
                graph_plan.Observed(
                    graph=graph,
                    generation=applied.generation("DecisionGraph", name),
                    needs=needs,
                    problems=problems,
                    revision=resolved.revision if resolved is not None else None,
                    host=self._hosts.get(name, HostState(running=False, answering=False)),
                )
            )
            if resolved is not None and not problems:
                world.write_private(world.graph_config(self.home, name), self._host_config(name, resolved))
                self._resolved.setdefault(name, resolved)
            if plan.switch and resolved is not None and name not in self._switching:
                self._switching[name] = asyncio.create_task(self._switch(name, resolved))
            if plan.run and name in self._resolved:
                latest = resolved if resolved is not None and not problems else self._resolved[name]
                desired[world.graph_process(name)] = world.graph_spec(self.home, self.ports, latest)
            host = self._hosts.get(name)
            statuses["DecisionGraph", name] = (
                plan.conditions,
                {
                    "revision": host.revision if host else None,
                    "address": f"{world.graph_url(self.ports, name)}/decisions",
                    "runtime": graph.spec.runtime.type,
                },
            )
        return desired

    def _needs(self, graph: DecisionGraph, statuses: Mapping[Any, Any]) -> list[Need]:
        named = [("EventStream", graph.spec.event_stream_ref.name)]
        for node in graph.spec.nodes:
            if node.features is not None:
                named.append(("FeatureView", node.features.view_ref.name))
            if node.model is not None:
                named.append(("ModelDeployment", node.model.deployment_ref.name))
        named += [("ActionTarget", action.target_ref.name) for action in graph.spec.actions]
        needs = list[Need]()
        for kind, name in dict.fromkeys(named):
            found = statuses.get((kind, name))
            state = None
            if found is not None:
                state = next(each.status for each in found[0] if each.type == "Ready")
            needs.append(Need(kind=kind, name=name, ready=cast(Literal["True", "False", "Unknown"] | None, state)))
        return needs

    def _resolve(self, graph: DecisionGraph, applied: Applied) -> tuple[ResolvedGraph | None, list[GraphProblem]]:
        """The graph with what serves now; None while something it refers to is not there or serves nothing."""
        spec = graph.spec
        stream = applied.streams.get(spec.event_stream_ref.name)
        views = [applied.views.get(node.features.view_ref.name) for node in spec.nodes if node.features is not None]
        targets = [applied.targets.get(action.target_ref.name) for action in spec.actions]
        models = dict[str, ResolvedModel]()
        for node in spec.nodes:
            if node.model is None:
                continue
            name = node.model.deployment_ref.name
            pinned = self._serving.get(name)
            if pinned is None or name not in applied.deployments:
                return None, []
            models[node.name] = ResolvedModel(
                deployment=name,
                name=name,
                version=pinned.version,
                digest=pinned.digest,
                folder=str(self.home.models / pinned.digest.removeprefix("sha256:")),
                placement=node.model.placement,
                url=world.model_url(self.ports, world.model_process(name, pinned.digest)),
            )
        if stream is None or None in views or None in targets:
            return None, []
        resolved = resolve(
            graph=graph,
            stream=stream,
            views=cast(list[FeatureView], views),
            targets=list({each.name: each for each in cast(list[ActionTarget], targets)}.values()),
            models=models,
        )
        if resolved.revision not in self._checked:
            self._checked[resolved.revision] = self._problems(resolved)
        return resolved, self._checked[resolved.revision]

    def _problems(self, resolved: ResolvedGraph) -> list[GraphProblem]:
        try:
            compile_graph(resolved, {node: self._artifact(model) for node, model in resolved.models.items()})
        except InvalidGraph as error:
            return list(error.problems)
        except (InvalidContract, ArtifactRefused) as error:
            return [GraphProblem(path="spec", message=str(error), hint="")]
        return []

    def _artifact(self, model: ResolvedModel) -> ModelArtifact:
        if model.digest not in self._artifacts:
            self._artifacts[model.digest] = open_artifact(Path(model.folder), expected_digest=model.digest)
        return self._artifacts[model.digest]

    # carry out

    def _host_config(self, name: str, resolved: ResolvedGraph) -> dict[str, Any]:
        token = self.secrets.get("pointsman-control", "token")
        if token is None:
            token = secrets.token_urlsafe(32)
            self.secrets.put("pointsman-control", {"token": token})
        return {
            "databaseUrl": self.postgres.url("pointsman", APP_ROLE),
            "host": world.LOOPBACK,
            "port": self.ports.of(world.graph_process(name)),
            "controlToken": token,
            "rayTempDir": str(self.home.ray(name)),
            "resolved": resolved.model_dump(mode="json", by_alias=True, exclude_none=True),
        }

    async def _switch(self, name: str, resolved: ResolvedGraph) -> None:
        """Tell a host to switch; where it refuses, it goes on and is asked again at a later tick."""
        try:
            token = self.secrets.get("pointsman-control", "token")
            answer = await self._client.put(
                f"{world.graph_url(self.ports, name)}/-/revision",
                content=resolved.to_json(),
                headers={"authorization": f"Bearer {token}"},
                timeout=60,
            )
            if answer.status_code == 200:
                self._resolved[name] = resolved
                log.info("switched", graph=name, revision=resolved.revision)
            else:
                log.warning("a host refused to switch", graph=name, status=answer.status_code, answer=answer.text[:300])
        except httpx2.HTTPError as error:
            log.warning("a host could not be told to switch", graph=name, error=repr(error))
        finally:
            del self._switching[name]
            self.wake.set()

    async def _load_objects(self) -> None:
        store = await asyncio.to_thread(connect, self.postgres.url("pointsman", APP_ROLE))
        self._store, self._objects = store, ObjectStore(store)
        self.applied = Applied.parse(await asyncio.to_thread(self._objects.all))
        for name in self.applied.deployments:
            status = self.applied.status("ModelDeployment", name)
            if status.get("digest") and name not in self._serving:
                self._serving[name] = Pinned(version=status["version"], digest=status["digest"])

    async def _write_statuses(self, applied: Applied, statuses: Mapping[Key, tuple[Sequence[Condition], Any]]) -> None:
        """Write each status that differs from what is stored; nothing otherwise."""
        async with self._writing:
            if self._objects is None or applied is not self.applied:
                return
            changed = dict[Key, dict[str, Any]]()
            for key, (conditions, fields) in statuses.items():
                stored = applied.stored[key]
                before = from_dicts(stored.status.get("conditions", ()))
                status = {
                    "observedGeneration": stored.generation,
                    **{name: value for name, value in fields.items() if value is not None},
                    "conditions": to_dicts(merge(before, conditions, datetime.now(UTC))),
                }
                if status != stored.status:
                    changed[key] = status
            for key, status in changed.items():
                await asyncio.to_thread(self._objects.write_status, key, status)
            if changed:
                self.applied = Applied.parse(await asyncio.to_thread(self._objects.all))

    # what the control socket asks

    async def apply(self, documents: Sequence[Resource | Companion], *, dry_run: bool) -> list[dict[str, str]]:
        """Write documents, keep secrets as files, and wake up."""
        async with self._writing:
            if self._objects is None:
                raise psycopg.OperationalError("the decision store is away")
            results = await asyncio.to_thread(
                self._objects.apply, documents, dict(self.applied.stored), dry_run=dry_run
            )
            if not dry_run:
                for each in documents:
                    if isinstance(each, Companion) and each.kind == "Secret":
                        self.secrets.put(each.name, read_secret(each.document))
                self.applied = Applied.parse(await asyncio.to_thread(self._objects.all))
        self.wake.set()
        return [{"kind": stored.kind, "name": stored.name, "result": result} for stored, result in results]

    async def delete(self, kind: str, name: str) -> None:
        """Remove an object; its processes end at the next reconcile."""
        async with self._writing:
            if self._objects is None:
                raise psycopg.OperationalError("the decision store is away")
            await asyncio.to_thread(self._objects.delete, (kind, name))
            if kind == "Secret":
                self.secrets.delete(name)
            self._serving.pop(name, None) if kind == "ModelDeployment" else None
            self.applied = Applied.parse(await asyncio.to_thread(self._objects.all))
        self.wake.set()

    def status(self) -> dict[str, Any]:
        """What `GET /v1/status` answers."""
        components = [
            {
                "name": each.name,
                "state": each.state.value,
                "pid": each.pid,
                "restarts": each.restarts,
                "address": each.address,
                "message": each.last_exit or "",
            }
            for each in self.table.observed().values()
        ]
        objects = [
            _object_state(each) for each in self.applied.stored.values() if each.kind not in ("Service", "Secret")
        ]
        waiting = self.booting or next(
            (f"{each['name']}: {each['state']}" for each in components if each["state"] != "Ready"),
            None,
        )
        waiting = waiting or next(
            (f"{each['kind']} {each['name']}: {each['message'] or each['reason']}" for each in objects
             if each["ready"] != "True"),
            None,
        )  # fmt: skip
        return {
            "ready": waiting is None and len(components) > 1,
            "waitingFor": waiting,
            "instance": self.home.instance,
            "version": __version__,
            "home": str(self.home.root),
            "components": components,
            "objects": objects,
        }

    @property
    def mlflow_url(self) -> str:
        return f"http://{world.LOOPBACK}:{self.ports.of('mlflow')}"

    def _mlflow_spec(self) -> ProcessSpec:
        return mlflow_spec(self.home, self.postgres, self.ports.of("mlflow"))

    def _postgres_spec(self) -> ProcessSpec:
        async def ready() -> bool:
            return await asyncio.to_thread(self.postgres.answers)

        return ProcessSpec(
            name="postgres",
            command=self.postgres.command(),
            user=self.postgres.user,
            folder=Path("/"),
            ready=ready,
            stop_signal=signal.SIGINT,
            stop_seconds=15,
            address=str(self.postgres.sockets),
        )


def _revision_state(home: Home, process: Observed) -> RevisionState:
    if process.state is State.READY:
        return RevisionState(state="Answering")
    if process.restarts >= CRASHES_TO_FAIL:
        cause = f"{process.last_exit}: {_last_words(home, process.name)}"
        return RevisionState(state="Failing", cause=cause)
    return RevisionState(state="Starting")


def _last_words(home: Home, process: str) -> str:
    lines = last_lines(home.logs, process, 1)
    return lines[-1][:300] if lines else "its log is empty"


def _companion_conditions(
    spec: ProcessSpec | None, seen: Observed | None, process: LocalProcess
) -> tuple[Condition, ...]:
    from pointsman.api.reasons import Reason

    if spec is None and process.running:
        secret = ", ".join(sorted({f"{name}/{key}" for name, key in process.secrets.values()}))
        found = Condition(
            type="Running", status="False", reason=Reason.SecretNotFound, message=f"no such secret: {secret}: apply it"
        )
    elif spec is None:
        found = Condition(type="Running", status="True", reason=Reason.Suspended, message="it is scaled to nothing")
    elif seen is not None and seen.state is State.READY:
        found = Condition(type="Running", status="True", reason=Reason.Ready)
    else:
        message = seen.last_exit if seen is not None and seen.last_exit else "it is starting"
        found = Condition(type="Running", status="Unknown", reason=Reason.Progressing, message=message)
    return stream_plan.finish([found], 1)


def _history(status: Mapping[str, Any], serve: Pinned | None) -> list[dict[str, Any]]:
    """Which version served from when, the newest last."""
    history = list(status.get("history", ()))
    if serve is not None and (not history or history[-1]["digest"] != serve.digest):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        history.append({"version": serve.version, "digest": serve.digest, "servedFrom": now})
    return history[-50:]


def _object_state(stored: StoredObject) -> dict[str, Any]:
    conditions = stored.status.get("conditions", ())
    ready = next((each for each in conditions if each["type"] == "Ready"), None)
    if ready is None or stored.status.get("observedGeneration") != stored.generation:
        ready = {"status": "Unknown", "reason": "Progressing", "message": "it has not been looked at yet"}
    return {
        "kind": stored.kind,
        "name": stored.name,
        "ready": ready["status"],
        "reason": ready["reason"],
        "message": ready["message"],
    }


def main() -> int:
    """Supervise a home until told to stop."""
    parser = argparse.ArgumentParser(prog="pointsman.local.supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    home = Home(parser.parse_args().home).create()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=(home.logs / "supervisor.log").open("a", buffering=1)),
    )
    try:
        with home.held():
            asyncio.run(Supervisor(home).run())
    except HomeInUse as error:
        print(f"pointsman: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except asyncio.CancelledError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
