"""Seasons of card payments, each on a seed of its own that nothing was tuned on: what people must look at with certified bands
and with one threshold set by hand, and what a monitor saves when fraud changes.

As in the demo the trees learn from a season's first days, and the LSTM is the example's. Bands are certified on the labelled
days that follow; then come calm days, and days on which fraud hides. Writes benchmarks/results/seasons.json: `make bench`.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from certificates import picked
from engine import EXAMPLE, machine, write
from scoring import Doubles, Mask, scored

from pointsman.certificates.certify import certify
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import Promised, promises
from pointsman.demo.comparison import APPROVE, DECLINE
from pointsman.demo.decided import Decided, as_they_arrive
from pointsman.demo.generator import GeneratorSettings, Transactions, generate
from pointsman.demo.hand_set import HandSet, Load, beside_hand_set, hand_set_threshold
from pointsman.demo.report import REVIEW
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.train import TrainingSettings, train
from pointsman.demo.transactions import DAY_US
from pointsman.graphs.audit import drawn
from pointsman.graphs.identity import decision_ids
from pointsman.library import load
from pointsman.monitoring.monitor import Monitor

SEEDS = (880_001, 880_002, 880_003, 880_004)
CUSTOMERS, ITERATIONS = 4_000, 150
LEARNED, LABELLED, CALM, DRIFTED = 30, 30, 10, 30
"""Days, one after the other"""
WARM_UP = 8
"""Days before the labelled ones that features see; the views look back seven"""
SHARES = (0.01, 0.0025)
"""Of automatic decisions that are audited: the first is the example's"""
DRAWS = 5
"""In each season, so often is another sample drawn"""
DECISION_SECONDS, FREEZE_SECONDS = 0.1, 2.0
"""Assumed: from an event's arrival to its decision, and from there to its freeze"""
REVIEWERS = Reviewers()


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Below the first all is approved, from the second on all is frozen; infinite where nothing is certified."""

    approve: float
    freeze: float


@dataclass(frozen=True, kw_only=True)
class Days:
    """Transactions that are decided, with their scores; `always` are those that a person sees whatever the score."""

    transactions: Transactions
    scores: Doubles
    always: Mask
    ids: Sequence[bytes]

    def take(self, rows: Mask) -> Days:
        return Days(
            transactions=self.transactions.take(rows),
            scores=self.scores[rows],
            always=self.always[rows],
            ids=[self.ids[at] for at in np.flatnonzero(rows).tolist()],
        )


@dataclass(frozen=True, kw_only=True)
class Season:
    """What a graph with models of its own makes of one seed."""

    bands: Sequence[Promised]
    labelled: Days
    calm: Days
    drifted: Days
    certified: Thresholds
    picked: Thresholds


def main() -> None:
    """Run it all; with --quick one short season, and no result is kept."""
    quick = "--quick" in sys.argv[1:]
    seasons = [small()] if quick else [season(seed) for seed in SEEDS]
    result = {
        **machine(),
        "seeds": list(SEEDS),
        "days": {"learned": LEARNED, "labelled": LABELLED, "calm": CALM, "drifted": DRIFTED},
        "decisions": sum(len(each.scores) for every in seasons for each in (every.calm, every.drifted)),
        "reviewers": {"count": REVIEWERS.count, "minutes_an_item": REVIEWERS.minutes_an_item},
        "load": [load_of(each) for each in seasons],
        "drift": {str(share): drift(seasons, share) for share in SHARES},
    }
    if not quick:
        write("seasons", result)
    for name in ("load", "drift"):
        print(name, result[name])  # noqa: T201


def small() -> Season:
    """A season that takes seconds, with whatever it can certify."""
    return season(SEEDS[0], customers=400, iterations=20)


def season(seed: int, *, customers: int = CUSTOMERS, iterations: int = ITERATIONS) -> Season:
    """Generate, train, score and certify."""
    drift_day = LEARNED + LABELLED + CALM
    settings = GeneratorSettings(
        seed=seed, customers=customers, terminals=customers, days=drift_day + DRIFTED, drift_day=drift_day
    )
    everything = generate(settings)
    with tempfile.TemporaryDirectory(prefix="pmb") as folder:
        example = Path(folder) / "fraud"
        shutil.copytree(EXAMPLE, example)
        train(
            TrainingSettings(
                example=example,
                history=replace(settings, days=LEARNED, drift_day=None),
                iterations=iterations,
                export=example / "models",
            ),
            history=everything.split(settings.day(LEARNED))[0],
        )
        library = load(example)
    _, seen = everything.split(settings.day(LEARNED - WARM_UP))
    seen = seen.take(seen.accepted())
    scores, always = scored(library, seen)
    ids = decision_ids(library.graph.resolved.graph_uid, seen.transaction_id.tolist())
    days = Days(transactions=seen, scores=scores, always=always, ids=ids)
    ends = [settings.day(each) for each in (LEARNED, LEARNED + LABELLED, drift_day, drift_day + DRIFTED)]
    labelled, calm, drifted = (
        days.take((seen.arrived_at >= start) & (seen.arrived_at < end)) for start, end in pairwise(ends)
    )
    bands = promises(library.graph.resolved)
    known = of(labelled)
    return Season(
        bands=bands,
        labelled=labelled,
        calm=calm,
        drifted=drifted,
        certified=certified(known, bands),
        picked=thresholds({band.name: picked(known, band) for band in bands}),
    )


def of(days: Days) -> Labelled:
    """The items that bands decide, with their labels."""
    items = Labelled(ids=days.ids, scores=days.scores, labels=days.transactions.fraud)
    return items.take(~days.always)


def certified(labelled: Labelled, bands: Sequence[Promised]) -> Thresholds:
    """What `certify` finds of the thresholds that the graph states."""
    return thresholds(
        {each.band.name: (each.band.low, each.band.high) for each in certify(labelled, bands) if each.certified}
    )


def thresholds(found: dict[str, tuple[float, float]]) -> Thresholds:
    return Thresholds(
        approve=found.get("approve", (-math.inf, -math.inf))[1], freeze=found.get("freeze", (math.inf, math.inf))[0]
    )


def load_of(season: Season) -> dict[str, Any]:
    """People's load on the calm days, with bands and with a threshold that is chosen on the labelled days."""
    history = of(season.labelled)
    by_hand = hand_set_threshold(history.scores, history.labels, season.certified.approve)
    decided = {share: decide(season, share) for share in (0.0, *SHARES)}
    found = {share: beside(each, by_hand, season.calm.always) for share, each in decided.items()}
    without = found[0.0]
    return {
        "decisions": len(season.calm.scores),
        "thresholds": {"approve": season.certified.approve, "freeze": season.certified.freeze, "by_hand": by_hand},
        "frauds": without.bands.frauds,
        **{name: numbers(each) for name, each in (("bands", without.bands), ("by_hand", without.by_hand))},
        "audited": {str(share): found[share].bands.items for share in SHARES},
        "each_by_itself": {
            "bands": int((decided[0.0].outcome == REVIEW).sum()),
            "by_hand": int((season.calm.always | ~(season.calm.scores < by_hand)).sum()),
            "audited": {str(share): int(decided[share].audited.sum()) for share in SHARES},
        },
    }


def numbers(load: Load) -> dict[str, Any]:
    return {
        "items": load.items,
        "caught": load.caught,
        "lost": load.lost_cents / 100,
        "frozen_wrongly": load.frozen_wrongly,
    }


def decide(season: Season, share: float) -> Decided:
    """The calm days as the bands decide them, with such a share audited."""
    days, bands = season.calm, season.certified
    made, frozen = days.transactions, days.scores >= bands.freeze
    outcome = np.where(days.scores < bands.approve, APPROVE, np.where(frozen, DECLINE, REVIEW)).astype(object)
    outcome[days.always] = REVIEW
    return Decided(
        occurred_at=made.occurred_at,
        arrived_at=made.arrived_at,
        cents=made.amount_cents,
        fraud=made.fraud,
        account=made.card_account,
        card=made.card_id,
        score=days.scores,
        outcome=outcome,
        freezes=outcome == DECLINE,
        audited=drawn(UUID(int=0), days.ids, share) & (outcome != REVIEW),
    )


def beside(decided: Decided, by_hand: float, always: Mask) -> HandSet:
    moments = as_they_arrive(
        decided, decision_seconds=DECISION_SECONDS, freeze_seconds=np.full(len(decided), FREEZE_SECONDS)
    )
    return beside_hand_set(decided, by_hand, always, moments, REVIEWERS)


def drift(seasons: Sequence[Season], share: float) -> dict[str, Any]:
    """What becomes of the band that approves when fraud changes, with so many of its decisions audited."""
    runs = [run for each in seasons for run in watched(each, share)]
    after = np.array([run.days for run in runs])
    low, middle, high = np.quantile(after, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    return {
        "runs": len(runs),
        "labels_a_day": float(np.mean([run.labels_a_day for run in runs])),
        "early": float((after <= 0).mean()),
        "found": float(np.isfinite(after).mean()),
        "days": {"quarter": low, "median": middle, "three_quarters": high},
        "error_before": float(np.mean([error(each.calm, each.certified) for each in seasons])),
        "error_after": float(np.mean([error(each.drifted, each.certified) for each in seasons])),
        "wrong": {
            "picked": float(np.mean([wrong(each.drifted, each.picked).sum() for each in seasons])),
            "certified": float(np.mean([wrong(each.drifted, each.certified).sum() for each in seasons])),
            "monitored": float(np.mean([run.wrong for run in runs])),
        },
        "lost": {
            "certified": float(np.mean([cents(each.drifted, each.certified).sum() / 100 for each in seasons])),
            "monitored": float(np.mean([run.lost for run in runs])),
        },
        "freezes": float(np.mean([(each.drifted.scores >= each.certified.freeze).sum() for each in seasons])),
    }


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sample of one season: after how many days of drift the band was demoted, and its wrong decisions until then."""

    days: float
    wrong: int
    lost: float
    labels_a_day: float


def watched(season: Season, share: float) -> Iterator[Run]:
    """The monitor hears each day's audited labels when the day ends."""
    parts = [(season.calm, -CALM), (season.drifted, 0)]
    band = next(each for each in season.bands if each.name == "approve")
    for draw in range(DRAWS):
        monitor, found, heard = Monitor(alpha=band.alpha), math.inf, 0
        for days, begins in parts:
            approved = is_approved(days, season.certified)
            audited = approved & drawn(UUID(int=draw), days.ids, share)
            day = (days.transactions.arrived_at - days.transactions.arrived_at[0]) // DAY_US
            for number in range(int(day[-1]) + 1):
                labels = days.transactions.fraud[audited & (day == number)].tolist()
                monitor, heard = monitor.heard(labels), heard + len(labels)
                if monitor.alarms and math.isinf(found):
                    found = begins + number + 1
        until = (season.drifted.transactions.arrived_at - season.drifted.transactions.arrived_at[0]) < found * DAY_US
        yield Run(
            days=found,
            wrong=int((wrong(season.drifted, season.certified) & until).sum()),
            lost=float((cents(season.drifted, season.certified) * until).sum() / 100),
            labels_a_day=heard / (CALM + DRIFTED),
        )


def is_approved(days: Days, bands: Thresholds) -> Mask:
    return (days.scores < bands.approve) & ~days.always


def wrong(days: Days, bands: Thresholds) -> Mask:
    """What is approved and fraud."""
    return is_approved(days, bands) & days.transactions.fraud


def cents(days: Days, bands: Thresholds) -> Doubles:
    return np.where(wrong(days, bands), days.transactions.amount_cents, 0).astype(np.float64)


def error(days: Days, bands: Thresholds) -> float:
    return float(wrong(days, bands).sum() / max(1, is_approved(days, bands).sum()))


if __name__ == "__main__":
    main()
