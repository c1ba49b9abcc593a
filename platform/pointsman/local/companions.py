"""Plain Kubernetes documents that the local world stands in for: a Deployment runs as a process, a Service finds it.

Pure. What has a meaning only where there are containers is set aside, and said so; anything else that is not honoured is
refused by name. An image is set aside too: the process runs from this installation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

POD_IP = {"fieldRef": {"fieldPath": "status.podIP"}}
LOOPBACK = "127.0.0.1"

POD_SETS_ASIDE = {
    "securityContext": "it runs as you",
    "volumes": "it writes in a folder of its own, which stays",
    "automountServiceAccountToken": "there are no ServiceAccounts",
}
CONTAINER_SETS_ASIDE = {
    "securityContext": "it runs as you",
    "volumeMounts": "it writes in a folder of its own, which stays",
    "resources": "neither CPU nor memory is limited",
    "imagePullPolicy": "there are no images",
    "readinessProbe": "it is ready when it listens",
    "livenessProbe": "it is started again when it ends",
    "startupProbe": "it is ready when it listens",
}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A part of a document that the local world cannot stand in for."""

    path: str
    message: str
    hint: str = ""


class CompanionRefused(ValueError):
    """A document with parts that are not honoured."""

    def __init__(self, problems: tuple[Refused, ...]) -> None:
        super().__init__("; ".join(f"{each.path}: {each.message}" for each in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class LocalProcess:
    """A Deployment's one container. `ports` maps a port's name and number to its number."""

    name: str
    labels: Mapping[str, str]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, tuple[str, str]]
    """environment variable → (secret, key)"""
    ports: Mapping[str, int]
    running: bool
    sets_aside: Mapping[str, str]
    """path → what it means here"""


@dataclass(frozen=True, kw_only=True)
class LocalService:
    """A Service: which processes it finds, and which of their ports each of its own leads to."""

    name: str
    selector: Mapping[str, str]
    ports: Mapping[int, str]


def read_process(document: Mapping[str, Any]) -> LocalProcess:
    """Read an apps/v1 Deployment. Raises CompanionRefused."""
    spec = document.get("spec") or {}
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    containers = pod.get("containers") or []
    problems = [
        *_others(document, "", {"apiVersion", "kind", "metadata", "spec", "status"}),
        *_others(spec, "spec", {"replicas", "selector", "template"}),
        *_others(template, "spec.template", {"metadata", "spec"}),
        *_others(pod, "spec.template.spec", {"containers", *POD_SETS_ASIDE}),
    ]
    if spec.get("replicas", 1) not in (0, 1):
        problems.append(Refused(path="spec.replicas", message="one process runs here", hint="set it to 0 or 1"))
    if len(containers) != 1:
        place = "spec.template.spec.containers"
        raise CompanionRefused((*problems, Refused(path=place, message=f"{len(containers)} containers, one runs here")))
    place, container = "spec.template.spec.containers[0]", containers[0]
    problems += _others(container, place, {"name", "image", "command", "args", "env", "ports", *CONTAINER_SETS_ASIDE})
    command = [*container.get("command", []), *container.get("args", [])]
    if not command:
        problems.append(
            Refused(path=f"{place}.command", message="it is missing", hint="an image's own command is not known here")
        )
    environment, secrets = dict[str, str](), dict[str, tuple[str, str]]()
    for at, each in enumerate(container.get("env", [])):
        source = each.get("valueFrom") or {}
        if (reference := source.get("secretKeyRef")) is not None:
            secrets[each["name"]] = (reference["name"], reference["key"])
        elif source == POD_IP:
            environment[each["name"]] = LOOPBACK
        elif "value" in each:
            environment[each["name"]] = str(each["value"])
        else:
            message = "neither value nor secretKeyRef, nor the fieldRef status.podIP"
            problems.append(Refused(path=f"{place}.env[{at}]", message=message))
    ports = dict[str, int]()
    for each in container.get("ports", []):
        ports[str(each["containerPort"])] = each["containerPort"]
        if "name" in each:
            ports[each["name"]] = each["containerPort"]
    if problems:
        raise CompanionRefused(tuple(problems))
    return LocalProcess(
        name=document["metadata"]["name"],
        labels=(template.get("metadata") or {}).get("labels") or {},
        command=tuple(map(str, command)),
        environment=environment,
        secrets=secrets,
        ports=ports,
        running=spec.get("replicas", 1) > 0,
        sets_aside={
            **{f"spec.template.spec.{name}": meaning for name, meaning in POD_SETS_ASIDE.items() if name in pod},
            **{f"{place}.{name}": meaning for name, meaning in CONTAINER_SETS_ASIDE.items() if name in container},
        },
    )


def read_service(document: Mapping[str, Any]) -> LocalService:
    """Read a v1 Service. Raises CompanionRefused."""
    spec = document.get("spec") or {}
    problems = [
        *_others(document, "", {"apiVersion", "kind", "metadata", "spec", "status"}),
        *_others(spec, "spec", {"selector", "ports", "type"}),
    ]
    if spec.get("type", "ClusterIP") != "ClusterIP":
        problems.append(Refused(path="spec.type", message=f'"{spec["type"]}" has no meaning on one machine'))
    if problems:
        raise CompanionRefused(tuple(problems))
    return LocalService(
        name=document["metadata"]["name"],
        selector=spec.get("selector") or {},
        ports={each["port"]: str(each.get("targetPort", each["port"])) for each in spec.get("ports", [])},
    )


def read_secret(document: Mapping[str, Any]) -> dict[str, str]:
    """The values of a v1 Secret. Raises CompanionRefused; no value is in its message."""
    problems = [*_others(document, "", {"apiVersion", "kind", "metadata", "stringData", "data", "type", "status"})]
    values = {key: str(value) for key, value in (document.get("stringData") or {}).items()}
    for key, value in (document.get("data") or {}).items():
        try:
            values.setdefault(key, base64.b64decode(value, validate=True).decode())
        except (binascii.Error, ValueError):
            problems.append(Refused(path=f"data.{key}", message="not base64 of text"))
    if problems:
        raise CompanionRefused(tuple(problems))
    return values


def check(kind: str, document: Mapping[str, Any]) -> tuple[Refused, ...]:
    """What keeps a companion document from being honoured."""
    readers = {"Deployment": read_process, "Service": read_service, "Secret": read_secret}
    if kind not in readers:
        return (Refused(path="kind", message=f'"{kind}" is not honoured here', hint=f"{', '.join(readers)} are"),)
    try:
        readers[kind](document)
    except CompanionRefused as error:
        return error.problems
    return ()


def _others(block: Mapping[str, Any], path: str, known: set[str]) -> Iterator[Refused]:
    for name in sorted(set(block) - known):
        yield Refused(path=f"{path}.{name}".lstrip("."), message="it is not honoured here", hint="take it out")
