"""What the control socket tells of a running home: its status, and why an object is as it is. Pure over one picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pointsman import __version__
from pointsman.api.conditions import READY
from pointsman.api.reasons import Reason
from pointsman.deployments.versions import of_revision
from pointsman.explained import Line, Standing, Verdict, conditions_of, explained, headed, standing
from pointsman.local.applied import Applied
from pointsman.local.home import Home
from pointsman.local.objects import StoredObject
from pointsman.local.part import cause_of
from pointsman.local.processes import Observed, State, last_lines
from pointsman.local.world import graph_process

WITHOUT_STATUS = frozenset({"Service", "Secret"})
LOG_LINES = 20
"""So many are looked through for the last that says something"""
OF_A_PROCESS = frozenset({Reason.Crashing, Reason.ModelStarting, Reason.HostStarting, Reason.HostFailed})
"""Reasons for which a process is to blame that is not as it should be"""
AS_IT_SHOULD_BE = frozenset({State.READY, State.DONE})


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One picture of a home. `booting` says what is under way before objects are looked at, None after that."""

    home: Home
    applied: Applied
    processes: Mapping[str, Observed]
    booting: str | None

    def status(self) -> dict[str, Any]:
        """What `GET /v1/status` answers. `waitingFor` is the first thing that is not Ready."""
        components = [self._component(each) for each in self.processes.values()]
        objects = [_object(each) for each in self.applied.stored.values() if each.kind not in WITHOUT_STATUS]
        waiting = self._waits_for(components, objects)
        return {
            "ready": waiting is None,
            "waitingFor": waiting,
            "instance": self.home.instance,
            "version": __version__,
            "home": str(self.home.root),
            "components": components,
            "objects": objects,
        }

    def explain(self, kind: str, name: str) -> dict[str, Any]:
        """Why the object is as it is, down to its processes and what they said last. KeyError where there is none."""
        found, what = self.applied.stored[kind, name], f"{kind}/{name}"
        if kind in WITHOUT_STATUS:
            return explained(Line(what=what, state="applied"), Verdict(reason=Reason.Accepted))
        stands = standing(found.status, generation=found.generation)
        processes = self._processes_of(kind, name)
        lines = [self._process(each, stands) for each in processes]
        if kind == "ModelDeployment":
            revisions = (each.name.rpartition("-")[2] for each in processes)
            lines = [
                Line(what=f"revision {revision}", state=of_revision(found.status, revision), below=(line,))
                for revision, line in zip(revisions, lines, strict=True)
            ]
        tree = headed(what, stands, [*conditions_of(found.status), *lines])
        unready = next((each.name for each in processes if each.state not in AS_IT_SHOULD_BE), None)
        more = f"pointsman logs {unready}" if unready is not None else ""
        return explained(tree, Verdict(reason=stands.reason, more=more))

    def _process(self, process: Observed, stands: Standing) -> Line:
        """A process; where it is not as it should be, with what it said last."""
        times = "once" if process.restarts == 0 else f"{process.restarts + 1} times"
        ended = f", ended last by {process.last_exit}" if process.last_exit else ""
        what, state = f"process {process.name}", f"{process.state.value}, started {times}{ended}"
        if process.state in AS_IT_SHOULD_BE:
            return Line(what=what, state=state)
        said = [line for line in last_lines(self.home.logs, process.name, LOG_LINES) if line.strip()]
        return Line(
            what=what,
            state=state,
            mark=stands.mark if stands.reason in OF_A_PROCESS else "",
            below=(Line(what="last log line", state=said[-1].strip()),) if said else (),
        )

    def _component(self, process: Observed) -> dict[str, Any]:
        return {
            "name": process.name,
            "state": process.state.value,
            "pid": process.pid,
            "restarts": process.restarts,
            "address": process.address,
            "message": "" if process.state in AS_IT_SHOULD_BE else cause_of(process, self.home.logs),
        }

    def _waits_for(self, components: list[dict[str, Any]], objects: list[dict[str, Any]]) -> str | None:
        if self.booting is not None:
            return self.booting
        if "mlflow" not in self.processes:  # the first reconcile is still to come
            return "the first reconcile"
        for each in components:
            if each["state"] not in AS_IT_SHOULD_BE and not (
                each["name"] == "mlflow" and self._registry_may_come_later()
            ):
                return _with(f"{each['name']}: {each['state']}", each["message"])
        for each in objects:
            if each["ready"] != "True" and each["reason"] != Reason.AwaitingCertificate:  # that takes a person
                return _with(f"{each['kind']} {each['name']}", each["message"] or each["reason"])
        return None

    def _registry_may_come_later(self) -> bool:
        """After a restart models serve by their pins; the registry, slow to start, is then no reason to wait."""
        starting = self.processes["mlflow"].state is State.STARTING and self.processes["mlflow"].restarts == 0
        return starting and bool(self.applied.deployments)

    def _processes_of(self, kind: str, name: str) -> list[Observed]:
        """What runs for an object; of a deployment every revision that runs."""
        if kind == "DecisionGraph":
            return [each for each in self.processes.values() if each.name == graph_process(name)]
        if kind == "ModelDeployment":
            form = re.compile(rf"model-{re.escape(name)}-[0-9a-f]{{8}}")
            return [each for each in self.processes.values() if form.fullmatch(each.name)]
        wanted = {"Deployment": name, "ActionTarget": "dispatcher"}.get(kind)
        return [each for each in self.processes.values() if each.name == wanted]


def _object(stored: StoredObject) -> dict[str, Any]:
    found = next((each for each in stored.status.get("conditions", ()) if each["type"] == READY), None)
    if found is None or stored.status.get("observedGeneration") != stored.generation:
        found = {"status": "Unknown", "reason": "Progressing", "message": "it has not been looked at yet"}
    return {
        "kind": stored.kind,
        "name": stored.name,
        "ready": found["status"],
        "reason": found["reason"],
        "message": found["message"],
    }


def _with(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text
