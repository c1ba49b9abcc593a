"""The shape of a graph: a digest of all that needs other pods. What else changes is a revision, handed to the host that runs."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman.api.secret_keys import secret_keys
from pointsman_operator.resources.graphs.platform import Platform

FORMAT = 1
"""Another number gives every graph another shape: a standby is brought up beside each host. Only where pods must change"""


def shape(graph: DecisionGraph, stream: EventStream, platform: Platform) -> str:
    """8 hexadecimal digits. Two hosts of one shape have the same pods, and take the events of the same stream.

    Of the graph only what was written counts, so that another default of a later release moves nothing.
    """
    written = graph.spec.model_dump(
        mode="json",
        exclude_unset=True,
        exclude_none=True,
        include={"runtime", "code"},
        exclude={"runtime": {"workers": {"max_replicas"}}},  # set aside
    )
    redis = platform.redis if graph.spec.runtime.type == "RayServe" else None
    parts = {
        "format": FORMAT,
        "graph": graph.metadata.uid,
        "stream": stream.metadata.uid,
        "written": _said(written),
        "image": graph.spec.runtime.image or platform.image,
        "pull": [platform.pull_policy, *platform.pull_secrets],
        "registry": platform.registry_url,
        "redis": None if redis is None else [redis.address, redis.secret, redis.key],
        "secrets": secret_keys(stream.spec.source),
    }
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def _said(written: Mapping[str, Any]) -> dict[str, Any]:
    """Without blocks in which nothing stands."""
    found = {key: _said(value) if isinstance(value, Mapping) else value for key, value in written.items()}
    return {key: value for key, value in found.items() if value != {}}
