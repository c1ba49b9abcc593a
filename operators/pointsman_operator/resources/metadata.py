"""Metadata of what is made: a name, our labels, and the ModelDeployment that owns it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    metadata = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {**names.labels(owner["metadata"]["name"], revision), **(labels or {})},
        "annotations": dict(annotations or {}),
        "ownerReferences": [
            {
                "apiVersion": MODEL_DEPLOYMENT.api_version,
                "kind": MODEL_DEPLOYMENT.name,
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": dict(spec)}
    return Child(kind=kind, name=name, document=document)


def hashed(made: Child) -> Child:
    """With an annotation that tells what was written last: what is no longer wanted is seen by it too.

    Never on an InferenceService: KServe copies its annotations to the pods, and another one would restart them.
    """
    digest = hashlib.sha256(orjson.dumps(made.document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    metadata = made.document["metadata"]
    annotated = {**metadata, "annotations": {**metadata["annotations"], names.HASH: digest}}
    return Child(kind=made.kind, name=made.name, document={**made.document, "metadata": annotated})
