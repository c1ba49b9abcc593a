"""What the report takes from the store: answers to the bit, waits for observed freezes, and the revision, in a real database."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.decisions.queries import record_revision
from pointsman.demo.recorded_run import recorded_run
from pointsman.library import load, open_resolved

FRAUD = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"

OBSERVE = """
INSERT INTO effects (day, effect_id, action_id, fence, state, attempt, at, body)
SELECT day, %s, action_id, 1, %s, 1, created_at + %s, '' FROM actions WHERE decision_id = %s
"""


def purchase(id_: str, amount: str) -> dict[str, object]:
    return {
        "transaction_id": id_,
        "occurred_at": "2026-04-05T01:00:00Z",
        "amount": amount,
        "card_id": id_,
        "terminal_id": f"m-{id_}",
        "card_account": id_,
    }


@pytest.fixture
def decided(database_url):
    """Three purchases, two of them declined, decided by the engine; and a connection to where it wrote."""
    library = load(FRAUD)
    graph = library.graph
    with psycopg.connect(database_url, autocommit=True) as connection:
        record_revision(connection, graph.resolved)
        committer = Committer(database_url, graph_uid=graph.resolved.graph_uid, stream_uid=graph.resolved.stream_uid)
        engine = Engine(graph, library._ports, committer)
        engine.open()
        events = [purchase("small", "9.50"), purchase("large", "4000.00"), purchase("huge", "4900.00")]
        (answers,) = engine.process([Submission(events=events, arrived=time.monotonic(), synchronous=False)])
        engine.close()
        yield connection, {each["id"]: each for each in answers}


def observe(connection, decision: str, state: str, seconds: float) -> None:
    connection.execute(OBSERVE, (uuid4(), state, timedelta(seconds=seconds), UUID(decision)))


def test_answers_are_those_that_were_given(decided):
    connection, answers = decided
    found = recorded_run(connection, ["small", "large"])
    assert {id_: (each.outcome, each.band, each.score) for id_, each in found.answers.items()} == {
        id_: (answers[id_]["outcome"], answers[id_]["band"], answers[id_]["score"]) for id_ in ("small", "large")
    }


def test_a_freeze_is_timed_from_its_decision_to_the_first_observation_and_not_by_attempts(decided):
    connection, answers = decided
    observe(connection, answers["large"]["decision"], "attempted", 0.1)
    observe(connection, answers["large"]["decision"], "observed", 0.75)
    observe(connection, answers["large"]["decision"], "observed", 9)
    found = recorded_run(connection, ["small", "large", "huge"])
    assert found.freeze_seconds == {"large": 0.75}
    assert found.slowest_freezes == 0.75


def test_where_nothing_was_frozen_there_is_no_wait(decided):
    found = recorded_run(decided[0], ["small"])
    assert (found.freeze_seconds, found.slowest_freezes) == ({}, 0)


def test_the_recorded_revision_decides_the_same_again(decided):
    connection, answers = decided
    library = open_resolved(recorded_run(connection, ["small"]).revision)
    event = orjson.loads(orjson.dumps(purchase("large", "4000.00")))
    (again,) = library.decide([event])
    assert (again["outcome"], again["score"]) == (answers["large"]["outcome"], answers["large"]["score"])
    assert again["outcome"] == "decline"


def test_events_that_were_never_decided_are_refused(decided):
    with pytest.raises(LookupError, match="none of these events"):
        recorded_run(decided[0], ["unheard-of"])
