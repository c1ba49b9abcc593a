"""The nightly twin decides what arrived on a day, as one batch, exactly as the continuous path decides it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import orjson
import pytest

from pointsman.demo.comparing import Answer, Assumptions, Ran, compare
from pointsman.demo.cost import Prices
from pointsman.demo.dataset import event_columns
from pointsman.demo.decided import Nightly
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.transactions import DAY_US, Kind, as_json_lines
from pointsman.demo.twin import as_decided, decide_by_night, nights_of
from pointsman.library import load, open_resolved

FRAUD = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
SETTINGS = GeneratorSettings(customers=300, terminals=300, days=12, seed=5, duplicate_share=0.05, conflict_share=0.01)
BEGINS = SETTINGS.day(9)
ASSUMED = Assumptions(nightly=Nightly(), reviewers=Reviewers(), prices=Prices())


@pytest.fixture(scope="module")
def parts():
    """What came before, and the stream."""
    before, stream = generate(SETTINGS).split(BEGINS)
    return before.take(before.accepted()), stream


@pytest.fixture(scope="module")
def as_they_came(parts):
    """The same stream decided a few events at a time, each id once."""
    before, stream = parts
    library = load(FRAUD)
    library.warm_up(event_columns(before))
    answers = {}
    lines = as_json_lines(stream)
    for start in range(0, len(lines), 7):
        events = map(orjson.loads, lines[start : start + 7])
        new = [event for event in events if event.get("transaction_id") not in answers]
        answers |= {each["id"]: each for each in library.decide(new) if each["outcome"] != "deadLetter"}
    return answers


@pytest.fixture(scope="module")
def nightly(parts):
    before, stream = parts
    library = load(FRAUD)
    library.warm_up(event_columns(before))
    return library, decide_by_night(library, stream)


def test_nights_hold_what_arrived_between_two_midnights_and_nothing_is_left_out(parts):
    _, stream = parts
    nights = list(nights_of(stream))
    assert [len({*(night.arrived_at // DAY_US).tolist()}) for night in nights] == [1] * len(nights)
    assert np.array_equal(np.concatenate([night.transaction_id for night in nights]), stream.transaction_id)


def test_a_stream_of_nothing_has_no_nights(parts):
    assert list(nights_of(parts[1].take(slice(0)))) == []


def test_the_twin_decides_to_the_bit_what_deciding_a_few_at_a_time_decides(as_they_came, nightly):
    _, twin = nightly
    assert twin.decisions == as_they_came
    assert {each["outcome"] for each in twin.decisions.values()} == {"approve", "review", "decline"}
    assert twin.cpu_seconds > 0


def test_what_is_sent_again_after_midnight_keeps_its_first_decision(parts):
    _, stream = parts
    twice = stream.take(np.flatnonzero(stream.kind == Kind.NORMAL)[[0, 0]])
    twice = dataclasses.replace(twice, arrived_at=twice.arrived_at + np.array([0, DAY_US]))
    once = decide_by_night(load(FRAUD), twice.take(slice(0, 1)))
    found = decide_by_night(load(FRAUD), twice)
    assert (once.nights, found.nights) == (1, 2)
    assert found.decisions == once.decisions


def test_what_was_decided_before_the_stream_is_not_decided_again(parts, nightly):
    before, stream = parts
    again = stream.take(stream.kind == Kind.DUPLICATE)
    assert len(again) > 20
    library = load(FRAUD)
    library.warm_up(event_columns(before))
    assert decide_by_night(library, again, known_ids=nightly[1].decisions.keys()).decisions == {}


def test_rows_carry_the_truth_and_freeze_where_their_band_does(parts, nightly):
    _, stream = parts
    library, twin = nightly
    decided = as_decided(stream, twin, library)
    assert len(decided) == stream.accepted().sum() == len(twin.decisions)
    assert decided.fraud.sum() == stream.take(stream.accepted()).fraud.sum()
    assert np.array_equal(decided.freezes, decided.outcome == "decline")
    assert decided.freezes.any()
    assert 0 < decided.audited.sum() < 0.03 * len(decided)
    assert "review" not in decided.outcome[decided.audited]


def ran(answers) -> Ran:
    return Ran(
        answers=answers,
        decision_seconds=0.05,
        freeze_seconds={},
        slowest_freezes=0.5,
        cpu_seconds=10.0,
        seconds=8.0,
    )


def test_the_comparison_counts_how_many_decisions_agree_with_the_recorded_ones(parts, as_they_came):
    before, stream = parts
    recorded = {
        id_: Answer(outcome=each["outcome"], band=each["band"], score=each["score"])
        for id_, each in as_they_came.items()
    }
    first = next(iter(recorded))
    recorded[first] = Answer(outcome="approve", band="approve", score=0.123)
    revision = load(FRAUD).graph.resolved
    library = open_resolved(revision)
    library.warm_up(event_columns(before))
    found = compare(library, stream, ran(recorded), ASSUMED)
    assert (found.agreed, found.compared) == (len(recorded) - 1, len(recorded))
    assert found.thresholds.approve_below == 0.06
    assert found.thresholds.act_at_least == 0.85
    assert found.continuous.measured.lost_cents <= found.nightly.measured.lost_cents
    assert found.continuous.cost.cpu_seconds == 10.0
    assert found.nightly.cost.cpu_seconds == found.twin.cpu_seconds
