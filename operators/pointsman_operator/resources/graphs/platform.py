"""What every graph of an installation is made with: images, addresses, and what the cluster has. Read once from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pointsman_operator.seen import Installed
from pointsman_operator.settings import RELEASE, Settings

RAY_VERSION = "2.60.0"
"""The Ray in the graph image; KubeRay chooses its probes by it, and asks for it where a token is"""

GRAPHS_SET_ASIDE: Mapping[str, str] = MappingProxyType(
    {"spec.runtime.workers.maxReplicas": "as many workers as minReplicas says run all the time"}
)
"""What a cluster does not honour of a graph (path → what that means here)"""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The Gateway that routes are attached to. `pods` is the namespace in which what answers for it runs, where it is another."""

    namespace: str
    name: str
    pods: str | None = None


@dataclass(frozen=True, kw_only=True)
class Redis:
    """Where Ray's head keeps what it must not forget: `address` is `host:port`, the password lies in each namespace's Secret."""

    address: str
    secret: str | None = None
    key: str = "password"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """An installation. What of it enters the pods of a host enters its shape: another image brings a standby up beside."""

    image: str = f"ghcr.io/pointsman/graph:{RELEASE}"
    pull_policy: str | None = None
    pull_secrets: tuple[str, ...] = ()
    release: str = RELEASE
    registry_url: str = Settings().registry_url
    namespace: str = Settings().namespace
    """The operator's own: it asks hosts and dispatchers how they are"""
    gateway: Gateway | None = None
    """None: nothing is routed"""
    hostname: str = ""
    """The host of routes, in which {namespace} stands for the namespace; empty: any host"""
    redis: Redis | None = None
    """None: a Ray head that ends forgets, and the graph starts anew from the store"""
    store_ports: tuple[int, ...] = (5432,)
    """Where PostgreSQL listens: its address is a secret, and NetworkPolicies name ports"""
    installed: Installed = field(default_factory=Installed)
