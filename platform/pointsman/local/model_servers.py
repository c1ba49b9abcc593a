"""Model deployments: which revision of each serves, and the server processes for it, the next one and those still in use.

A runtime with an environment of its own is installed first; the server that ran before goes on until it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from pointsman.deployments import plan
from pointsman.deployments.history import newest
from pointsman.deployments.plan import Pinned, RevisionState, RuntimeState
from pointsman.local import model_runtimes, world
from pointsman.local.applied import Applied
from pointsman.local.home import Home
from pointsman.local.objects import Key
from pointsman.local.part import Part, cause_of, is_failing
from pointsman.local.ports import Ports
from pointsman.local.processes import Observed, ProcessSpec, Restart, State
from pointsman.local.registry_watch import RegistryWatch
from pointsman.planning import Told
from pointsman.registry.port import lasting


class ModelServers:
    """The model servers of one home. `serving` holds what serves, by deployment; `answering` those that answer."""

    def __init__(self, home: Home, ports: Ports, registry: RegistryWatch) -> None:
        self._home, self._ports, self._registry = home, ports, registry
        self.serving = dict[str, Pinned]()
        self.answering = frozenset[str]()
        self._wanted = dict[str, ProcessSpec]()

    def remember(self, applied: Applied) -> None:
        """Take up what served before a restart, and what was to serve next, where the files are still there."""
        for name, deployment in applied.deployments.items():
            status = applied.status("ModelDeployment", name)
            if all(status.get(field) for field in ("uri", "version", "digest")):
                pinned = Pinned(uri=status["uri"], version=status["version"], digest=status["digest"])
                if world.model_folder(self._home, pinned.digest).is_dir():
                    self.serving[name] = pinned
            proposed = newest(status.get("history", ()))
            if proposed is not None and proposed.get("uri") == deployment.spec.model.uri:
                uri, version, digest = (str(proposed[field]) for field in ("uri", "version", "digest"))
                self._registry.remember(name, Pinned(uri=uri, version=version, digest=digest))

    def decide(
        self, applied: Applied, seen: Mapping[str, Observed], in_use: Mapping[str, Iterable[Pinned]], *, now: datetime
    ) -> Part:
        """Server processes and statuses. `in_use` is what graphs serve with, by deployment."""
        specs, told, answering = dict[str, ProcessSpec](), dict[Key, Told](), set[str]()
        for gone in self.serving.keys() - applied.deployments.keys():
            del self.serving[gone]
        for name, deployment in applied.deployments.items():
            known, used = self._registry.known(name), tuple(in_use.get(name, ()))
            serving, type_ = self.serving.get(name), deployment.spec.runtime.type
            abilities = model_runtimes.abilities(type_)
            if type_ in abilities.runtimes and (environment := model_runtimes.environment_process(type_)) is not None:
                specs[environment] = model_runtimes.environment_spec(type_)
            runtime = self._runtime(type_, seen)
            decided = plan.decide(
                plan.Observed(
                    deployment=deployment,
                    generation=applied.generation("ModelDeployment", name),
                    wanted=known.pinned,
                    trouble=known.trouble,
                    serving=serving,
                    running=self._states(name, seen, (known.pinned, serving, *used)),
                    in_use=used,
                    abilities=abilities,
                    history=tuple(applied.status("ModelDeployment", name).get("history", ())),
                    runtime=runtime,
                ),
                now,
            )
            if decided.serve is None:
                self.serving.pop(name, None)
            else:
                self.serving[name] = decided.serve
            if decided.answers:
                answering.add(name)
            for pinned in decided.run:
                spec = model_runtimes.server_spec(self._home, self._ports, deployment, pinned)
                before = self._wanted.get(spec.name)
                if runtime is None:
                    specs[spec.name] = spec
                elif before is not None:
                    specs[spec.name] = before
            told["ModelDeployment", name] = self._with_address(name, decided)
        self.answering = frozenset(answering)
        self._wanted = {name: spec for name, spec in specs.items() if spec.restart is not Restart.ON_FAILURE}
        return Part(processes=specs, told=told)

    def references(self) -> dict[str, str]:
        """By deployment, the reference that goes on meaning what serves."""
        found = {name: lasting(pinned.uri, pinned.version) for name, pinned in self.serving.items()}
        return {name: reference for name, reference in found.items() if reference is not None}

    def url(self, name: str, pinned: Pinned) -> str:
        """Where a revision answers Open Inference Protocol over HTTP."""
        return world.model_url(self._ports, world.model_process(name, pinned.digest))

    def _runtime(self, type_: str, seen: Mapping[str, Observed]) -> RuntimeState | None:
        """None where the runtime is here; what stands in its way where it is not."""
        environment = model_runtimes.environment_process(type_)
        if environment is None:
            return None
        process = seen.get(environment)
        if process is None:
            return RuntimeState(state="Installing")
        if process.state is State.DONE:
            return None
        cause = cause_of(process, self._home.logs)
        return RuntimeState(state="Failing" if is_failing(process) else "Installing", cause=cause)

    def _states(
        self, name: str, seen: Mapping[str, Observed], pins: Iterable[Pinned | None]
    ) -> dict[str, RevisionState]:
        states = dict[str, RevisionState]()
        for digest in {each.digest for each in pins if each is not None}:
            process = seen.get(world.model_process(name, digest))
            if process is not None:
                states[digest] = self._state(process)
        return states

    def _state(self, process: Observed) -> RevisionState:
        if process.state is State.READY:
            return RevisionState(state="Answering")
        cause = cause_of(process, self._home.logs)
        return RevisionState(state="Failing" if is_failing(process) else "Starting", cause=cause)

    def _with_address(self, name: str, decided: plan.Plan) -> Told:
        url = None if decided.serve is None else self.url(name, decided.serve)
        fields = {**decided.told.fields, "url": url, "address": url, "readyReplicas": int(decided.answers)}
        return Told(conditions=decided.told.conditions, fields=fields)
