"""What the operator sees of one namespace for its graphs, and for what belongs to them. Values, without a client in reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pointsman.deployments.plan import Unresolved
from pointsman.graphs.compile import Signature
from pointsman.models.tensors import ArtifactRefused
from pointsman_operator.seen import (
    ACTION_TARGET,
    CONFIG_MAP,
    DECISION_GRAPH,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    EVENT_STREAM,
    FEATURE_VIEW,
    HTTP_ROUTE,
    JOB,
    NETWORK_POLICY,
    POD_MONITOR,
    RAY_SERVICE,
    SERVICE,
    Kind,
    Objects,
    Raw,
)

DOCUMENTS = (EVENT_STREAM, FEATURE_VIEW, ACTION_TARGET, DECISION_GRAPH)
"""What users write beside ModelDeployments"""
OWNERS = (DECISION_GRAPH, ACTION_TARGET)
"""What the parts of a namespace are made for"""
MADE = (
    NETWORK_POLICY,
    RAY_SERVICE,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    SERVICE,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    POD_MONITOR,
)
"""What the operator makes of them"""


def controller_of(raw: Raw) -> str | None:
    """The uid of what alone an object was made for; None where several own it together."""
    owners = raw["metadata"].get("ownerReferences", ())
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was answered last to a question over HTTP: status and body, or why there was no answer."""

    status: int = 0
    body: Mapping[str, object] = field(default_factory=dict)
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A signature that nobody but the host can tell, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class SeenNamespace(Objects):
    """All of the cluster that matters for the graphs of one namespace, at one moment.

    `objects` holds what users wrote and what was made of it; `deployments` the ModelDeployments; `hosts` the last word of
    every host by its name, `dispatcher` that of the dispatcher; `signatures` what is known of models, by digest; `refused`
    what the API server last said to something that could not be written, by the graph that needs it, or by no name.
    """

    name: str
    deployments: Sequence[Raw] = ()
    hosts: Mapping[str, Answer] = field(default_factory=dict)
    dispatcher: Answer | None = None
    signatures: Mapping[str, Signature | ArtifactRefused | Unknown] = field(default_factory=dict)
    refused: Mapping[str, Unresolved] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.name

    @property
    def owners(self) -> tuple[tuple[Kind, Raw], ...]:
        """The graphs and targets that are not on their way out, whatever stands in them."""
        return tuple(
            (kind, raw) for kind in OWNERS for raw in self.of(kind) if not raw["metadata"].get("deletionTimestamp")
        )

    def is_ours(self, raw: Raw) -> bool:
        """Whether a graph or a target of the namespace owns the object."""
        uids = {each["metadata"]["uid"] for kind in OWNERS for each in self.of(kind)}
        return any(owner.get("uid") in uids for owner in raw["metadata"].get("ownerReferences", ()))
