"""What the control socket tells of a running home: its status, and why an object is as it is. Pure over one picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pointsman import __version__
from pointsman.api.conditions import INFORMATIVE, READY
from pointsman.local.applied import Applied
from pointsman.local.home import Home
from pointsman.local.objects import StoredObject
from pointsman.local.part import cause_of
from pointsman.local.processes import Observed, State, last_lines
from pointsman.local.world import graph_process

WITHOUT_STATUS = frozenset({"Service", "Secret"})
LOG_LINES = 5
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
        """The object, why it is as it is, and what to do next. KeyError where there is none."""
        found = self.applied.stored[kind, name]
        conditions = found.status.get("conditions", ())
        why, following = [_sentence(each) for each in conditions], list[str]()
        if kind not in WITHOUT_STATUS and found.status.get("observedGeneration") != found.generation:
            following.append("wait: the newest spec has not been looked at yet")
        for each in conditions:
            if each["type"] not in INFORMATIVE | {READY} and each["status"] != "True":
                words = each["message"] or each["reason"]
                following.append(words if each["status"] == "False" else f"wait: {words}")
        for process in self._processes_of(kind, name):
            why.append(_process_sentence(process))
            if process.state is not State.READY:
                why += [f"  {line}" for line in last_lines(self.home.logs, process.name, LOG_LINES)]
                following.append(f"`pointsman logs {process.name}` has the rest")
        return {"object": found.whole(), "why": why, "next": following or ["nothing: it is as it should be"]}

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
            if each["ready"] != "True":
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


def _sentence(condition: Mapping[str, Any]) -> str:
    return _with(f"{condition['type']} is {condition['status']}: {condition['reason']}", condition["message"])


def _process_sentence(process: Observed) -> str:
    times = "once" if process.restarts == 0 else f"{process.restarts + 1} times"
    ended = f", ended last by {process.last_exit}" if process.last_exit else ""
    return f'process "{process.name}" is {process.state.value}, started {times}{ended}'


def _with(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text
