"""Action targets: where each is reached, whether it listens, whether its secrets are there; and the one dispatcher of all."""

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
from pointsman.local.secrets import SecretStore
from pointsman.planning import Told

log = structlog.get_logger()


class ActionTargets:
    """The targets of one home. `database_url` is the dispatcher's."""

    def __init__(
        self,
        home: Home,
        ports: Ports,
        secrets: SecretStore,
        companions: CompanionProcesses,
        probes: Probes,
        *,
        database_url: str,
    ) -> None:
        self._home, self._ports, self._secrets = home, ports, secrets
        self._companions, self._probes, self._database_url = companions, probes, database_url

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
                    missing_secrets=self._missing(target),
                    answer=self._answer(url, seen.get(process) if process is not None else None),
                    approvals_here=world.APPROVALS_HERE,
                )
            )
        if not applied.targets:
            return Part(processes={}, told=told)
        self._configure(applied)
        return Part(processes={"dispatcher": world.dispatcher_spec(self._home, self._ports)}, told=told)

    def _reached(self, applied: Applied, target: ActionTarget) -> tuple[str | None, str | None]:
        """(the process of ours behind it, its address), each None where there is none."""
        service = target.spec.service_ref
        if service is None:
            return None, target.spec.url
        return self._companions.behind(applied, service.name, service.port) or (None, None)

    def _answer(self, url: str | None, process: Observed | None) -> target_plan.Answer:
        listens = None if url is None else self._probes.listens(url)
        if listens:
            return "Answering"
        starting = process is not None and process.state is not State.READY and not is_failing(process)
        return "Starting" if listens is None or starting else "Silent"

    def _missing(self, target: ActionTarget) -> list[str]:
        return [f"{name}/{key}" for name, key in secret_keys(target) if self._secrets.get(name, key) is None]

    def _configure(self, applied: Applied) -> None:
        urls = self.urls(applied)
        settings = {
            "databaseUrl": self._database_url,
            "secretsFolder": str(self._home.secrets),
            "owner": "dispatcher",
            "controlPort": self._ports.of("dispatcher"),
            "targets": [{**applied.targets[name].document(), "url": url} for name, url in sorted(urls.items())],
        }
        if write_private(world.dispatcher_config(self._home), settings):
            log.info("dispatcher configured", targets=sorted(urls))


def secret_keys(target: ActionTarget) -> list[tuple[str, str]]:
    """Every (secret, key) that a target's authentication needs."""
    found = list[tuple[str, str]]()

    def walk(value: object) -> None:
        if not isinstance(value, dict):
            return
        reference = value.get("secretKeyRef")
        if isinstance(reference, dict):
            found.append((reference["name"], reference["key"]))
        for each in value.values():
            walk(each)

    if target.spec.auth is not None:
        walk(target.spec.auth.model_dump(mode="json", by_alias=True, exclude_none=True))
    return found
