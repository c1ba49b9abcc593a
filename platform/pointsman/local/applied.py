"""The applied objects, parsed: one frozen picture that a reconcile works on. Made anew only when something was applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import Companion, InvalidDocuments
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import Resource
from pointsman.api.model_deployment import ModelDeployment
from pointsman.local.companions import CompanionRefused, LocalProcess, LocalService, read_process, read_service
from pointsman.local.objects import Key, StoredObject

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The applied objects by kind and name.

    `broken` says why a stored document cannot be read any more, as after an upgrade: it is left alone and reported.
    """

    stored: Mapping[Key, StoredObject]
    streams: Mapping[str, EventStream]
    views: Mapping[str, FeatureView]
    deployments: Mapping[str, ModelDeployment]
    targets: Mapping[str, ActionTarget]
    graphs: Mapping[str, DecisionGraph]
    processes: Mapping[str, LocalProcess]
    services: Mapping[str, LocalService]
    broken: Mapping[Key, str]

    @classmethod
    def parse(cls, stored: Mapping[Key, StoredObject]) -> Applied:
        """Parse what is stored."""
        parsed, broken = dict[Key, Resource | Companion](), dict[Key, str]()
        processes, services = dict[str, LocalProcess](), dict[str, LocalService]()
        for key, each in stored.items():
            try:
                parsed[key] = found = each.resource()
                if isinstance(found, Companion) and found.kind == "Deployment":
                    processes[found.name] = read_process(found.document)
                elif isinstance(found, Companion) and found.kind == "Service":
                    services[found.name] = read_service(found.document)
            except (InvalidDocuments, CompanionRefused) as error:
                broken[key] = str(error).replace("request[0]: ", "")

        def of(kind: type[R]) -> dict[str, R]:
            return {name: each for (_, name), each in parsed.items() if isinstance(each, kind)}

        return cls(
            stored=stored,
            streams=of(EventStream),
            views=of(FeatureView),
            deployments=of(ModelDeployment),
            targets=of(ActionTarget),
            graphs=of(DecisionGraph),
            processes=processes,
            services=services,
            broken=broken,
        )

    def with_statuses(self, statuses: Mapping[Key, Mapping[str, Any]]) -> Applied:
        """The same objects, some with another status."""
        changed = {key: replace(self.stored[key], status=dict(status)) for key, status in statuses.items()}
        return replace(self, stored={**self.stored, **changed})

    def generation(self, kind: str, name: str) -> int:
        return self.stored[kind, name].generation

    def status(self, kind: str, name: str) -> Mapping[str, Any]:
        return self.stored[kind, name].status


NOTHING = Applied.parse({})
