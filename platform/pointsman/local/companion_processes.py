"""Runs a plain Deployment as a process, and finds where a Service leads. Secrets reach the process by its environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from operator import itemgetter

from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.local.applied import Applied
from pointsman.local.companions import LocalProcess
from pointsman.local.home import Home
from pointsman.local.objects import Key
from pointsman.local.part import Part, cause_of, is_failing
from pointsman.local.ports import Ports
from pointsman.local.processes import Observed, ProcessSpec, State
from pointsman.local.secrets import SecretStore
from pointsman.local.world import LOOPBACK, listens
from pointsman.planning import Told, judge, set_aside


class CompanionProcesses:
    """The processes of one home that stand for Deployments."""

    def __init__(self, home: Home, ports: Ports, secrets: SecretStore) -> None:
        self._home, self._ports, self._secrets = home, ports, secrets

    def decide(self, applied: Applied, seen: Mapping[str, Observed]) -> Part:
        """A process for each Deployment that has its secrets and is not scaled to nothing."""
        specs, told = dict[str, ProcessSpec](), dict[Key, Told]()
        for name, process in applied.processes.items():
            missing = self._missing(process)
            if process.running and not missing:
                specs[name] = self._spec(process)
            stated = (self._condition(process, missing, seen.get(name)), set_aside(process.sets_aside))
            told["Deployment", name] = Told(
                conditions=judge(
                    (itemgetter(0), itemgetter(1)), stated, generation=applied.generation("Deployment", name)
                ),
                fields={"address": specs[name].address if name in specs else None},
            )
        return Part(processes=specs, told=told)

    def behind(self, applied: Applied, service: str, port: int) -> tuple[str, str] | None:
        """The process that a Service's port leads to, and its address there; None where it finds none."""
        found = applied.services.get(service)
        if found is None or port not in found.ports or not found.selector:
            return None
        for process in applied.processes.values():
            number = process.ports.get(found.ports[port])
            if number is not None and found.selector.items() <= process.labels.items():
                return process.name, self._address(process, number)
        return None

    def _missing(self, process: LocalProcess) -> list[str]:
        needed = sorted({*process.secrets.values()})
        return [f"{secret}/{key}" for secret, key in needed if self._secrets.get(secret, key) is None]

    def _address(self, process: LocalProcess, number: int) -> str:
        return f"http://{LOOPBACK}:{self._ports.of(f'{process.name}/{number}')}"

    def _spec(self, process: LocalProcess) -> ProcessSpec:
        """Ports on one machine are chosen free: a variable named …PORT that holds a container's port gets the chosen one."""
        environment = dict(process.environment)
        for variable, (secret, key) in process.secrets.items():
            environment[variable] = self._secrets.get(secret, key) or ""
        numbers = sorted({*process.ports.values()})
        for number in numbers:
            for variable, value in process.environment.items():
                if variable.endswith("PORT") and value == str(number):
                    environment[variable] = str(self._ports.of(f"{process.name}/{number}"))
        address = self._address(process, numbers[0]) if numbers else None
        folder = self._home.data / process.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        program, *arguments = process.command
        if program in ("python", "python3"):
            program = sys.executable
        return ProcessSpec(
            name=process.name,
            command=(program, *arguments),
            environment=environment,
            folder=folder,
            ready=listens(address) if address else None,
            address=address,
        )

    def _condition(self, process: LocalProcess, missing: list[str], seen: Observed | None) -> Condition:
        if not process.running:
            return Condition(
                type="Running", status="True", reason=Reason.Suspended, message="spec.replicas: 0: nothing runs"
            )
        if missing:
            message = f"no such secret: {', '.join(missing)}: apply a Secret that has it"
            return Condition(type="Running", status="False", reason=Reason.SecretNotFound, message=message)
        if seen is not None and seen.state is State.READY:
            return Condition(type="Running", status="True", reason=Reason.Ready)
        cause = cause_of(seen, self._home.logs) if seen is not None else ""
        if seen is not None and is_failing(seen):
            message = f"it ends again and again: {cause}"
            return Condition(type="Running", status="False", reason=Reason.Crashing, message=message)
        message = f"it is starting{f': {cause}' if cause else ''}"
        return Condition(type="Running", status="Unknown", reason=Reason.Progressing, message=message)
