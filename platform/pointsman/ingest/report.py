"""What the host of a graph says of the source it reads: in its ready check, for whoever writes the stream's status."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from pointsman.api.reasons import Reason


class SourceReport(BaseModel):
    """One graph's reading of its stream. JSON both ways, in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    reached: bool = False
    reason: Reason | None = None
    """why it is not reached; None while nobody has looked yet"""
    cause: str = ""
    lag: int | None = None
    """events that are at the source and not committed here"""
    lag_seconds: float | None = None
    """how old the newest event is that was read, where there are more"""
    dead_letters: int | None = None
    """that are open, of the graph"""
    paused: str | None = None
    """why nothing more is read for now"""
    pause: Reason | None = None
    """the reason in a word"""
