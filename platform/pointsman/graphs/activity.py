"""What the host of a graph says of its decisions: in its ready check, for whoever writes the statuses of graphs and views."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import inf

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pointsman.api.reasons import Reason

STEP = timedelta(minutes=10)
"""What the time of a view's newest event is cut to"""
EVERY_SECONDS = 60.0
"""Between two reports that differ: each is a write of a status"""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Activity(BaseModel):
    """What is told of one graph, coarsely. JSON both ways, in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    automatic_percent: int | None = None
    """of the decisions of late; None before there was one"""
    newest_events: Mapping[str, datetime] = Field(default_factory=dict)
    """by view, when the newest event happened that its state has seen, cut to STEP; none where it has seen none"""
    reviews: Reason | None = None
    """why people do not keep up: ReviewQueueFull, ReviewOverflow or ReviewEscalated"""


QUIET = Activity()


class Activities:
    """The reports of one host. One differs from the one before only where decisions or events have come meanwhile."""

    def __init__(self) -> None:
        self._said, self._since = QUIET, -inf

    def report(self, share: float | None, newest: Mapping[str, int], reviews: Reason | None, *, now: float) -> Activity:
        """`share` of decisions of late is from 0 to 1, `newest` in microseconds of event time, `now` on the monotonic clock."""
        falls_behind = reviews is not None and self._said.reviews is None  # said at once, and taken back later
        if now - self._since < EVERY_SECONDS and not falls_behind:
            return self._said
        found = Activity(
            automatic_percent=_percent(share, self._said.automatic_percent),
            reviews=reviews,
            newest_events={view: _cut(EPOCH + timedelta(microseconds=at)) for view, at in newest.items()},
        )
        if found != self._said:
            self._said, self._since = found, now
        return self._said


def timestamp(moment: datetime) -> str:
    """A moment as statuses have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _percent(share: float | None, before: int | None) -> int | None:
    """Whole; as it was said before where the share has moved by less than one percent from that."""
    if share is None or (before is not None and abs(100 * share - before) < 1):
        return before
    return round(100 * share)


def _cut(moment: datetime) -> datetime:
    return moment - (moment - EPOCH) % STEP
