"""What a namespace with graphs or targets has once: its API, its dispatcher, and the Job that migrates its store.

All graphs and targets own these together, so that they go with the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import orjson

from pointsman.api.action_target import ActionTarget
from pointsman.api.secret_keys import secret_keys
from pointsman.governance import access
from pointsman.graphs import pod
from pointsman_operator import names
from pointsman_operator.names import Part
from pointsman_operator.resources.graphs import edges, pods
from pointsman_operator.resources.graphs.edges import API_PORT, DISPATCHER_PORT, Edges
from pointsman_operator.resources.graphs.hosts import PORT
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.graphs.traffic import route
from pointsman_operator.resources.metadata import hashed, made, owned_by
from pointsman_operator.seen import (
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    JOB,
    NETWORK_POLICY,
    POD_MONITOR,
    SERVICE,
    Child,
    Kind,
    Raw,
)

OWNER_URL, ADMIN_KEY, METRICS_KEY = "POINTSMAN_STORE_OWNER_URL", "POINTSMAN_ADMIN_KEY", "POINTSMAN_METRICS_KEY"
POLICIES = PurePosixPath("/etc/pointsman/policies/policies.cedar")
DISPATCHER_CONFIG = PurePosixPath("/etc/pointsman/dispatcher.json")
API_REPLICAS = 2
FOR_EVER = 2_147_483_647
"""A Job that gave up would have to be deleted by hand: this one waits for its store, with the kubelet's back-off"""


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """`owners` are all DecisionGraphs and ActionTargets there, whatever stands in them; `targets` are those that can be used."""

    name: str
    owners: Sequence[tuple[Kind, Raw]]
    targets: Sequence[ActionTarget] = ()


def namespace_children(of: Namespace, platform: Platform) -> tuple[Child, ...]:
    """Everything, in the order in which it is written. Each is labelled with its part: api, dispatcher or migrate."""
    return (*migration(of, platform), *api(of, platform), *dispatcher(of, platform))


def migration(of: Namespace, platform: Platform) -> tuple[Child, ...]:
    """The Job that brings the store to this release. Another template is another Job: none can be changed."""
    labels = names.part_labels("migrate")
    container = pods.container(
        "migrate",
        platform,
        command=["python", "-m", "pointsman.store.prepare"],
        environment=[
            pods.secret(OWNER_URL, names.STORE, "ownerUrl"),
            pods.secret(ADMIN_KEY, names.KEYS, "adminKey"),
            pods.secret(METRICS_KEY, names.KEYS, "metricsKey"),
        ],
        resources=pods.resources(pods.SERVICE),
    )
    template = {
        "metadata": pods.labelled(labels),
        "spec": {**pods.of_pod([container], platform), "restartPolicy": "OnFailure"},
    }
    job = {"backoffLimit": FOR_EVER, "template": template}
    digest = sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
    release = re.sub("[^a-z0-9]+", "-", platform.release.lower())
    name = f"pointsman-migrate-{release}-{digest}"
    return (
        _policy(of, "pointsman-migrate", "migrate", edges.of_migration(platform)),
        _child(of, JOB, name, "migrate", spec=job),
    )


def api(of: Namespace, platform: Platform) -> tuple[Child, ...]:
    """The API: decisions, reviews and approvals of the namespace."""
    container = pods.container(
        "api",
        platform,
        command=["python", "-m", "pointsman.console", "--host", "0.0.0.0", "--port", str(API_PORT)],
        environment=[pods.STORE, pods.value(access.POLICIES, str(POLICIES))],
        ports={"http": API_PORT},
        mounts={"policies": str(POLICIES.parent)},
        resources=pods.resources(pods.SERVICE),
        startupProbe={**_answers("/healthz", API_PORT), "periodSeconds": 1, "failureThreshold": 60},
        readinessProbe={**_answers("/readyz", API_PORT), "periodSeconds": 5, "failureThreshold": 2},
        livenessProbe={**_answers("/healthz", API_PORT), "periodSeconds": 10},
    )
    labels, volumes = (
        names.part_labels("api"),
        [{"name": "policies", "configMap": {"name": names.POLICIES, "optional": True}}],
    )
    found = [
        _policy(of, names.API, "api", edges.of_api(platform)),
        _deployment(
            of, names.API, "api", API_REPLICAS, pods.of_pod([container], platform, volumes=volumes, spread=labels)
        ),
        _service(of, names.API, "api", PORT, API_PORT),
        _child(
            of,
            DISRUPTION_BUDGET,
            names.API,
            "api",
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        ),
    ]
    routed = route(platform, of.name, {"type": "PathPrefix", "value": "/"}, names.API)
    if routed is not None:
        found.append(_child(of, HTTP_ROUTE, names.API, "api", spec=routed))
    key = {"type": "Bearer", "credentials": {"name": names.KEYS, "key": "metricsKey"}}
    return (*found, *_monitor(of, names.API, "api", API_PORT, platform, authorization=key))


def dispatcher(of: Namespace, platform: Platform) -> tuple[Child, ...]:
    """The dispatcher: the only one that reaches targets, and that reads their secrets."""
    targets = sorted(of.targets, key=lambda each: each.name)
    addressed = [(target, target_url(target, of.name)) for target in targets]
    settings = {
        "owner": "dispatcher",
        "secretsFolder": pod.SECRETS_FOLDER,
        "controlHost": "0.0.0.0",
        "controlPort": DISPATCHER_PORT,
        "targets": [{**_as_registered(target), "url": url} for target, url in addressed],
    }
    text = orjson.dumps(settings, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    container = pods.container(
        "dispatcher",
        platform,
        command=["python", "-m", "pointsman.actions.dispatcher", "--config", str(DISPATCHER_CONFIG)],
        environment=[pods.STORE],
        ports={"status": DISPATCHER_PORT},
        mounts={"config": str(DISPATCHER_CONFIG.parent), "secrets": pod.SECRETS_FOLDER},
        resources=pods.resources(pods.SERVICE),
        startupProbe={**_answers("/-/stats", DISPATCHER_PORT), "periodSeconds": 1, "failureThreshold": 60},
        readinessProbe={**_answers("/-/ready", DISPATCHER_PORT), "periodSeconds": 5, "failureThreshold": 2},
        livenessProbe={**_answers("/-/stats", DISPATCHER_PORT), "periodSeconds": 10},
    )
    keys = [key for target in targets if target.spec.auth is not None for key in secret_keys(target.spec.auth)]
    volumes = [{"name": "config", "configMap": {"name": names.DISPATCHER}}, pods.projected(keys)]
    addresses = sorted({url for _, url in addressed} | {url for target in targets for url in _token_urls(target)})
    return (
        _policy(of, names.DISPATCHER, "dispatcher", edges.of_dispatcher(platform, addresses)),
        _child(of, CONFIG_MAP, names.DISPATCHER, "dispatcher", data={DISPATCHER_CONFIG.name: text}),
        _deployment(of, names.DISPATCHER, "dispatcher", 1, pods.of_pod([container], platform, volumes=volumes)),
        _service(of, names.DISPATCHER, "dispatcher", DISPATCHER_PORT, DISPATCHER_PORT),
        *_monitor(of, names.DISPATCHER, "dispatcher", DISPATCHER_PORT, platform),
    )


def target_url(target: ActionTarget, namespace: str) -> str:
    """The base URL of a target: its own, or its Service's."""
    service = target.spec.service_ref
    if service is None:
        assert target.spec.url is not None
        return target.spec.url
    return f"http://{service.name}.{namespace}.svc:{service.port}"


def _as_registered(target: ActionTarget) -> dict[str, Any]:
    """What the dispatcher goes by: a status, or a label, that changes is no other target."""
    document = target.document()
    metadata = document["metadata"]
    return {**document, "metadata": {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}}


def _token_urls(target: ActionTarget) -> list[str]:
    auth = target.spec.auth
    return [] if auth is None or auth.oauth2 is None else [auth.oauth2.token_url]


def _child(of: Namespace, kind: Kind, name: str, part: Part, **content: Any) -> Child:
    owners = [owned_by(each, raw, controller=False) for each, raw in of.owners]
    owners.sort(key=lambda each: str(each["uid"]))
    child = made(kind, name, namespace=of.name, labels=names.part_labels(part), owners=owners, **content)
    return hashed(child)


def _policy(of: Namespace, name: str, part: Part, allowed: Edges) -> Child:
    return _child(of, NETWORK_POLICY, name, part, spec=allowed.policy(names.part_labels(part)))


def _deployment(of: Namespace, name: str, part: Part, replicas: int, spec: Mapping[str, Any]) -> Child:
    labels = names.part_labels(part)
    return _child(
        of,
        DEPLOYMENT,
        name,
        part,
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {"metadata": pods.labelled(labels), "spec": dict(spec)},
        },
    )


def _service(of: Namespace, name: str, part: Part, port: int, target: int) -> Child:
    ports = [{"name": "http", "port": port, "targetPort": target, "protocol": "TCP"}]
    return _child(
        of, SERVICE, name, part, spec={"type": "ClusterIP", "selector": names.part_labels(part), "ports": ports}
    )


def _monitor(of: Namespace, name: str, part: Part, port: int, platform: Platform, **endpoint: Any) -> tuple[Child, ...]:
    if not platform.installed.monitors:
        return ()
    endpoint = {"portNumber": port, "path": "/metrics", "interval": "15s", **endpoint}
    spec = {"selector": {"matchLabels": names.part_labels(part)}, "podMetricsEndpoints": [endpoint]}
    return (_child(of, POD_MONITOR, name, part, spec=spec),)


def _answers(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 5}
