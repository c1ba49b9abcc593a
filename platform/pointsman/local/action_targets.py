"""Action targets: where each is reached, what the dispatcher tells of it; and the one dispatcher of all."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from pointsman.actions import plan as target_plan
from pointsman.api.action_target import ActionTarget
from pointsman.local import world
from pointsman.local.applied import Applied
from pointsman.local.companion_processes import CompanionProcesses
from pointsman.local.files import write_private
from pointsman.local.home import Home
from pointsman.local.objects import Key
from pointsman.local.part import Part, is_failing
from pointsman.local.ports import Ports
from pointsman.local.probes import Probes
from pointsman.local.processes import Observed, State
from pointsman.planning import Told

log = structlog.get_logger()


class ActionTargets:
    """The targets of one home. `database_url` is the dispatcher's."""

    def __init__(
        self, home: Home, ports: Ports, companions: CompanionProcesses, probes: Probes, *, database_url: str
    ) -> None:
        self._home, self._ports = home, ports
        self._companions, self._probes, self._database_url = companions, probes, database_url

    @property
    def dispatcher(self) -> str:
        """Where the dispatcher tells what it sees."""
        return world.dispatcher_url(self._ports)

    def urls(self, applied: Applied) -> dict[str, str]:
        """Where each target is reached; one whose Service finds nothing is left out."""
        reached = {name: self._reached(applied, target) for name, target in applied.targets.items()}
        return {name: url for name, (_, url) in reached.items() if url is not None}

    def decide(self, applied: Applied, seen: Mapping[str, Observed]) -> Part:
        """The dispatcher, where there is any target, and what the targets' statuses are to say."""
        told = dict[Key, Told]()
        for name, target in applied.targets.items():
            process, url = self._reached(applied, target)
            told["ActionTarget", name] = target_plan.decide(
                target_plan.Observed(
                    target=target,
                    generation=applied.generation("ActionTarget", name),
                    url=url,
                    report=self._probes.target(name),
                    starting=_is_starting(seen.get(process) if process is not None else None),
                )
            )
        if not applied.targets:
            return Part(processes={}, told=told)
        self._configure(applied)
        spec = world.dispatcher_spec(self._home, self._ports, self._database_url)
        return Part(processes={"dispatcher": spec}, told=told)

    def _reached(self, applied: Applied, target: ActionTarget) -> tuple[str | None, str | None]:
        """(the process of ours behind it, its address), each None where there is none."""
        service = target.spec.service_ref
        if service is None:
            return None, target.spec.url
        return self._companions.behind(applied, service.name, service.port) or (None, None)

    def _configure(self, applied: Applied) -> None:
        urls = self.urls(applied)
        settings = {
            "secretsFolder": str(self._home.secrets),
            "owner": "dispatcher",
            "controlPort": self._ports.of("dispatcher"),
            "targets": [{**applied.targets[name].document(), "url": url} for name, url in sorted(urls.items())],
        }
        if write_private(world.dispatcher_config(self._home), settings):
            log.info("dispatcher configured", targets=sorted(urls))


def _is_starting(process: Observed | None) -> bool:
    return process is not None and process.state is not State.READY and not is_failing(process)
