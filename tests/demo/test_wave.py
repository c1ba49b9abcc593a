"""A new kind of fraud in a stream: what was there stays, and what is added looks like what cards usually buy."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.demo.wave import with_wave

SETTINGS = GeneratorSettings(customers=200, terminals=200, days=4, seed=3)
BEGINS = SETTINGS.day(2)


@pytest.fixture(scope="module")
def stream():
    return generate(SETTINGS)


def test_what_was_in_the_stream_stays_and_before_the_wave_nothing_is_added(stream) -> None:
    after = with_wave(stream, BEGINS, seed=1)
    added = np.array([id_.startswith("w") for id_ in after.transaction_id.tolist()])
    assert as_json_lines(after, ~added) == as_json_lines(stream)
    assert after.arrived_at[added].min() >= BEGINS
    assert (np.diff(after.arrived_at) >= 0).all()


def test_of_the_events_that_follow_the_share_is_fraud_of_known_cards(stream) -> None:
    after = with_wave(stream, BEGINS, seed=1, share=0.2)
    _, rest = after.split(BEGINS)
    rest = rest.take(rest.accepted())
    added = np.array([id_.startswith("w") for id_ in rest.transaction_id.tolist()])
    assert added.mean() == pytest.approx(0.2, abs=0.01)
    assert rest.fraud[added].all()
    assert len(set(rest.transaction_id.tolist())) == len(rest)
    pairs = set(zip(rest.card_id[~added].tolist(), rest.card_account[~added].tolist(), strict=True))
    assert set(zip(rest.card_id[added].tolist(), rest.card_account[added].tolist(), strict=True)) <= pairs


def test_the_same_seed_gives_the_same_wave(stream) -> None:
    one, two, other = (as_json_lines(with_wave(stream, BEGINS, seed=seed)) for seed in (1, 1, 2))
    assert one == two != other
