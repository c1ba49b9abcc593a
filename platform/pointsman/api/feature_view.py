"""FeatureView: what is known about an entity at the moment of an event. One definition, compiled online and offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pointsman.api.meta import (
    Block,
    Boolean,
    DecimalString,
    Duration,
    Finding,
    Identifier,
    Integer,
    KeyedList,
    ObjectName,
    Resource,
    refuse,
)

Aggregate = Literal["Count", "Sum", "Mean", "Min", "Max", "Last", "SinceLast", "Sequence"]

_NEEDS_FIELD = ("Sum", "Mean", "Min", "Max", "Last")
_NEEDS_WINDOW = ("Count", "Sum", "Mean", "Min", "Max", "SinceLast", "Sequence")
_COUNTED = ("Last", "Sequence")
_HAS_DEFAULT = ("Mean", "Min", "Max", "Last", "SinceLast")


class SourceRef(Block):
    """The stream that a view is computed from."""

    kind: Literal["EventStream"] = Field(
        default="EventStream", description="The kind of the source: EventStream. Default EventStream."
    )
    name: ObjectName = Field(description="The name of the source, in the same namespace.")


class Feature(Block):
    """One aggregate over the earlier events of an entity."""

    cel: ClassVar = {
        "self.aggregate == 'Sequence' || has(self.field) == (self.aggregate in ['Sum', 'Mean', 'Min', 'Max', 'Last'])": (
            'all aggregates but Count, SinceLast and Sequence need "field"; Count and SinceLast take none'
        ),
        "has(self.window) || self.aggregate == 'Last'": 'all aggregates but Last need "window"',
        "has(self.count) == (self.aggregate in ['Last', 'Sequence'])": (
            'Last and Sequence need "count", and the others take none'
        ),
        "!has(self.default) || !(self.aggregate in ['Count', 'Sum', 'Sequence'])": (
            'Count, Sum and Sequence take no "default"'
        ),
    }

    name: Identifier = Field(description="The feature's name; a graph names it as node.feature.")
    aggregate: Aggregate = Field(
        description="What is computed: Count, Sum, Mean, Min, Max, Last (the newest values), SinceLast (seconds "
        "since the newest earlier event) or Sequence (the newest values as one vector, for a model's input)."
    )
    field: Identifier | None = Field(
        default=None,
        description="The event field that is aggregated; needed by all but Count, SinceLast and Sequence. A Sequence "
        "without it holds the seconds between one event and the next, the last one up to this event.",
    )
    window: Duration | None = Field(
        default=None,
        description="How far back events count: those in (t - window, t]. Needed by all but Last; default for Last: "
        "no limit.",
    )
    count: Integer | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How many of the newest values Last gives, as name_1 (newest), name_2, …, and a Sequence as one "
        "vector, the oldest first, 0 where there are fewer.",
    )
    include_current: Boolean = Field(
        default=False, description="Whether the event itself counts. Default false: only earlier events do."
    )
    default: DecimalString | None = Field(
        default=None,
        description="The value where no event is in the window, in quotes; default: the feature is missing, which "
        "sends the item to a person. Count and Sum are 0 then and take no default.",
    )

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns that this feature gives, in order."""
        if self.aggregate != "Last" or self.count is None:
            return (self.name,)
        return tuple(f"{self.name}_{place}" for place in range(1, self.count + 1))

    @model_validator(mode="after")
    def _members_fit_the_aggregate(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        kind = self.aggregate
        members: tuple[tuple[str, object, bool, bool], ...] = (
            ("field", self.field, kind in _NEEDS_FIELD, kind in _NEEDS_FIELD or kind == "Sequence"),
            ("window", self.window, kind in _NEEDS_WINDOW, True),
            ("count", self.count, kind in _COUNTED, kind in _COUNTED),
            ("default", self.default, False, kind in _HAS_DEFAULT),
        )
        for name, value, needed, allowed in members:
            if value is None and needed:
                yield Finding(path=(name,), message=f'{kind} needs "{name}"')
            elif value is not None and not allowed:
                yield Finding(path=(name,), message=f'{kind} takes no "{name}"', hint=f'remove "{name}"')
        if self.window is not None and self.window.microseconds == 0:
            yield Finding(path=("window",), message="a window is longer than nothing")
        if self.include_current and kind == "SinceLast":
            yield Finding(path=("includeCurrent",), message='SinceLast takes no "includeCurrent": it would always be 0')
        if self.include_current and kind == "Sequence":
            message = 'Sequence takes no "includeCurrent"'
            yield Finding(path=("includeCurrent",), message=message, hint="give the event's own field to the model")


class FeatureViewSpec(Block):
    """The definition; its version is the digest of all of it and of the engine."""

    source_ref: SourceRef = Field(description="The stream that the features are computed from.")
    entity: Identifier = Field(
        description="The event field that says whom the features are about, such as a card's id."
    )
    max_age: Duration | None = Field(
        default=None,
        description="When the view has heard no event for longer than this at decision time, its features are "
        "missing and the item goes to a person (StaleFeature); default: never.",
    )
    allowed_lateness: Duration = Field(
        default=Duration("0s"),
        description="How far an event may lie behind the newest one and still count; a later one is decided without "
        "features (LateEvent). Default 0s.",
    )
    features: KeyedList[Feature] = Field(min_length=1, max_length=256, description="The features.")

    @model_validator(mode="after")
    def _outputs_are_unique(self) -> Self:
        owner: dict[str, str] = {}
        findings = []
        for position, feature in enumerate(self.features):
            for output in feature.outputs:
                if output in owner:
                    message = f'the output "{output}" is also given by feature "{owner[output]}"'
                    findings.append(
                        Finding(path=("features", position, "name"), message=message, hint="rename one of them")
                    )
                owner.setdefault(output, feature.name)
        if self.max_age is not None and self.max_age.microseconds == 0:
            findings.append(Finding(path=("maxAge",), message="maxAge is longer than nothing"))
        refuse(self, findings)
        return self


class FeatureView(Resource):
    """Features of an entity, from the events of one stream; the same definition serves live decisions and training."""

    kind: Literal["FeatureView"] = Field(default="FeatureView", description="FeatureView.")
    spec: FeatureViewSpec = Field(description="The definition of the features.")
