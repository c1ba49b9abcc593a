"""Compiles a FeatureView against its stream into the one definition that both engines compute.

Called when a graph is compiled, and by training. `online` computes the definition incrementally, `offline` as of each
row's moment; what a feature means is said here:

- The clock of a row is the newest event time among the rows with a lower sequence number (those without an entity too).
- A row older than the clock by more than `allowed_lateness_us` is late: it is given no features and changes nothing.
- A row newer than the clock by more than `max_age_us` is stale: it is given no features, but it counts from then on.
- A row without an entity is given no features and counts for nobody.
- Every other row sees the rows of its entity that have a lower sequence number, are not late, and have an event time in
  (t - window, t]; itself too with `include_current`.
- Count counts those rows. The other aggregates skip rows in which their field is missing, but for Last, whose n-th
  output belongs to the n-th newest row, so that the outputs of several fields line up; equal event times are ordered by
  sequence number.
- A Sequence is a vector of the newest `count` rows, oldest first, in natural units, 0 on the left where there are fewer
  and where the field is missing. Without a field it holds seconds: from each of those rows to the next, and from the
  newest to this one.
- Count and Sum of nothing are 0; the others are the default, or else missing. A sum that int64 cannot hold is missing,
  and so is its mean.
- A Mean is the int64 sum as a double, divided by the count, then by 10**scale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from pointsman.api.event_stream import ContractField, EventStream
from pointsman.api.feature_view import Aggregate, Feature, FeatureView
from pointsman.api.findings import nearest
from pointsman.columns import ColumnType, FieldType

ENGINE_VERSION = "1"
"""Part of every view's version; raised when the same definition would give other numbers."""

FOREVER_US = 5_000 * 365 * 24 * 3_600 * 1_000_000
"""The horizon of a view with an unlimited Last: further back than any event, and within what databases can subtract."""

_SUMMED = (FieldType.INTEGER, FieldType.DECIMAL)
_ORDERED = (*_SUMMED, FieldType.DOUBLE, FieldType.TIMESTAMP)
_TAKES: Mapping[Aggregate, tuple[FieldType, ...]] = {
    "Sum": _SUMMED,
    "Mean": _SUMMED,
    "Min": _ORDERED,
    "Max": _ORDERED,
    "Last": (*_ORDERED, FieldType.BOOLEAN),
    "Sequence": (*_SUMMED, FieldType.DOUBLE),
}


class InvalidView(Exception):
    """A view that cannot be computed from its stream: where in the view, what is wrong, what to do."""

    def __init__(self, path: str, message: str, hint: str | None = None) -> None:
        super().__init__(f"{path}: {message}; {hint}" if hint else f"{path}: {message}")
        self.path, self.message, self.hint = path, message, hint


@dataclass(frozen=True, kw_only=True)
class CompiledFeature:
    """One aggregate. `default` is in the units in which a column of `type` is stored; no window means no limit."""

    name: str
    aggregate: Aggregate
    field: str | None
    window_us: int | None
    include_current: bool
    default: int | float | None
    type: ColumnType
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CompiledView:
    """A view that fits its stream. `fields` are the event fields that its features aggregate."""

    name: str
    version: str
    entity: str
    time: str
    fields: tuple[str, ...]
    field_types: Mapping[str, ColumnType]
    optional: frozenset[str]
    features: tuple[CompiledFeature, ...]
    allowed_lateness_us: int
    max_age_us: int | None

    @property
    def time_column(self) -> str:
        """The column of event times, as a graph names it."""
        return f"event.{self.time}"

    @cached_property
    def types(self) -> Mapping[str, ColumnType]:
        """The outputs in order, by name."""
        return {output: feature.type for feature in self.features for output in feature.outputs}

    @cached_property
    def window_us(self) -> int:
        """The largest limited window."""
        return max((feature.window_us for feature in self.features if feature.window_us is not None), default=0)

    @cached_property
    def newest(self) -> int:
        """How many of an entity's newest rows matter however old they are."""
        return max((len(each.outputs) for each in self.features if each.window_us is None), default=0)

    @property
    def horizon_us(self) -> int:
        """A row that is older than the clock by this or more can change no answer any more."""
        return FOREVER_US if self.newest else self.window_us + self.allowed_lateness_us


def compile_view(view: FeatureView, stream: EventStream) -> CompiledView:
    """Compile; raises InvalidView at the first thing that does not fit."""
    spec, declared = view.spec, {field.name: field for field in stream.spec.contract.fields}
    if spec.source_ref.name != stream.metadata.name:
        message = f'the view is computed from "{spec.source_ref.name}", not from "{stream.metadata.name}"'
        raise InvalidView("spec.sourceRef.name", message, "use the view where that stream is decided on")
    entity = _declared("spec.entity", spec.entity, declared)
    if entity.type not in (FieldType.STRING, FieldType.INTEGER):
        message = f'"{entity.name}" is a {entity.type}; an entity is a String or an Integer'
        raise InvalidView("spec.entity", message, "name the field that identifies whom the features are about")
    features = tuple(_compile_feature(feature, declared) for feature in spec.features)
    used = sorted({feature.field for feature in features if feature.field is not None})
    optional = frozenset(name for name in used if declared[name].optional)
    types = {name: declared[name].column_type for name in used}
    max_age_us = spec.max_age.microseconds if spec.max_age is not None else None
    definition = {
        "engine": ENGINE_VERSION,
        "stream": stream.metadata.name,
        "time": stream.spec.time,
        "entity": [entity.name, entity.type.value],
        "allowedLateness": spec.allowed_lateness.microseconds,
        "maxAge": max_age_us,
        "fields": {name: [type_.type.value, type_.scale, name in optional] for name, type_ in types.items()},
        "features": sorted(
            (
                each.name,
                each.aggregate,
                each.field,
                each.window_us,
                each.type.width or len(each.outputs),
                each.include_current,
                each.default,
            )
            for each in features
        ),
    }
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return CompiledView(
        name=view.metadata.name,
        version=f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}",
        entity=entity.name,
        time=stream.spec.time,
        fields=tuple(used),
        field_types=types,
        optional=optional,
        features=features,
        allowed_lateness_us=spec.allowed_lateness.microseconds,
        max_age_us=max_age_us,
    )


def _declared(path: str, name: str, declared: Mapping[str, ContractField]) -> ContractField:
    if name not in declared:
        raise InvalidView(path, f'the stream\'s contract has no field "{name}"', nearest(name, declared))
    return declared[name]


def _compile_feature(feature: Feature, declared: Mapping[str, ContractField]) -> CompiledFeature:
    path, aggregate = f"spec.features[{feature.name}]", feature.aggregate
    if feature.window is None and aggregate != "Last":
        raise InvalidView(f"{path}.window", f'{aggregate} needs "window"', 'say how far back events count: "24h"')
    type_ = {"Count": ColumnType(type=FieldType.INTEGER)}.get(aggregate, ColumnType(type=FieldType.DOUBLE))
    if aggregate == "Sequence":
        type_ = ColumnType(type=FieldType.DOUBLE, width=feature.count or 0)
    if aggregate in _TAKES and not (aggregate == "Sequence" and feature.field is None):
        if feature.field is None:
            raise InvalidView(f"{path}.field", f'{aggregate} needs "field"', "name the event field to aggregate")
        field = _declared(f"{path}.field", feature.field, declared)
        if field.type not in _TAKES[aggregate]:
            raise _unfit(f"{path}.field", aggregate, field)
        if aggregate not in ("Mean", "Sequence"):
            type_ = field.column_type
    return CompiledFeature(
        name=feature.name,
        aggregate=aggregate,
        field=feature.field if aggregate in _TAKES else None,
        window_us=feature.window.microseconds if feature.window is not None else None,
        include_current=feature.include_current,
        default=None if feature.default is None else _stored(f"{path}.default", feature.default, type_),
        type=type_,
        outputs=feature.outputs,
    )


def _unfit(path: str, aggregate: Aggregate, field: ContractField) -> InvalidView:
    takes = _TAKES[aggregate]
    hint = f"{aggregate} takes {', '.join(takes[:-1])} or {takes[-1]}"
    if field.type is FieldType.DOUBLE:
        hint = f'sums of doubles depend on their order; declare "{field.name}" as a Decimal with a scale'
    return InvalidView(path, f'{aggregate} cannot be computed over "{field.name}", a {field.type}', hint)


def _stored(path: str, default: Decimal, type_: ColumnType) -> int | float:
    """The default in the stored units of the feature's type."""
    if type_.type is FieldType.DOUBLE:
        return float(default)
    if type_.type not in _SUMMED:
        raise InvalidView(path, f"a {type_.type} takes no default", 'remove "default"')
    units = default.scaleb(type_.scale)
    if units != units.to_integral_value() or not -(2**63) <= units < 2**63:
        kind = f"a Decimal of scale {type_.scale}" if type_.type is FieldType.DECIMAL else "an Integer of 64 bits"
        raise InvalidView(path, f'"{default}" is not {kind}', "write a default of the field's type")
    return int(units)
