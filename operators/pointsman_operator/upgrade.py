"""Which pods of models the operator of this release, and its serving runtimes, would restart on a cluster that another has left.

Pure. Graphs, and what they share: graphs/upgrade.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments import plan
from pointsman_operator import names
from pointsman_operator.causes.cause import shortened
from pointsman_operator.desired import desired
from pointsman_operator.differences import is_part
from pointsman_operator.observe import observe, served
from pointsman_operator.reading import Unreadable, read
from pointsman_operator.resources import runtimes
from pointsman_operator.seen import (
    CLUSTER_SERVING_RUNTIME,
    INFERENCE_SERVICE,
    MODEL_DEPLOYMENT,
    POD,
    Child,
    Raw,
    Reference,
    Seen,
)


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Pods of one object, `Kind/name`, that would end and be made anew, and why; of a ModelDeployment those of one revision."""

    namespace: str
    object: str
    revision: str | None = None
    pods: tuple[str, ...]
    because: str


def changed_runtimes(found: Mapping[str, Raw]) -> dict[str, str]:
    """How this release's serving runtimes differ from the cluster's of the same names: KServe restarts their pods."""
    told = dict[str, str]()
    for name, wanted in runtimes.documents().items():
        if wanted["kind"] == CLUSTER_SERVING_RUNTIME.name and name in found:
            differing = "; ".join(differences(wanted["spec"], found[name].get("spec"), "spec"))
            if differing:
                told[name] = f"{CLUSTER_SERVING_RUNTIME.name}/{name}: {differing}"
    return told


def restarts(seen: Seen, runtimes: Mapping[str, str]) -> list[Restart]:
    """What restarts of one ModelDeployment; `runtimes` says how those of the cluster change."""
    wanted = _wanted(seen)
    found = []
    for raw in filter(seen.is_ours, seen.of(INFERENCE_SERVICE)):
        because = list(_because(seen, raw, wanted, runtimes))
        if because:
            revision = str(raw["metadata"]["labels"][names.REVISION])
            found.append(
                Restart(
                    namespace=seen.namespace,
                    object=f"{MODEL_DEPLOYMENT.name}/{seen.name}",
                    revision=revision,
                    pods=tuple(_pods(seen, revision)),
                    because="; ".join(because),
                )
            )
    return found


def _wanted(seen: Seen) -> Mapping[str, Child]:
    """The InferenceServices that would be written now, by name. None where this release would leave all as it is."""
    deployment = read(seen.deployment, ModelDeployment)
    if isinstance(deployment, Unreadable):
        return {}
    decided = plan.decide(observe(deployment, seen, _as_pinned(deployment, seen.status)), seen.now)
    if decided.held:
        return {}
    children = desired(deployment, decided, seen, drain=timedelta(0)).children
    return {child.name: child for child in children if child.kind is INFERENCE_SERVICE}


def _as_pinned(deployment: ModelDeployment, status: Raw) -> Reference:
    """What the reference means by the status: an upgrade moves no alias."""
    before, uri = served(status), deployment.spec.model.uri
    if before is None or before.uri != uri:
        return Reference(uri=uri)
    return Reference(uri=uri, version=before.version, digest=before.digest, source=before.source)


def _because(seen: Seen, service: Raw, wanted: Mapping[str, Child], runtimes: Mapping[str, str]) -> Iterator[str]:
    """Why the pods of an InferenceService restart: it is written anew, replaced, or its runtime changes."""
    metadata, predictor = service["metadata"], service["spec"].get("predictor", {})
    child = wanted.get(metadata["name"])
    is_looked_at = seen.status.get("observedGeneration") == seen.deployment["metadata"].get("generation")
    if child is not None:
        yield from _template_differences(child.document, service)
    elif metadata["labels"].get(names.REVISION) == seen.status.get("revision") and is_looked_at:
        missing = (name for name in wanted if seen.one(INFERENCE_SERVICE, name) is None)
        yield from (f"this release makes another revision of the same spec: {name}" for name in missing)
    runtime = predictor.get("model", {}).get("runtime")
    if runtime in runtimes and runtime not in seen.runtimes:  # one of the namespace comes before the cluster's
        yield runtimes[runtime]


def _template_differences(wanted: Raw, found: Raw) -> Iterator[str]:
    """What of an InferenceService makes its pods: the predictor, and the labels and annotations that are handed on."""
    yield from differences(wanted["spec"]["predictor"], found["spec"].get("predictor"), "spec.predictor")
    for part in ("labels", "annotations"):
        yield from differences(wanted["metadata"][part], found["metadata"].get(part, {}), f"metadata.{part}")


def differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    """Each place at which what is wanted is not what is there."""
    if is_part(wanted, found):
        return
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from differences(value, found.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (mine, theirs) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(mine, theirs, f"{path}[{place}]")
    else:
        yield f"{path}: {_shown(found)} becomes {_shown(wanted)}"


def _shown(value: Any) -> str:
    return shortened(orjson.dumps(value).decode())


def _pods(seen: Seen, revision: str) -> Iterable[str]:
    return sorted(
        str(pod["metadata"]["name"])
        for pod in seen.of(POD)
        if pod["metadata"]["labels"].get(names.REVISION) == revision
    )
