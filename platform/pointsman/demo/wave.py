"""A new kind of fraud, added to a stream from some moment on: copies of cards that buy what the card's holder usually buys.

The example's models have never seen it and approve nearly all of it: what was certified before does not hold for it. Pure.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from pointsman.demo.transactions import Defect, Kind, Scenario, Transactions

SHARE = 0.15
"""Of the events from its beginning on"""
DELAY_SECONDS = 2.0
COMPLAINT_US = 36 * 3600 * 1_000_000
"""How long after the purchase the bank hears of it"""


def with_wave(stream: Transactions, begins: int, *, seed: int, share: float = SHARE) -> Transactions:
    """The stream with the wave in it, in order of arrival; rows that arrive before `begins` (µs) stay as they are."""
    random = np.random.default_rng(seed)
    copied = np.flatnonzero(stream.accepted() & (stream.arrived_at >= begins))
    count = round(len(copied) * share / (1 - share))
    rows = stream.take(random.choice(copied, count))
    occurred = random.integers(begins, int(stream.arrived_at[-1]), count)
    arrived = occurred + (random.exponential(DELAY_SECONDS, count) * 1e6).astype(np.int64)
    wave = {each.name: getattr(rows, each.name) for each in fields(rows)} | {
        "transaction_id": np.array([f"w{begins // 1_000_000}{at:06d}" for at in range(count)], dtype=object),
        "occurred_at": occurred,
        "known_at": arrived,
        "arrived_at": arrived,
        "fraud": np.ones(count, dtype=np.bool_),
        "label_known_at": occurred + COMPLAINT_US,
        "scenario": _all(Scenario.CARD, count),
        "kind": _all(Kind.NORMAL, count),
        "defect": _all(Defect.NONE, count),
    }
    both = Transactions(**{name: np.concatenate([getattr(stream, name), column]) for name, column in wave.items()})
    return both.take(np.argsort(both.arrived_at, kind="stable"))


def _all(member: Any, count: int) -> np.ndarray[Any, np.dtype[np.object_]]:
    column = np.empty(count, dtype=object)
    column[:] = member
    return column
