"""Metadata of what is made: a name, our labels, and who owns it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pointsman_operator import names
from pointsman_operator.seen import MODEL_DEPLOYMENT, Child, Kind, Raw


def child(
    owner: Raw,
    kind: Kind,
    name: str,
    *,
    spec: Mapping[str, Any],
    revision: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Child:
    """An object of `owner`, a ModelDeployment as the API server has it."""
    return made(
        kind,
        name,
        namespace=owner["metadata"]["namespace"],
        labels={**names.labels(owner["metadata"]["name"], revision), **(labels or {})},
        annotations=annotations,
        owners=[owned_by(MODEL_DEPLOYMENT, owner, controller=True)],
        spec=dict(spec),
    )


def made(
    kind: Kind,
    name: str,
    *,
    namespace: str,
    labels: Mapping[str, str],
    owners: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, str] | None = None,
    **content: Any,
) -> Child:
    """An object with its owners; `content` is what stands beside the metadata."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": dict(labels),
        "annotations": dict(annotations or {}),
        "ownerReferences": [dict(owner) for owner in owners],
    }
    document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}
    return Child(kind=kind, name=name, document=document)


def owned_by(kind: Kind, owner: Raw, *, controller: bool) -> dict[str, Any]:
    """A reference to an owner. Of several none is the controller, and none waits for what it owns."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
        "blockOwnerDeletion": controller,
    }


def hashed(made: Child) -> Child:
    """With an annotation that tells what was written last: what is no longer wanted is seen by it too.

    Never on an InferenceService: KServe copies its annotations to the pods, and another one would restart them.
    """
    digest = hashlib.sha256(orjson.dumps(made.document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    metadata = made.document["metadata"]
    annotated = {**metadata, "annotations": {**metadata["annotations"], names.HASH: digest}}
    return Child(kind=made.kind, name=made.name, document={**made.document, "metadata": annotated})
