"""What the operator of this release would make anew for graphs on a cluster that another has left. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from pointsman.api.decision_graph import DecisionGraph
from pointsman.graphs import references
from pointsman_operator import names
from pointsman_operator.causes.cause import items
from pointsman_operator.graphs import documents, observe
from pointsman_operator.graphs.documents import Documents
from pointsman_operator.graphs.refusals import refusals
from pointsman_operator.graphs.seen import SeenNamespace
from pointsman_operator.resources.graphs import namespace as parts
from pointsman_operator.resources.graphs.hosts import host
from pointsman_operator.resources.graphs.namespace import Namespace
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.resources.graphs.shape import shape
from pointsman_operator.seen import DEPLOYMENT, JOB, POD, RAY_SERVICE, Child, Raw
from pointsman_operator.settings import PREFIX, RELEASE, Settings, settings
from pointsman_operator.upgrade import Restart, differences

_TAGGED = re.compile(r"(?P<image>[^@]+):(?P<tag>[^:/@]+)")
_IMAGE = f"{PREFIX}GRAPH_IMAGE"
_OF_A_RELEASE = re.compile(r"\d+\.\d+")
HOSTS = (RAY_SERVICE, DEPLOYMENT)


def told(operators: tuple[Raw, ...]) -> Settings:
    """The settings of the operator that is there, as this release would have them. Raises SettingsError.

    An image of graphs that has the operator's own tag, that of a release, is upgraded with it.
    """
    if not operators:
        return Settings()
    [operator, *_] = operators
    container = next(iter(items(operator, "spec", "template", "spec", "containers")), {})
    environment = {str(each["name"]): str(each["value"]) for each in container.get("env", ()) if "value" in each}
    own, graphs = (_TAGGED.fullmatch(text) for text in (container.get("image", ""), environment.get(_IMAGE, "")))
    if own and graphs and own["tag"] == graphs["tag"] and _OF_A_RELEASE.match(own["tag"]):
        environment[_IMAGE] = f"{graphs['image']}:{RELEASE}"
    return replace(settings(environment), namespace=str(operator["metadata"]["namespace"]))


def made_anew(seen: SeenNamespace, platform: Platform) -> list[Restart]:
    """The Job, the API, the dispatcher and the hosts of a namespace whose pods would be others."""
    if not seen.owners:
        return []
    read = documents.read(seen)
    of = Namespace(name=seen.name, owners=seen.owners, targets=tuple(read.targets.values()))
    children = (*parts.migration(of, platform), *parts.api(of, platform))
    if of.targets:
        children += parts.dispatcher(of, platform)
    found = [_of_part(child, seen) for child in children if child.kind in (JOB, DEPLOYMENT)]
    found += [_of_graph(graph, read, seen, platform) for graph in read.graphs.values()]
    return [each for each in found if each is not None]


def _of_part(child: Child, seen: SeenNamespace) -> Restart | None:
    """One that is not there yet is no restart, but for the Job: it has not brought the store to this release."""
    labels: Mapping[str, str] = child.document["metadata"]["labels"]
    there = seen.one(child.kind, child.name)
    if child.kind is JOB:
        ran = any(labels.items() <= each["metadata"].get("labels", {}).items() for each in seen.of(JOB))
        because = "it brings the store to this release" if there is None and ran else ""
        return _restart(seen, child, because, ())
    if there is None:
        return None
    because = "; ".join(differences(_template(child.document), _template(there), "spec.template"))
    return _restart(seen, child, because, _pods(seen, labels))


def _of_graph(graph: DecisionGraph, read: Documents, seen: SeenNamespace, platform: Platform) -> Restart | None:
    """A host of another shape is brought up beside, and takes over; one of the same shape is restarted in its place.

    None where the operator leaves all as it is, and where the spec is newer than what the last one has looked at.
    """
    raw = read.raw["DecisionGraph", graph.name]
    status: Raw = raw.get("status") or {}
    serving = str(status.get("shape") or "")
    there = next(filter(None, (seen.one(kind, names.host(graph.name, serving)) for kind in HOSTS)), None)
    resolved = references.resolved(graph, read, lambda name, placement: observe.model(seen, name, placement))
    is_looked_at = status.get("observedGeneration") == raw["metadata"].get("generation")
    if there is None or resolved is None or not is_looked_at or refusals(graph):
        return None
    wanted = shape(graph, resolved.stream, platform)
    is_under_way = wanted != serving and any(seen.one(kind, names.host(graph.name, wanted)) for kind in HOSTS)
    child = next(
        (each for each in host(raw, resolved, platform, standby=False) if each.kind.name == there["kind"]), None
    )
    if child is None or is_under_way:
        return None
    before = orjson.dumps(_template(there)).replace(serving.encode(), wanted.encode())
    because = list(differences(_template(child.document), orjson.loads(before), "spec"))
    if wanted != serving:
        because.insert(0, f"a host of another shape takes over, {names.host(graph.name, wanted)}")
    return _restart(seen, child, "; ".join(because), _pods(seen, names.graph_labels(graph.name, serving)), graph.name)


def _template(document: Raw) -> Any:
    """What pods are made from. What else is in a RayService is handed to the application that runs."""
    return document["spec"].get("rayClusterConfig") or document["spec"]["template"]


def _restart(
    seen: SeenNamespace, child: Child, because: str, pods: tuple[str, ...], graph: str | None = None
) -> Restart | None:
    if not because:
        return None
    object_ = f"{child.kind.name}/{child.name}" if graph is None else f"DecisionGraph/{graph}"
    return Restart(namespace=seen.name, object=object_, pods=pods, because=because)


def _pods(seen: SeenNamespace, labels: Mapping[str, str]) -> tuple[str, ...]:
    found = (each["metadata"] for each in seen.of(POD))
    return tuple(sorted(str(each["name"]) for each in found if labels.items() <= each.get("labels", {}).items()))
