"""Streams and views: nothing runs for them, they are compiled. Each is compiled once for each of its generations."""

from __future__ import annotations

from collections.abc import Callable

from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.features import plan as view_plan
from pointsman.features.definition import InvalidView, compile_view
from pointsman.graphs.contract import InvalidContract, compile_contract
from pointsman.ingest import plan as stream_plan
from pointsman.local import world
from pointsman.local.applied import Applied
from pointsman.local.objects import Key
from pointsman.local.part import Part
from pointsman.planning import Told

_Known = dict[tuple[object, ...], tuple[str | None, str | None]]


class Definitions:
    """Compiles what is applied, and remembers what came of it for this picture of the applied objects."""

    def __init__(self) -> None:
        self._compiled: _Known = {}

    def decide(self, applied: Applied) -> Part:
        """What the statuses of all streams and views are to say."""
        told, before = dict[Key, Told](), self._compiled
        self._compiled = {}
        for name, stream in applied.streams.items():
            version, broken = self._stream(stream, before)
            told["EventStream", name] = stream_plan.decide(
                stream_plan.Observed(
                    stream=stream,
                    generation=applied.generation("EventStream", name),
                    version=version,
                    broken=broken,
                    sources_elsewhere=world.SOURCES_ELSEWHERE,
                )
            )
        for name, view in applied.views.items():
            version, broken = self._view(applied, view, before)
            told["FeatureView", name] = view_plan.decide(
                view_plan.Observed(
                    view=view,
                    generation=applied.generation("FeatureView", name),
                    stream_exists=view.spec.source_ref.name in applied.streams,
                    version=version,
                    broken=broken,
                )
            )
        return Part(processes={}, told=told)

    def _stream(self, stream: EventStream, before: _Known) -> tuple[str | None, str | None]:
        identity = ("EventStream", stream.metadata.uid, stream.metadata.generation)
        return self._once(before, identity, lambda: compile_contract(stream).version)

    def _view(self, applied: Applied, view: FeatureView, before: _Known) -> tuple[str | None, str | None]:
        stream = applied.streams.get(view.spec.source_ref.name)
        if stream is None:
            return None, None
        its, theirs = view.metadata, stream.metadata
        identity = ("FeatureView", its.uid, its.generation, theirs.uid, theirs.generation)
        return self._once(before, identity, lambda: compile_view(view, stream).version)

    def _once(
        self, before: _Known, identity: tuple[object, ...], version: Callable[[], str]
    ) -> tuple[str | None, str | None]:
        """(version, None), or (None, why it does not compile)."""
        found = before.get(identity)
        if found is None:
            try:
                found = (version(), None)
            except (InvalidContract, InvalidView) as error:
                found = (None, str(error))
        self._compiled[identity] = found
        return found
