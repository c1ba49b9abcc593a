"""What an installation of the operator can be told. Read once, at the start; every field has a default that works."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any, get_type_hints

PREFIX = "POINTSMAN_"
RELEASE = version("pointsman")


class SettingsError(Exception):
    """A variable of the environment has a value that is not one; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is the environment's variable of its name in capitals after POINTSMAN_, such as POINTSMAN_NAMESPACE."""

    namespace: str = "pointsman-system"
    """The operator's own namespace: its Lease and the webhook's certificate are there"""
    registry_url: str = "http://mlflow.pointsman-system.svc:5000"
    """MLflow's address, for the operator and for the pods that fetch models"""
    registry_poll_seconds: float = 10.0
    """Between two questions for where an alias points"""
    registry_tag: str = "pointsman.dev/{namespace}.{name}"
    """The tag that tells in the registry what has become of a version here; clusters that share one need a name in it. Empty:
    nothing is written there"""
    resync_seconds: float = 240.0
    """Between two looks at an object of which no event has come; nothing is written when nothing differs"""
    drain_seconds: float = 30.0
    """How long a revision lives on that traffic has left, for requests that are under way"""
    probe_address: str = "http://{service}.{namespace}.svc:{port}"
    """Where a revision is asked for its probe inference"""
    probe_seconds: float = 5.0
    """How long the answer to a probe inference may take"""
    graph_image: str = f"ghcr.io/pointsman/graph:{RELEASE}"
    """What hosts graphs, and runs their API, dispatcher and migrations; a graph's own image is for its host alone"""
    graph_pull_policy: str = ""
    """When that image is pulled. Empty: as Kubernetes does by itself"""
    graph_pull_secrets: str = ""
    """The Secrets with which it is pulled, in each namespace, separated by commas"""
    graph_gateway: str = ""
    """The Gateway that graphs and APIs are reached through, as namespace/name. Empty: they are reached inside the cluster alone"""
    graph_gateway_pods: str = ""
    """The namespace in which what answers for the Gateway runs. Empty: the Gateway's own"""
    graph_hostname: str = ""
    """The host of their routes, in which {namespace} stands for the namespace. Empty: any host"""
    graph_redis: str = ""
    """Where Ray's heads keep what they must not forget, as host:port. Empty: one that ends forgets, and the graph starts anew from
    the store"""
    graph_redis_secret: str = ""
    """Where its password lies in each namespace, as Secret/key. Empty: it has none"""
    graph_store_ports: str = "5432"
    """Where PostgreSQL listens, separated by commas: its address is a secret, and NetworkPolicies name ports"""
    graph_address: str = "http://{service}.{namespace}.svc:{port}"
    """Where hosts and dispatchers are asked how they are"""
    metrics_port: int = 8081
    """Prometheus metrics and health, on all addresses; 0 takes a free one, which the log names"""
    webhook_port: int = 9443
    """Where the API server asks about what is applied, on all addresses; 0 takes a free one, which the log names. To have no
    webhook, delete the ValidatingWebhookConfiguration"""
    webhook_host: str = "pointsman-operator-webhook.{namespace}.svc"
    """The host by which the API server knows the webhook: its certificate is for this"""
    webhook_certificate_seconds: float = 7 * 24 * 3600.0
    """How long the webhook's certificate is valid; it is renewed after two thirds of that"""
    leader_election: bool = True
    """False where there is but one replica, and nothing else can start another"""
    lease_seconds: float = 10.0
    """After so long without a sign of the leader another replica goes on; it takes a sixth longer to notice"""


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives. Raises SettingsError."""
    types, found = get_type_hints(Settings), dict[str, Any]()
    for each in fields(Settings):
        variable = PREFIX + each.name.upper()
        if variable in environment:
            found[each.name] = _read(variable, environment[variable], types[each.name])
    return Settings(**found)


def _read(variable: str, text: str, type_: type) -> object:
    if type_ is bool:
        if text.lower() not in ("true", "false"):
            raise SettingsError(f'{variable}: "{text}" is neither true nor false')
        return text.lower() == "true"
    try:
        value = type_(text)
    except ValueError:
        raise SettingsError(f'{variable}: "{text}" is no number') from None
    if isinstance(value, int | float) and value < 0:
        raise SettingsError(f'{variable}: "{text}" is less than 0')
    return value
