"""Deciding one batch while the one before is being written: same answers, nothing lost, nothing out of order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pointsman.decisions.engine import Engine, Submission, Superseded
from pointsman.library import GraphLibrary


def submission(events: list[object]) -> list[Submission]:
    return [Submission(events=events, arrived=0.0, synchronous=False)]


def pipelined(engine: Engine, events: list[object], size: int) -> list[dict[str, object]]:
    """As a host does it: the next batch is decided before the one before has been committed."""
    answers, writing = list[dict[str, object]](), None
    with ThreadPoolExecutor(max_workers=1) as thread:
        for at in range(0, len(events), size):
            decided = engine.decide(submission(events[at : at + size]))
            if writing is not None:
                answers += writing.result()[0]
            writing = thread.submit(engine.commit, decided)
        answers += writing.result()[0]
    return answers


def test_answers_are_those_of_one_batch_after_the_other(open_engine, events, library) -> None:
    answers = pipelined(open_engine(), events, 150)
    expected = GraphLibrary(library.graph, library._ports).decide(events)
    scores = {each["id"]: each["score"] for each in answers if "deadLetter" not in each}
    for each in expected:
        if each["outcome"] != "deadLetter":
            assert scores[each["id"]] == each["score"]


def test_a_duplicate_of_an_event_on_its_way_to_the_store_gets_the_same_answer(open_engine, event) -> None:
    engine, twice = open_engine(), event()
    with ThreadPoolExecutor(max_workers=1) as thread:
        first = engine.decide(submission([twice]))
        deciding = thread.submit(engine.decide, submission([twice]))
        (one,) = engine.commit(first)[0]
        (other,) = engine.commit(deciding.result())[0]
    assert other == {**one, "duplicate": True, "reasons": list(one["reasons"])}


def test_after_a_commit_that_failed_what_was_decided_on_it_is_superseded(open_engine, event, monkeypatch) -> None:
    engine = open_engine()
    first, second = event(), event()
    one, two = engine.decide(submission([first])), engine.decide(submission([second]))
    with monkeypatch.context() as patched:
        patched.setattr(engine._committer, "commit", raises(psycopg.OperationalError("gone")))
        with pytest.raises(psycopg.OperationalError):
            engine.commit(one)
    with pytest.raises(Superseded):
        engine.commit(two)
    with pytest.raises(Superseded):
        engine.decide(submission([event()]))
    ((a,),) = engine.process(submission([first]))
    ((b,),) = engine.process(submission([second]))
    assert (a["seq"], b["seq"]) == (0, 1)
    assert "duplicate" not in a
    assert "duplicate" not in b


def raises(error: Exception):
    def call(*arguments: object) -> None:
        raise error

    return call
