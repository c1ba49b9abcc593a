"""What every graph of this installation is made with, from the settings and from what the cluster has. Pure."""

from __future__ import annotations

from pointsman_operator.resources.graphs.platform import Gateway, Platform, Redis
from pointsman_operator.seen import Installed
from pointsman_operator.settings import Settings, SettingsError


def platform(told: Settings, installed: Installed) -> Platform:
    """Raises SettingsError where a setting is not what it should be."""
    return Platform(
        image=told.graph_image,
        pull_policy=told.graph_pull_policy or None,
        pull_secrets=tuple(_listed(told.graph_pull_secrets)),
        registry_url=told.registry_url,
        namespace=told.namespace,
        gateway=_gateway(told),
        hostname=told.graph_hostname,
        redis=_redis(told),
        store_ports=_ports(told.graph_store_ports),
        installed=installed,
    )


def _gateway(told: Settings) -> Gateway | None:
    if not told.graph_gateway:
        return None
    namespace, name = _two("GRAPH_GATEWAY", told.graph_gateway, "namespace/name")
    return Gateway(namespace=namespace, name=name, pods=told.graph_gateway_pods or None)


def _redis(told: Settings) -> Redis | None:
    if not told.graph_redis:
        return None
    if not told.graph_redis_secret:
        return Redis(address=told.graph_redis)
    secret, key = _two("GRAPH_REDIS_SECRET", told.graph_redis_secret, "Secret/key")
    return Redis(address=told.graph_redis, secret=secret, key=key)


def _ports(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(each) for each in _listed(text)))
    except ValueError:
        raise SettingsError(f'POINTSMAN_GRAPH_STORE_PORTS: "{text}" is no list of ports') from None


def _two(setting: str, text: str, form: str) -> tuple[str, str]:
    first, slash, second = text.partition("/")
    if not (first and slash and second) or "/" in second:
        raise SettingsError(f'POINTSMAN_{setting}: "{text}" is not {form}')
    return first, second


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
