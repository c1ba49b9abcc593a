"""What a host tells of its decisions: coarse, and no oftener than statuses may be written."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from pointsman.api.reasons import Reason
from pointsman.decisions.stats import RECENT_MINUTES, RecentShare
from pointsman.graphs.activity import EVERY_SECONDS, QUIET, Activities, Activity

TEN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def microseconds(**changes: int) -> int:
    return int(TEN.replace(**changes).timestamp()) * 1_000_000


def test_nothing_is_told_before_anything_has_come_and_what_comes_first_is_told_at_once() -> None:
    activities = Activities()
    assert activities.report(None, {}, None, now=0) == QUIET
    told = activities.report(0.5, {"cards": microseconds(minute=9, second=59)}, None, now=1)
    assert told == Activity(automatic_percent=50, newest_events={"cards": TEN})
    assert Activity.model_validate_json(told.model_dump_json(by_alias=True)) == told


def test_another_report_comes_a_minute_after_the_one_before_however_fast_events_come() -> None:
    activities = Activities()
    told = [
        activities.report(second / 1000, {"cards": microseconds(hour=10 + second // 60)}, None, now=second)
        for second in range(600)
    ]
    changes = [second for second in range(1, 600) if told[second] != told[second - 1]]
    assert len(changes) == 9
    assert min(after - before for before, after in pairwise(changes)) >= EVERY_SECONDS


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([0.1249, 0.1251, 0.1249], [12, 12, 12]),
        ([0.12, 0.1299, 0.13], [12, 12, 13]),
        ([0.997, 1.0, 0.993], [100, 100, 100]),
        ([0.004, 0.0, 0.01], [0, 0, 1]),
        ([0.5, None], [50, 50]),
    ],
    ids=[
        "one between two percents is not told as the one and the other",
        "it is told anew once it has moved by one percent",
        "nearly all is all until a percent is missing",
        "nearly nothing is nothing",
        "what was told stands while an engine that has begun anew has decided nothing",
    ],
)
def test_a_share_is_told_in_whole_percent(shares: list[float | None], said: list[int]) -> None:
    activities = Activities()
    told = [activities.report(share, {}, None, now=at * EVERY_SECONDS) for at, share in enumerate(shares)]
    assert [each.automatic_percent for each in told] == said


def test_a_share_is_of_the_latest_minutes_in_which_anything_was_decided() -> None:
    recent = RecentShare()
    assert recent.share is None
    recent.add(0, 0, 0)
    assert recent.share is None
    recent.add(1, 0, 100)
    recent.add(1, 50, 100)
    assert recent.share == 0.25
    for minute in range(1000, 1000 + RECENT_MINUTES - 1):
        recent.add(minute, 10, 10)
    assert recent.share == (50 + 590) / (200 + 590)
    recent.add(5000, 5, 10)
    assert recent.share == (590 + 5) / (590 + 10)


def test_that_people_do_not_keep_up_is_said_at_once_and_taken_back_no_sooner_than_anything_else() -> None:
    activities = Activities()
    full = Reason.ReviewQueueFull
    told = [activities.report(0.5, {}, each, now=at).reviews for at, each in enumerate([None, full, None, full, None])]
    assert told == [None, full, full, full, full]
    assert activities.report(0.5, {}, None, now=1 + EVERY_SECONDS).reviews is None
