"""The applied objects, parsed: one frozen picture that a reconcile works on. Made anew only when something was applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import Companion, InvalidDocuments
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.meta import Resource
from pointsman.api.model_deployment import ModelDeployment
from pointsman.graphs.documents import GraphDocuments, by_name
from pointsman.local.companions import CompanionRefused, LocalProcess, LocalService, read_process, read_service
from pointsman.local.objects import Key, StoredObject


@dataclass(frozen=True, kw_only=True)
class Applied(GraphDocuments):
    """The applied objects by kind and name.

    `broken` says why a stored document cannot be read any more, as after an upgrade: it is left alone and reported.
    """

    stored: Mapping[Key, StoredObject]
    deployments: Mapping[str, ModelDeployment]
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

        return cls(
            stored=stored,
            streams=by_name(EventStream, parsed.values()),
            views=by_name(FeatureView, parsed.values()),
            deployments=by_name(ModelDeployment, parsed.values()),
            targets=by_name(ActionTarget, parsed.values()),
            graphs=by_name(DecisionGraph, parsed.values()),
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
