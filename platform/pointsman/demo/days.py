"""Which days of the generated transactions are for what: learning, certifying, streaming, and a drift. Called by the demo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from pointsman.demo.events import WARM_UP_DAYS
from pointsman.demo.generator import GeneratorSettings
from pointsman.demo.transactions import Transactions
from pointsman.demo.wave import with_wave

TRAINING_DAYS, HISTORY_DAYS = 30, 70
"""Models learn from the first days. On those that follow bands are certified, as far as their truth is known when the stream
begins."""
STREAM_DAYS, DRIFT_DAYS, DRIFT_AFTER_DAYS = 5, 5, 1
"""A run streams so many days, and then days of which the first is like those before"""
RUNS = 2
FULL = GeneratorSettings(customers=6_000, terminals=6_000, days=HISTORY_DAYS + (STREAM_DAYS + DRIFT_DAYS) * RUNS)
DECIDED = "SELECT event_id FROM decisions WHERE graph_uid = %s"


@dataclass(frozen=True, kw_only=True)
class Days:
    """A run's events: what is streamed, and what then comes with a drift, from a moment (µs) on.

    `before` is what views are to have seen before anything is decided, and `decided` what was decided by earlier runs.
    """

    before: Transactions
    decided: frozenset[str]
    main: Transactions
    drifting: Transactions
    drift_begins: int


def next_days(connection: psycopg.Connection[TupleRow], everything: Transactions, uid: UUID) -> Days | None:
    """What follows on what was decided; None where too little is left."""
    with connection.transaction():
        decided = frozenset(id_ for (id_,) in connection.execute(DECIDED, (uid,)).fetchall())
    begins = FULL.day(HISTORY_DAYS)
    known = [at for at, id_ in enumerate(everything.transaction_id.tolist()) if id_ in decided] if decided else []
    if known:
        begins = int(everything.arrived_at[known[-1]]) + 1
    days = [begins + FULL.day(each) - FULL.day(0) for each in (0, STREAM_DAYS, STREAM_DAYS + DRIFT_DAYS)]
    if days[-1] > FULL.day(FULL.days + 1):
        return None
    main, rest = (everything.split(end)[0].split(first)[1] for first, end in pairwise(days))
    drift_begins = days[1] + FULL.day(DRIFT_AFTER_DAYS) - FULL.day(0)
    before = between(everything, HISTORY_DAYS - WARM_UP_DAYS, HISTORY_DAYS)
    return Days(
        before=before.take(before.accepted()),
        decided=decided,
        main=main,
        drifting=with_wave(rest, drift_begins, seed=FULL.seed),
        drift_begins=drift_begins,
    )


def to_certify_on(everything: Transactions) -> tuple[Transactions, Transactions]:
    """What views see before, and the history on which bands are certified; only what becomes decisions."""
    some = everything.take(everything.accepted())
    matured = HISTORY_DAYS - FULL.label_delay_days
    return between(some, TRAINING_DAYS - WARM_UP_DAYS, TRAINING_DAYS), between(some, TRAINING_DAYS, matured)


def between(everything: Transactions, first: float, end: float) -> Transactions:
    """What arrives from the beginning of one day to that of another."""
    return everything.split(FULL.day(end))[0].split(FULL.day(first))[1]
