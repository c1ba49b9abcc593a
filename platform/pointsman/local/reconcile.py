"""One reconcile of the local world: what is applied and what is seen become the processes that are wanted, and statuses.

Written so that it reads in the order in which things depend on each other. The supervisor calls it and carries out the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.graphs.definitions import Definitions
from pointsman.ingest.plan import SOURCES_ELSEWHERE
from pointsman.local import prometheus, world
from pointsman.local.action_targets import ActionTargets
from pointsman.local.applied import Applied
from pointsman.local.companion_processes import CompanionProcesses
from pointsman.local.files import write_private
from pointsman.local.gateway import GATEWAY, Gateway
from pointsman.local.graph_hosts import GraphHosts
from pointsman.local.home import Home
from pointsman.local.model_servers import ModelServers
from pointsman.local.objects import Key
from pointsman.local.part import Part
from pointsman.local.ports import Ports
from pointsman.local.probes import Probes
from pointsman.local.processes import Observed
from pointsman.local.registry_watch import RegistryWatch
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.switching import Switches
from pointsman.planning import Told, judge
from pointsman.registry.port import Registry
from pointsman.registry.write_back import WriteBack


class Reconciler:
    """Everything that one home's reconcile remembers, and what it asks beside it. `changed` wakes the next one up."""

    def __init__(
        self,
        home: Home,
        ports: Ports,
        secrets: SecretStore,
        registry: Registry,
        *,
        database_url: str,
        changed: Callable[[], None],
    ) -> None:
        self._registry = RegistryWatch(registry, models=home.models, changed=changed)
        self._write_back, self._told_of = WriteBack(registry), set[str]()
        self._probes, self._switches = Probes(changed=changed), Switches(changed=changed)
        self._home, self._ports = home, ports
        self._gateway = Gateway(home, ports)
        self._api = world.api_spec(home, ports, database_url)
        self._definitions = Definitions(sources_elsewhere=SOURCES_ELSEWHERE)
        self._companions = CompanionProcesses(home, ports, secrets)
        self._targets = ActionTargets(home, ports, self._companions, self._probes, database_url=database_url)
        self._models = ModelServers(home, ports, self._registry)
        self._graphs = GraphHosts(
            home, ports, secrets, self._models, self._probes, self._switches, database_url=database_url
        )

    def remember(self, applied: Applied) -> None:
        """Take up what served before a restart. Call it once, before the first reconcile."""
        self._models.remember(applied)

    async def decide(self, applied: Applied, seen: Mapping[str, Observed], *, now: datetime) -> Part:
        """What is wanted now. Its order is the order in which processes are started."""
        self._registry.watch(applied.deployments)
        self._tell_the_registry(applied, now)
        definitions = self._definitions.decide(
            applied, self._graphs.sources(), self._graphs.activities(), applied.status
        )
        companions = self._companions.decide(applied, seen)
        targets = self._targets.decide(applied, seen)
        models = self._models.decide(applied, seen, self._graphs.in_use(applied), now=now)
        await self._graphs.prepare()
        told = {**definitions, **targets.told, **models.told}
        graphs = self._graphs.decide(applied, seen, told)
        gateway = self._gateway.decide(self._graphs.routes(), seen)
        doors = {world.API: self._api, GATEWAY: gateway}
        dispatcher = self._targets.dispatcher if applied.targets else None
        self._probes.watch(hosts=self._graphs.urls(), dispatcher=dispatcher)
        self._let_prometheus_read(dispatcher)
        return Part(
            processes={**doors, **companions.processes, **targets.processes, **models.processes, **graphs.processes},
            told={**told, **companions.told, **graphs.told, **_broken(applied)},
        )

    def _let_prometheus_read(self, dispatcher: str | None) -> None:
        key = self._home.secrets.joinpath(*FIRST_KEY)
        api, routes = world.api_url(self._ports), self._graphs.routes()
        found = prometheus.configuration(api=api, dispatcher=dispatcher, routes=routes, key=key)
        write_private(world.prometheus_config(self._home), found)

    def _tell_the_registry(self, applied: Applied, now: datetime) -> None:
        """What has become of the versions, as far as it is in the statuses."""
        tags = {world.registry_tag(name): name for name in applied.deployments}
        for tag, name in tags.items():
            self._write_back.want(tag, applied.status("ModelDeployment", name).get("history", ()))
        for gone in self._told_of - tags.keys():
            self._write_back.end(gone, now)
        self._told_of = set(tags)

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._write_back.close()
        await self._switches.close()
        await self._probes.close()
        await self._registry.close()


def _broken(applied: Applied) -> dict[Key, Told]:
    """What stored documents say that cannot be read any more."""
    return {
        key: Told(conditions=judge((_unreadable,), why, generation=applied.generation(*key)), fields={})
        for key, why in applied.broken.items()
    }


def _unreadable(why: str) -> Condition:
    message = f"it cannot be read by this release: {why}: apply it again, corrected"
    return Condition(type="Valid", status="False", reason=Reason.InvalidSpec, message=message)
