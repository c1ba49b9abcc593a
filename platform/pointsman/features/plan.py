"""Decides what a FeatureView's status says. It needs its stream's contract, never a graph."""

from __future__ import annotations

from pointsman.api.conditions import Condition
from pointsman.api.feature_view import FeatureView
from pointsman.api.reasons import Reason
from pointsman.ingest.plan import finish


def conditions(view: FeatureView, *, generation: int, stream_exists: bool, broken: str | None) -> tuple[Condition, ...]:
    """`broken` says why the view does not compile against its stream, or None."""
    stream = view.spec.source_ref.name
    if not stream_exists:
        message = f'EventStream "{stream}" does not exist: apply it'
        found = [Condition(type="Compiled", status="False", reason=Reason.StreamNotFound, message=message)]
    elif broken is not None:
        found = [Condition(type="Compiled", status="False", reason=Reason.InvalidSpec, message=broken)]
    else:
        found = [Condition(type="Compiled", status="True", reason=Reason.Compiled)]
    return finish(found, generation)
