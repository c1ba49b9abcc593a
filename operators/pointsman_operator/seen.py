"""What the operator sees of the cluster for one ModelDeployment, and what it wants there: values, without a client in reach."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pointsman.deployments.plan import Pinned, Unresolved

Raw = Mapping[str, Any]
"""An object of the API, as it is"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of object, and where the API has it. `plural` is its name in addresses."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def path(self) -> str:
        """The root of its addresses: /api/v1 for the core group, else /apis/<group>/<version>."""
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"


MODEL_DEPLOYMENT = Kind(name="ModelDeployment", api_version="pointsman.dev/v1alpha1", plural="modeldeployments")
DECISION_GRAPH = Kind(name="DecisionGraph", api_version="pointsman.dev/v1alpha1", plural="decisiongraphs")
ACTION_TARGET = Kind(name="ActionTarget", api_version="pointsman.dev/v1alpha1", plural="actiontargets")
EVENT_STREAM = Kind(name="EventStream", api_version="pointsman.dev/v1alpha1", plural="eventstreams")
FEATURE_VIEW = Kind(name="FeatureView", api_version="pointsman.dev/v1alpha1", plural="featureviews")
INFERENCE_SERVICE = Kind(name="InferenceService", api_version="serving.kserve.io/v1beta1", plural="inferenceservices")
SERVING_RUNTIME = Kind(name="ServingRuntime", api_version="serving.kserve.io/v1alpha1", plural="servingruntimes")
CLUSTER_SERVING_RUNTIME = Kind(
    name="ClusterServingRuntime",
    api_version="serving.kserve.io/v1alpha1",
    plural="clusterservingruntimes",
    namespaced=False,
)
RAY_SERVICE = Kind(name="RayService", api_version="ray.io/v1", plural="rayservices")
DEPLOYMENT = Kind(name="Deployment", api_version="apps/v1", plural="deployments")
REPLICA_SET = Kind(name="ReplicaSet", api_version="apps/v1", plural="replicasets")
POD = Kind(name="Pod", api_version="v1", plural="pods")
EVENT = Kind(name="Event", api_version="v1", plural="events")
JOB = Kind(name="Job", api_version="batch/v1", plural="jobs")
SECRET = Kind(name="Secret", api_version="v1", plural="secrets")
CONFIG_MAP = Kind(name="ConfigMap", api_version="v1", plural="configmaps")
SERVICE = Kind(name="Service", api_version="v1", plural="services")
AUTOSCALER = Kind(name="HorizontalPodAutoscaler", api_version="autoscaling/v2", plural="horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind(name="PodDisruptionBudget", api_version="policy/v1", plural="poddisruptionbudgets")
NETWORK_POLICY = Kind(name="NetworkPolicy", api_version="networking.k8s.io/v1", plural="networkpolicies")
HTTP_ROUTE = Kind(name="HTTPRoute", api_version="gateway.networking.k8s.io/v1", plural="httproutes")
GRPC_ROUTE = Kind(name="GRPCRoute", api_version="gateway.networking.k8s.io/v1", plural="grpcroutes")
POD_MONITOR = Kind(name="PodMonitor", api_version="monitoring.coreos.com/v1", plural="podmonitors")

MADE = (
    INFERENCE_SERVICE,
    SERVICE,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    HTTP_ROUTE,
    GRPC_ROUTE,
    POD_MONITOR,
)
"""What the operator makes of a ModelDeployment, in the order in which it is written"""


@dataclass(frozen=True, kw_only=True)
class Child:
    """An object that is wanted: the fields that are ours, and no others."""

    kind: Kind
    name: str
    document: Raw


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A Deployment whose number of replicas is ours to set."""

    deployment: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What the cluster has beside Kubernetes. `kserve` are the API versions that it serves of InferenceService; none: absent.
    `kserve_release` and `kuberay_release` are None where they are not to be told.
    """

    kserve: tuple[str, ...] = ()
    kserve_release: str | None = None
    kuberay: bool = False
    kuberay_release: str | None = None
    gateway: bool = False
    monitors: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a revision last said to its probe inference: nothing yet, an answer, or why there was none."""

    answered: bool
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What is known of the model that a deployment refers to: the pin's parts, or why there is none."""

    uri: str
    version: str | None = None
    digest: str | None = None
    source: str = ""
    trouble: Unresolved | None = None


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What is seen at one moment of objects that belong together. `objects` holds them by kind; `events` the warnings about
    those, by the object's uid, the oldest first; `largest` what one node has at most of each resource, where a pod finds none.
    """

    objects: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    events: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    installed: Installed = Installed()
    largest: Mapping[str, str] = field(default_factory=dict)
    now: datetime

    @property
    @abstractmethod
    def namespace(self) -> str:
        """Where they are."""

    @abstractmethod
    def is_ours(self, raw: Raw) -> bool:
        """Whether the object was made for what is reconciled. Labels are for finding; only who owns it says so."""

    def of(self, kind: Kind) -> Sequence[Raw]:
        """The objects of a kind."""
        return self.objects.get(kind.name, ())

    def one(self, kind: Kind, name: str) -> Raw | None:
        """The object of a kind by name."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)


@dataclass(frozen=True, kw_only=True)
class Seen(Objects):
    """All of the cluster that matters for one ModelDeployment, at one moment.

    `runtimes` holds the names of serving runtimes in its namespace and, after a slash, in the cluster; `probes` the last word
    of each InferenceService, by name; `refused` what the API server last said to something that could not be written; `in_use`
    the revisions that graphs call.
    """

    deployment: Raw
    runtimes: frozenset[str] = frozenset()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    refused: Unresolved | None = None
    in_use: tuple[Pinned, ...] = ()

    @property
    def name(self) -> str:
        return str(self.deployment["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.deployment["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        return str(self.deployment["metadata"]["uid"])

    @property
    def status(self) -> Raw:
        found: Raw = self.deployment.get("status") or {}
        return found

    def is_ours(self, raw: Raw) -> bool:
        """Whether this ModelDeployment controls the object."""
        return any(
            owner.get("controller") and owner.get("uid") == self.uid
            for owner in raw["metadata"].get("ownerReferences", ())
        )
