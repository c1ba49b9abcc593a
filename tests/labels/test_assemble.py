"""Which labels count, what they say, and with which probability they came to be known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from pointsman.api.decision_graph import Band, DecisionGraphSpec
from pointsman.labels.assemble import NONE, Assembled, Items, Told, assemble, silence_counts

HOUR = 3_600_000_000
MATURES = timedelta(hours=10)
NOW = 100 * HOUR
LONG_AGO, LATELY = 50 * HOUR, 95 * HOUR


def told(value: int = NONE, propensity: float = np.nan, known_at: int = 0) -> Told:
    return Told(
        values=np.array([value], dtype=np.int8),
        known_at=np.array([known_at], dtype=np.int64),
        propensities=np.array([propensity]),
    )


ITEM = Items(
    ids=[b"i" * 16],
    seq=np.array([0]),
    scores=np.array([0.01]),
    bands=np.array(["approve"], dtype=object),
    outcomes=np.array(["approve"], dtype=object),
    revisions=np.array(["r"], dtype=object),
    event_times=np.array([LONG_AGO]),
    imports=told(),
    verdicts=told(),
)


def known(**changes: object) -> Assembled:
    at = changes.pop("at", LONG_AGO)
    changed = {name: np.array([value], dtype=object) for name, value in changes.items() if isinstance(value, str)}
    changed |= {name: value for name, value in changes.items() if not isinstance(value, str)}
    items = replace(ITEM, event_times=np.array([at]), **changed)
    return assemble(items, matures_after=MATURES, passed={"approve"}, now=NOW)


def one(**changes: object) -> tuple[bool, str, float]:
    found = known(**changes)
    assert len(found.rows) == 1
    return bool(found.labels[0]), found.sources[0], float(found.propensities[0])


VERDICT = told(1, 0.01, 90 * HOUR)


def test_silence_past_the_time_means_false_and_comes_to_all() -> None:
    assert one() == (False, "Silence", 1.0)
    assert known().known_at[0] == LONG_AGO + 10 * HOUR
    assert known().matured.tolist() == [True]
    assert known(at=LATELY, verdicts=VERDICT).matured.tolist() == [False]


def test_silence_means_nothing_before_its_time() -> None:
    found = known(at=LATELY)
    assert (len(found.rows), found.waiting) == (0, 1)


@pytest.mark.parametrize(
    ("band", "outcome"), [("freeze", "decline"), ("approve", "review"), ("review", "review")], ids=str
)
def test_silence_means_nothing_where_the_outcome_kept_the_truth_from_showing(band, outcome) -> None:
    assert len(known(bands=band, outcomes=outcome).rows) == 0


def test_silence_speaks_of_what_passed_although_its_band_would_have_stopped_it() -> None:
    assert one(bands="freeze", outcomes="approve") == (False, "Silence", 1.0)


def test_the_outcomes_that_let_the_truth_show_are_those_of_bands_that_promise_a_false_label_alone() -> None:
    def but(*outcomes: str) -> frozenset[str]:
        promise = {"maxError": "1%"}
        thresholds = ({"below": "0.1"}, {"atLeast": "0.1", "below": "0.5"}, {"atLeast": "0.5"})
        bands = [
            Band.model_validate(
                {"name": f"b{at}", "outcome": outcome} | bounds | ({} if at == 1 else {"promise": promise})
            )
            for at, (outcome, bounds) in enumerate(zip(outcomes, thresholds, strict=True))
        ]
        return silence_counts(DecisionGraphSpec.model_construct(bands=bands))

    assert but("approve", "review", "decline") == {"approve"}
    assert but("flag", "review", "flag") == set()


def test_a_verdict_counts_at_once_with_the_probability_of_the_draw() -> None:
    assert one(at=LATELY, verdicts=VERDICT) == (True, "Verdict", 0.01)


def test_past_the_time_a_drawn_item_is_one_like_all_others() -> None:
    assert one(verdicts=VERDICT) == (True, "Verdict", 1.0)


def test_ground_truth_outweighs_a_verdict() -> None:
    assert one(verdicts=VERDICT, imports=told(0)) == (False, "Import", 1.0)
    assert one(at=LATELY, verdicts=VERDICT, imports=told(0)) == (False, "Import", 0.01)


def test_ground_truth_that_comes_early_counts_only_where_it_is_known_how_its_events_were_chosen() -> None:
    early = known(at=LATELY, imports=told(1))
    assert (len(early.rows), early.set_aside, early.waiting) == (0, 1, 0)
    assert one(at=LATELY, imports=told(1, 0.5)) == (True, "Import", 0.5)
    assert one(imports=told(1)) == (True, "Import", 1.0)


def test_a_verdict_on_what_its_own_fate_brought_before_people_does_not_count() -> None:
    found = known(at=LATELY, verdicts=told(1, np.nan))
    assert (len(found.rows), found.set_aside) == (0, 1)


def test_nothing_decided_is_nothing_labelled() -> None:
    nothing = Told(values=np.array([], np.int8), known_at=np.array([], np.int64), propensities=np.array([]))
    empty = {name: np.array([], dtype=object) for name in ("bands", "outcomes", "revisions")}
    times = {name: np.array([], dtype=np.int64) for name in ("seq", "event_times")}
    items = Items(ids=[], scores=np.array([]), imports=nothing, verdicts=nothing, **empty, **times)
    assert len(assemble(items, matures_after=MATURES, passed={"approve"}, now=NOW).rows) == 0


def test_weights_undo_the_selection() -> None:
    """Doubtful items are drawn four times as often as others, and are true ten times as often."""
    rng, size = np.random.default_rng(7), 60_000
    doubtful = rng.random(size) < 0.2
    truth = rng.random(size) < np.where(doubtful, 0.3, 0.03)
    chance = np.where(doubtful, 0.4, 0.1)
    drawn = rng.random(size) < chance
    verdicts = Told(
        values=np.where(drawn, truth, NONE).astype(np.int8),
        known_at=np.zeros(size, np.int64),
        propensities=np.where(drawn, chance, np.nan),
    )
    nothing = Told(
        values=np.full(size, NONE, np.int8), known_at=np.zeros(size, np.int64), propensities=np.full(size, np.nan)
    )
    texts = {name: np.full(size, "approve", dtype=object) for name in ("bands", "outcomes", "revisions")}
    lately = {"seq": np.arange(size), "event_times": np.full(size, LATELY), "scores": np.zeros(size)}
    items = Items(ids=[b""] * size, imports=nothing, verdicts=verdicts, **texts, **lately)
    found = assemble(items, matures_after=MATURES, passed={"approve"}, now=NOW)
    weighted = found.weights[found.labels].sum() / found.weights.sum()
    assert abs(weighted - truth.mean()) < 0.01
    assert found.labels.mean() > truth.mean() + 0.03
