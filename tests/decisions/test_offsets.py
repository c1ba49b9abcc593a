"""What was read from a source moves its offsets with the decisions, and is decided only where the offsets stand."""

from __future__ import annotations

import psycopg
import pytest

from pointsman.decisions.engine import Engine, Fenced, Misplaced, Submission, Superseded
from pointsman.decisions.offsets import Stretch

SOURCE = "kafka:events/id"


def read(events: list[object], start: int) -> list[Submission]:
    """Events of partition 0, from an offset on."""
    end = start + len(events)
    stretch = Stretch(
        source=SOURCE, label="kafka:events", places=[(0, at) for at in range(start, end)], moves={0: (start, end)}
    )
    return [Submission(events=events, arrived=0.0, synchronous=False, read=stretch)]


def begun(engine: Engine) -> Engine:
    engine.begin_source(SOURCE, {0: 0})
    return engine


def stands(engine: Engine) -> int:
    return engine.offsets()[SOURCE, 0]


def test_the_offsets_are_those_of_what_is_committed_whoever_opens_the_graph(open_engine, event) -> None:
    first = begun(open_engine())
    first.process(read([event(), event()], 0))
    assert stands(first) == 2
    second = open_engine()
    assert stands(second) == 2
    second.begin_source(SOURCE, {0: 0, 1: 7})
    assert second.offsets() == {(SOURCE, 0): 2, (SOURCE, 1): 7}


def test_a_batch_behind_one_that_was_not_committed_is_refused(open_engine, event, monkeypatch) -> None:
    engine = begun(open_engine())
    one, two = [event(), event()], [event()]
    lost, behind = engine.decide(read(one, 0)), engine.decide(read(two, 2))
    with monkeypatch.context() as patched:
        patched.setattr(engine._committer, "commit", _gone)
        with pytest.raises(psycopg.OperationalError):
            engine.commit(lost)
    with pytest.raises(Superseded):
        engine.commit(behind)
    with pytest.raises(Misplaced):
        engine.process(read(two, 2))
    assert stands(engine) == 0
    engine.process(read(one, 0))
    ((answer,),) = engine.process(read(two, 2))
    assert (answer["seq"], stands(engine)) == (2, 3)


def test_a_batch_that_was_committed_though_nobody_was_told_is_not_taken_again(open_engine, event) -> None:
    engine = begun(open_engine())
    engine.process(read([event()], 0))
    with pytest.raises(Misplaced):
        engine.process(read([event()], 0))
    assert (stands(engine), engine.next_seq) == (1, 1)


def test_two_batches_on_their_way_follow_each_other(open_engine, event) -> None:
    engine = begun(open_engine())
    first = engine.decide(read([event()], 0))
    engine.commit(first)
    second = engine.decide(read([event()], 1))
    third = engine.decide(read([event()], 2))
    engine.commit(second)
    engine.commit(third)
    assert stands(open_engine()) == 3


def test_a_host_that_was_taken_over_from_moves_no_offset(open_engine, event) -> None:
    old = begun(open_engine())
    new = open_engine()
    with pytest.raises(Fenced):
        old.process(read([event()], 0))
    with pytest.raises(Fenced):
        old.begin_source(SOURCE, {1: 0})
    assert new.offsets() == {(SOURCE, 0): 0}


def _gone(batch: object) -> None:
    raise psycopg.OperationalError("gone")
