"""What a host counts is what it answered, however its events came in."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from pointsman.decisions.engine import Engine, Submission
from pointsman.decisions.stats import Histogram


def test_the_counts_are_those_of_the_answers(open_engine, submit, events) -> None:
    engine: Engine = open_engine()
    some = events[:1500]
    answers = submit(engine, [*some, *some[:50]])

    decided = [each for each in answers if "outcome" in each and "duplicate" not in each]
    stats = engine.stats
    assert stats.outcomes == Counter((each["band"] or "", each["outcome"]) for each in decided)
    assert stats.because == Counter(reason for each in decided for reason in each["reasons"])
    assert stats.dead_letters == Counter(each["reason"] for each in answers if "deadLetter" in each)
    assert len(stats.outcomes) > 1
    assert stats.dead_letters
    assert (stats.received, stats.decided) == (len(answers), len(decided))
    assert stats.duplicates == sum("duplicate" in each for each in answers)

    scores = [each["score"] for each in decided if each["score"] is not None]
    assert stats.scores.counts.sum() == len(scores)
    assert stats.scores.sum == pytest.approx(sum(scores))
    for place, bound in enumerate(stats.scores.bounds):
        assert stats.scores.counts[: place + 1].sum() == sum(score <= bound for score in scores)

    amounts = {each["transaction_id"]: each.get("amount") for each in reversed(some) if "transaction_id" in each}
    for (band, outcome), at_stake in stats.at_stake.items():
        ids = [each["id"] for each in decided if (each["band"] or "", each["outcome"]) == (band, outcome)]
        assert at_stake == pytest.approx(sum(float(amounts[id_]) for id_ in ids))


def test_an_event_waits_as_long_as_its_submission_and_by_the_side_of_its_caller(open_engine, event) -> None:
    engine = open_engine()
    now = time.monotonic()
    engine.process(
        [
            Submission(events=[event()], arrived=now - 0.06, synchronous=True),
            Submission(events=[event(), event(), event()], arrived=now - 7, synchronous=False),
        ]
    )
    engine.process([Submission(events=[event(), event()], arrived=now - 12, synchronous=False)])

    alone, company = engine.stats.synchronous, engine.stats.stream
    assert at_most(alone, 0.05) == 0
    assert at_most(alone, 5) == 1
    assert (at_most(company, 5), at_most(company, 10), at_most(company, 30)) == (0, 3, 5)
    assert company.sum == pytest.approx(3 * 7 + 2 * 12, abs=5)
    assert at_most(engine.stats.sizes, 2) == 1
    assert at_most(engine.stats.sizes, 4) == 2


def test_nothing_is_counted_of_a_batch_that_was_not_committed(open_engine, event, submit) -> None:
    engine = open_engine()
    engine.decide([Submission(events=[event()], arrived=0.0, synchronous=False)])
    assert (engine.stats.received, dict(engine.stats.outcomes), engine.stats.sizes.counts.sum()) == (0, {}, 0)
    submit(engine, [event()])
    assert (engine.stats.received, engine.stats.decided) == (1, 1)


def test_one_value_and_many_fall_into_the_same_buckets() -> None:
    bounds, values = (0.1, 0.5, 1.0), [0.0, 0.1, 0.11, 0.5, 0.9, 1.0, 1.1, 40.0, -3.0]
    one, many, counted = Histogram(bounds), Histogram(bounds), Histogram(bounds)
    for value in values:
        one.add(value)
        counted.add(value, 3)
    many.add_all(np.array(values))
    many.add_all(np.array(values), np.full(len(values), 2))
    assert one.counts.tolist() == [3, 2, 2, 2]
    assert many.counts.tolist() == counted.counts.tolist() == [9, 6, 6, 6]
    assert many.sum == pytest.approx(counted.sum)


def at_most(histogram: Histogram, bound: float) -> int:
    return int(histogram.counts[: histogram.bounds.index(bound) + 1].sum())
