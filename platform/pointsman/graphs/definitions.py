"""Streams and views: nothing runs for them, they are compiled. Each is compiled once for each of its generations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.features import plan as view_plan
from pointsman.features.definition import InvalidView, compile_view
from pointsman.graphs.activity import Activity
from pointsman.graphs.contract import InvalidContract, compile_contract
from pointsman.graphs.documents import GraphDocuments, Key
from pointsman.ingest import plan as stream_plan
from pointsman.ingest.report import SourceReport
from pointsman.planning import Told

_Known = dict[tuple[object, ...], tuple[str | None, str | None]]


class Definitions:
    """Compiles the streams and views of one picture after the other, and remembers what came of each.

    `sources_elsewhere` holds the kinds of source that this world does not read, each with the way out.
    """

    def __init__(self, *, sources_elsewhere: Mapping[str, str]) -> None:
        self._sources_elsewhere = sources_elsewhere
        self._compiled: _Known = {}

    def decide(
        self,
        documents: GraphDocuments,
        reports: Mapping[str, SourceReport | None],
        activities: Mapping[str, Activity],
        status: Callable[[str, str], Mapping[str, Any]],
    ) -> dict[Key, Told]:
        """What the statuses of all streams and views are to say. `reports` is what graphs' hosts say of their sources,
        `activities` of their decisions; `status` tells what a kind and name said of itself before.
        """
        told, before = dict[Key, Told](), self._compiled
        self._compiled = {}
        for name, stream in documents.streams.items():
            version, broken = self._stream(stream, before)
            told["EventStream", name] = stream_plan.decide(
                stream_plan.Observed(
                    stream=stream,
                    generation=stream.metadata.generation or 0,
                    version=version,
                    broken=broken,
                    sources_elsewhere=self._sources_elsewhere,
                    readers={
                        graph: reports.get(graph)
                        for graph, each in sorted(documents.graphs.items())
                        if each.spec.event_stream_ref.name == name
                    },
                )
            )
        for name, view in documents.views.items():
            version, broken = self._view(documents, view, before)
            newest = [each.newest_events[name] for each in activities.values() if name in each.newest_events]
            said = status("FeatureView", name)
            told["FeatureView", name] = view_plan.decide(
                view_plan.Observed(
                    view=view,
                    generation=view.metadata.generation or 0,
                    stream_exists=view.spec.source_ref.name in documents.streams,
                    version=version,
                    broken=broken,
                    newest=max(newest, default=None),
                    known=said.get("freshness") if said.get("version") == version else None,
                )
            )
        return told

    def _stream(self, stream: EventStream, before: _Known) -> tuple[str | None, str | None]:
        identity = ("EventStream", stream.metadata.uid, stream.metadata.generation)
        return self._once(before, identity, lambda: compile_contract(stream).version)

    def _view(self, documents: GraphDocuments, view: FeatureView, before: _Known) -> tuple[str | None, str | None]:
        stream = documents.streams.get(view.spec.source_ref.name)
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
