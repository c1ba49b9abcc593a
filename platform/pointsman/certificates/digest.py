"""The scorer digest: what a band certificate covers. All that lies upstream of the score, the band's thresholds, its label.

It is made of parts, one digest each, so that a certificate that covers another scorer can say what became different. What
happens to an item after its score (actions, reviews, rules, budgets) does not enter it, nor where a model runs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from pointsman.api.decision_graph import DecisionGraphSpec
from pointsman.api.graph_nodes import GraphNode
from pointsman.api.node_order import EVENT, mentions
from pointsman.features.definition import compile_view
from pointsman.graphs.bands import compile_bands, promised_labels
from pointsman.graphs.resolve import ResolvedGraph

RESCORED = ("model of node ", "score expression")
"""How the parts begin that may differ where recorded decisions are scored anew"""
ON_RECORDED_FEATURES = (*RESCORED, "thresholds of band ", "label")
"""And those that change no score"""


@dataclass(frozen=True, kw_only=True)
class ScorerDigest:
    """The digests of a scorer's parts, by what a user calls them."""

    parts: Mapping[str, str]

    @property
    def value(self) -> str:
        """The digest of all parts."""
        return _digest(self.parts)

    def differs_from(self, other: Mapping[str, str]) -> tuple[str, ...]:
        """The parts that are not the same in both, or in one alone, in order."""
        return tuple(name for name in sorted({*self.parts, *other}) if self.parts.get(name) != other.get(name))


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What gives the scores of a revision, without bands: computed once for all bands of a graph."""

    parts: Mapping[str, str]
    label: str

    def of_band(self, name: str, *, low: float, high: float, promised: bool) -> ScorerDigest:
        """With one band's thresholds, and the label that it promises."""
        parts = {f'thresholds of band "{name}"': _digest([_bound(low), _bound(high)])}
        return ScorerDigest(parts={**self.parts, **parts, "label": _digest([self.label, promised])})


def scorer(resolved: ResolvedGraph) -> Scorer:
    """Of a graph that compiles."""
    spec, stream = resolved.graph.spec, resolved.stream
    upstream = list(_upstream(spec))
    parts = {"score expression": _digest(spec.score)}
    used = {each.output for each in mentions(spec.score) if each.owner == EVENT}
    used |= {each.output for node in upstream for each in node.mentions if each.owner == EVENT}
    views = {view.metadata.name: view for view in resolved.views}
    for node in upstream:
        parts[f'node "{node.name}"'] = _digest(_definition(node))
        if node.features is not None:
            view = compile_view(views[node.features.view_ref.name], stream)
            parts[f'view "{view.name}"'] = _digest(view.version)
            used |= {view.entity, view.time, *view.fields}
        if node.name in resolved.models:
            parts[model_part(node.name)] = _digest(resolved.models[node.name].digest)
        if node.python is not None and spec.code is not None:
            parts["code"] = _digest(spec.code.digest)
    for each in stream.spec.contract.fields:
        if each.name in used:
            rule = each.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"description", "personal"})
            parts[f'contract of field "{each.name}"'] = _digest(rule)
    label = spec.label
    definition = None if label is None else [label.name, label.matures_after.microseconds]
    return Scorer(parts=parts, label=orjson.dumps(definition).decode())


def model_part(node: str) -> str:
    """What the part of a scorer is called that is a node's model."""
    return f'model of node "{node}"'


def scorer_of_band(resolved: ResolvedGraph, name: str) -> ScorerDigest:
    """The digest that a certificate of this automatic band must have to be live."""
    bands = resolved.graph.spec.bands
    position = next(at for at, band in enumerate(bands) if band.name == name)
    low, high = compile_bands(bands).interval(position)
    return scorer(resolved).of_band(name, low=low, high=high, promised=bool(promised_labels(bands)[position]))


def _upstream(spec: DecisionGraphSpec) -> Iterator[GraphNode]:
    """The nodes that the score depends on."""
    needed = {each.owner for each in mentions(spec.score)}
    for node in reversed(spec.ordered_nodes()):
        if node.name in needed:
            needed |= {each.owner for each in node.mentions}
            yield node


def _definition(node: GraphNode) -> object:
    """A node as far as it gives values; where its model runs does not matter."""
    said: dict[str, object] = node.model_dump(mode="json", by_alias=True, exclude_none=True)
    if node.model is not None:
        said["model"] = {"inputs": dict(node.model.inputs)}
    return said


def _bound(value: float) -> str | None:
    return repr(value) if math.isfinite(value) else None


def _digest(value: object) -> str:
    return f"sha256:{hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()}"
