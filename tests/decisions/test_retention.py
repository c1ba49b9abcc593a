"""Days of the store are dropped while a graph decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine
from pointsman.ledger.verify import verify
from pointsman.store.database import connect
from pointsman.store.retention import RetentionRefused, days, drop_before

FIRST, SECOND = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, 12, tzinfo=UTC)
SETTLE = ("UPDATE reviews SET state = 'decided'", "UPDATE outbox SET state = 'observed'")


class Clock:
    """Says the moment that it is set to."""

    now = FIRST

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(library, database_url, clock) -> Engine:
    resolved = library.graph.resolved
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    engine = Engine(library.graph, library._ports, committer, clock=clock)
    engine.open()
    yield engine
    engine.close()


def settle(url: str) -> None:
    with connect(url, autocommit=True) as connection:
        for statement in SETTLE:
            connection.execute(statement)


def test_a_day_is_dropped_while_the_stream_runs_and_the_rest_is_whole(
    engine, submit, clock, events, database_url, owner_url
) -> None:
    half = len(events) // 2
    submit(engine, events[:half])
    settle(database_url)
    clock.now = SECOND
    with ThreadPoolExecutor(max_workers=1) as thread, connect(owner_url) as owner:
        streaming = thread.submit(submit, engine, events[half:], size=20)
        dropped = drop_before(owner, SECOND.date())
        assert not streaming.done()
        answers = streaming.result()
        assert [each.day for each in dropped] == [FIRST.date()]
        assert [each.day for each in days(owner)] == [SECOND.date()]
        report = verify(owner)
    assert all("outcome" in each or "deadLetter" in each for each in answers)
    assert report.problems == ()
    assert report.erased > 0
    assert report.bodies_checked > 0


def test_an_event_of_a_dropped_day_is_not_decided_again(engine, submit, clock, events, database_url, owner_url) -> None:
    (first,) = submit(engine, events[:1])
    settle(database_url)
    with connect(owner_url) as owner:
        drop_before(owner, SECOND.date())
    clock.now = SECOND
    (again,) = submit(engine, events[:1])
    assert again["duplicate"] is True
    assert again["decision"] == first["decision"]
    assert again["reasons"] == ["RecordDropped"]
    assert engine.next_seq == 1


def test_a_day_that_people_still_have_to_do_with_is_kept(engine, submit, events, owner_url) -> None:
    submit(engine, events)
    with connect(owner_url) as owner:
        with pytest.raises(RetentionRefused, match="open review items"):
            drop_before(owner, SECOND.date())
        assert [each.day for each in days(owner)] == [FIRST.date()]


def test_today_is_kept(engine, submit, events, owner_url) -> None:
    submit(engine, events[:1])
    with connect(owner_url) as owner, pytest.raises(RetentionRefused, match="in the future"):
        drop_before(owner, date(2026, 1, 2), now=FIRST)
