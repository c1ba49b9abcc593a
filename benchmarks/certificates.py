"""How often certified thresholds break their promise, and how often thresholds do that were picked on the same labels.

The world are generated transactions, scored by the example's graph, with seeds that nothing was tuned on. Each resplit draws
labelled items from it; what a threshold's error is in truth is then counted on all the others. The second part labels items
with different probabilities: a threshold of which the promise is broken must be certified in at most δ of cases.
Writes benchmarks/results/certificates.json: `make bench`.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from engine import EXAMPLE, machine, write
from scoring import Mask, certified, scored

from pointsman.certificates import bounds
from pointsman.certificates.certify import certify_on
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import Promised, promises
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.graphs.identity import decision_ids
from pointsman.library import GraphLibrary, load

SEEDS = tuple(range(990_001, 990_007))
"""Far from those that the example's models and thresholds were made with"""
RESPLITS, SIZES = 200, (60_000, 120_000, 240_000)
"""How often labelled items are drawn, and how many at a time"""
DRAWN, SURE, SELDOM = 1 / 6, 0.005, 0.1
"""In the second part: the share of the world that is decided in each run; of that, items below the second number are all
labelled, others with the third as probability"""
PROMISES = {"kept": 5.0, "broken": 0.95}
"""The promise, as a multiple of the band's true error"""


def main() -> None:
    """Run it all; with --quick little of it, and no result is kept."""
    quick = "--quick" in sys.argv[1:]
    runs, sizes = (3, (30_000,)) if quick else (RESPLITS, SIZES)
    library = load(EXAMPLE)
    bands = promises(library.graph.resolved)
    world = generated(library, SEEDS[:1] if quick else SEEDS)
    tested = is_tested(world)
    result = {
        **machine(),
        "seeds": list(SEEDS),
        "world": len(world),
        "resplits": runs,
        "sizes": {str(size): resplit(world, tested, bands, size, runs) for size in sizes},
        "weighted": weighted(world.take(tested), bands[0], runs),
    }
    if not quick:
        write("certificates", result)
    print(result["sizes"], result["weighted"])  # noqa: T201


def generated(library: GraphLibrary, seeds: Sequence[int]) -> Labelled:
    """All seeds' transactions that have a score, in its order; each seed is seen by a state of its own."""
    scores, labels, ids = list[npt.NDArray[np.float64]](), list[Mask](), list[bytes]()
    for seed in seeds:
        made = generate(GeneratorSettings(seed=seed))
        made = made.take(made.accepted())
        scores.append(scored(library, made)[0])
        labels.append(made.fraud)
        uid = library.graph.resolved.graph_uid
        ids += decision_ids(uid, [f"{seed} {id_}" for id_ in made.transaction_id.tolist()])
    everything = np.concatenate(scores)
    order = np.argsort(everything, kind="stable")
    order = order[~np.isnan(everything[order])]
    return Labelled(
        ids=[ids[at] for at in order.tolist()], scores=everything[order], labels=np.concatenate(labels)[order]
    )


def is_tested(world: Labelled) -> Mask:
    """Which items belong to the half that tests, found once for all resplits: it goes by the items' ids alone."""
    tested = set(halves(world)[1].ids)
    return np.array([id_ in tested for id_ in world.ids], dtype=np.bool_)


@dataclass(kw_only=True)
class Way:
    """What one way of finding a band's thresholds has led to: the true error of each, and the share that it automates."""

    errors: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def judge(self, world: Labelled, drawn: Mask, band: Promised, low: float, high: float) -> None:
        """The truth about thresholds, on the items that were not drawn."""
        inside = slice(*np.searchsorted(world.scores, [low, high]).tolist())
        others = ~drawn[inside]
        self.errors.append(float((world.labels[inside] != band.label)[others].mean()))
        self.shares.append(float(others.sum() / (len(world) - drawn.sum())))

    def summed_up(self, band: Promised, runs: int) -> dict[str, Any]:
        broken = sum(error > band.alpha for error in self.errors)
        return {
            "found": len(self.errors),
            "broken": broken,
            "broken_share": broken / runs,
            "at_most": bounds.upper_bound(broken, runs, 0.05),
            "median_error": statistics.median(self.errors) if self.errors else None,
            "worst_error": max(self.errors, default=None),
            "automatic_share": sum(self.shares) / runs,
        }


def resplit(world: Labelled, tested: Mask, bands: Sequence[Promised], size: int, runs: int) -> dict[str, Any]:
    """By band: how often each way of finding thresholds breaks the promise, and how much it automates."""
    ways = {(band.name, way): Way() for band in bands for way in ("certified", "picked")}
    more = {band.name: list[int]() for band in bands}
    random = np.random.default_rng([SEEDS[0], size])
    for _ in range(runs):
        drawn = np.zeros(len(world), dtype=np.bool_)
        drawn[random.choice(len(world), size, replace=False, shuffle=False)] = True
        for each in certified(bare(world, drawn & ~tested), bare(world, drawn & tested), bands):
            if each.certified:
                ways[each.band.name, "certified"].judge(world, drawn, each.band, each.test.low, each.test.high)
            elif each.needed is not None:
                more[each.band.name].append(each.needed)
        for band in bands:
            low, high = picked(bare(world, drawn), band)
            if not math.isnan(low):
                ways[band.name, "picked"].judge(world, drawn, band, low, high)
    return {
        band.name: {
            "promise": band.alpha,
            "delta": band.delta,
            **{way: ways[band.name, way].summed_up(band, runs) for way in ("certified", "picked")},
            "more_needed": statistics.median(more[band.name]) if more[band.name] else None,
        }
        for band in bands
    }


def bare(world: Labelled, rows: Mask) -> Labelled:
    """These rows without their ids, which are needed no more."""
    return Labelled(ids=[b""] * int(rows.sum()), scores=world.scores[rows], labels=world.labels[rows])


def picked(labelled: Labelled, band: Promised) -> tuple[float, float]:
    """The largest band of which the share of wrong items is within the promise on these labels: what people do."""
    order = np.argsort(-labelled.scores if band.label else labelled.scores, kind="stable")
    scores, wrong = labelled.scores[order], (labelled.labels != band.label)[order]
    rates = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    last = np.flatnonzero(rates <= band.alpha)
    if not len(last):
        return math.nan, math.nan
    edge = float(scores[last[-1]])
    return (edge, math.inf) if band.label else (-math.inf, float(np.nextafter(edge, math.inf)))


def weighted(world: Labelled, band: Promised, runs: int) -> dict[str, Any]:
    """How often a band is certified whose labels come mostly from sure items, plainly and with weights."""
    inside = bare(world, (world.scores >= band.low) & (world.scores < band.high))
    truth = float((inside.labels != band.label).mean())
    propensities = np.where(inside.scores < SURE, 1.0, SELDOM)
    random = np.random.default_rng(SEEDS[1])
    counted = {name: {"plain": 0, "weighted": 0} for name in PROMISES}
    for _ in range(runs):
        drawn = random.random(len(inside)) < DRAWN
        seen = drawn & (random.random(len(inside)) < propensities)
        plain = bare(inside, seen)
        known = replace(plain, propensities=propensities[seen], smallest_propensity=SELDOM)
        promised = [replace(band, name=name, alpha=truth * times) for name, times in PROMISES.items()]
        for way, labelled in (("plain", plain), ("weighted", known)):
            for outcome in certify_on(labelled, promised):
                counted[outcome.band.name][way] += outcome.certified
    return {
        "truth": truth,
        "delta": band.delta,
        "runs": runs,
        "labelled_share": {"sure": 1.0, "others": SELDOM},
        "promises": {name: {"promise": truth * times, **counted[name]} for name, times in PROMISES.items()},
    }


if __name__ == "__main__":
    main()
