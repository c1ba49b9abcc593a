"""How often certified thresholds break their promise, and how often thresholds do that were picked on the same labels.

The world are generated transactions, scored by the example's graph, with seeds that nothing was tuned on. Each resplit draws
labelled items from it; what a threshold's error is in truth is then counted on all the others. The second part labels items
with different probabilities: a threshold of which the promise is broken must be certified in at most δ of cases.
Writes benchmarks/results/certificates.json: `make bench`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from engine import EXAMPLE, machine, write

from pointsman.certificates import bounds
from pointsman.certificates.certify import certify_on
from pointsman.certificates.choose import propose
from pointsman.certificates.costs import Scales
from pointsman.certificates.labelled import Labelled, halves
from pointsman.certificates.promise import Promised, promises
from pointsman.decisions.accept import event_columns
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.graphs.decide import GraphState, evaluate
from pointsman.graphs.identity import decision_ids
from pointsman.library import GraphLibrary, load

SEEDS = (990_001, 990_002)
"""Far from those that the example's models and thresholds were made with"""
RESPLITS, LABELLED, BATCH = 200, 60_000, 5_000
DRAWN, SURE, SELDOM = 0.5, 0.005, 0.1
"""In the second part: the share of the world that is decided in each run; of that, items below the second number are all
labelled, others with the third as probability"""
PROMISES = {"kept": 5.0, "broken": 0.95}
"""The promise, as a multiple of the band's true error"""

Intervals = list[tuple[float, float]]


def main() -> None:
    """Run it all."""
    library = load(EXAMPLE)
    world = scored(library)
    write(
        "certificates",
        {
            **machine(),
            "seeds": list(SEEDS),
            "world": len(world),
            "labelled": LABELLED,
            "resplits": RESPLITS,
            "bands": resplit(world, promises(library.graph.resolved)),
            "weighted": weighted(world, promises(library.graph.resolved)[0]),
        },
    )


def scored(library: GraphLibrary) -> Labelled:
    """All seeds' transactions with their scores, each seed seen by a state of its own."""
    scores, labels, ids = list[npt.NDArray[np.float64]](), list[npt.NDArray[np.bool_]](), list[bytes]()
    graph = library.graph
    for seed in SEEDS:
        made = generate(GeneratorSettings(seed=seed))
        accepted = made.take(made.accepted())
        columns = event_columns(graph.contract.read([orjson.loads(line) for line in as_json_lines(accepted)]).columns)
        state = GraphState(graph.views)
        for at in range(0, len(accepted.fraud), BATCH):
            batch = {name: column.take(slice(at, at + BATCH)) for name, column in columns.items()}
            scores.append(evaluate(graph, batch, state, library._ports, now=datetime.now(UTC)).score)
            state.commit()
        labels.append(accepted.fraud)
        ids += decision_ids(graph.resolved.graph_uid, [f"{seed} {id_}" for id_ in accepted.transaction_id.tolist()])
    items = Labelled(ids=ids, scores=np.concatenate(scores), labels=np.concatenate(labels))
    return items.take(~np.isnan(items.scores))


def resplit(world: Labelled, bands: Sequence[Promised]) -> dict[str, Any]:
    """By band: how often each way of finding thresholds breaks the promise, and how much it automates."""
    found: dict[str, dict[str, Intervals]] = {band.name: {"certified": [], "picked": []} for band in bands}
    drawn, seconds = list[npt.NDArray[np.bool_]](), 0.0
    random, tests = np.random.default_rng(SEEDS[0]), is_tested(world)
    for _ in range(RESPLITS):
        mask = np.zeros(len(world), dtype=np.bool_)
        mask[random.choice(len(world), LABELLED, replace=False)] = True
        drawn.append(mask)
        choosing, testing = bare(world, mask & ~tests), bare(world, mask & tests)
        began = time.perf_counter()
        outcomes = certify_on(testing, bands, propose(Scales.plain(choosing), bands).by_band())
        seconds += time.perf_counter() - began
        for each in outcomes:
            interval = (each.test.low, each.test.high) if each.certified else (math.nan, math.nan)
            found[each.band.name]["certified"].append(interval)
        for band in bands:
            found[band.name]["picked"].append(picked(bare(world, mask), band))
    return {
        band.name: {
            "promise": band.alpha,
            "delta": band.delta,
            **{way: judged(world, drawn, band, found[band.name][way]) for way in ("certified", "picked")},
            "seconds": round(seconds / RESPLITS, 2),
        }
        for band in bands
    }


def is_tested(world: Labelled) -> npt.NDArray[np.bool_]:
    """Which items belong to the half that tests, found once for all resplits: it goes by the items' ids alone."""
    tested = set(halves(world)[1].ids)
    return np.array([id_ in tested for id_ in world.ids], dtype=np.bool_)


def bare(world: Labelled, rows: npt.NDArray[np.bool_]) -> Labelled:
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


def judged(
    world: Labelled, drawn: Sequence[npt.NDArray[np.bool_]], band: Promised, intervals: Intervals
) -> dict[str, Any]:
    """The truth about thresholds, each on the items that were not drawn."""
    wrong = world.labels != band.label
    errors, shares = list[float](), list[float]()
    for mask, (low, high) in zip(drawn, intervals, strict=True):
        if math.isnan(low):
            continue
        inside = ~mask & (world.scores >= low) & (world.scores < high)
        errors.append(float(wrong[inside].mean()))
        shares.append(float(inside.sum() / (~mask).sum()))
    broken = sum(error > band.alpha for error in errors)
    return {
        "found": len(errors),
        "broken": broken,
        "broken_share": broken / len(drawn),
        "at_most": bounds.upper_bound(broken, len(drawn), 0.05),
        "median_error": float(np.median(errors)) if errors else None,
        "worst_error": max(errors, default=None),
        "automatic_share": float(np.mean(shares)) if shares else 0.0,
    }


def weighted(world: Labelled, band: Promised) -> dict[str, Any]:
    """How often a band is certified whose labels come mostly from sure items, plainly and with weights."""
    inside = bare(world, is_tested(world) & (world.scores >= band.low) & (world.scores < band.high))
    truth = float((inside.labels != band.label).mean())
    propensities = np.where(inside.scores < SURE, 1.0, SELDOM)
    random = np.random.default_rng(SEEDS[1])
    counted = {name: {"plain": 0, "weighted": 0} for name in PROMISES}
    for _ in range(RESPLITS):
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
        "runs": RESPLITS,
        "labelled_share": {"sure": 1.0, "others": SELDOM},
        "promises": {name: {"promise": truth * times, **counted[name]} for name, times in PROMISES.items()},
    }


if __name__ == "__main__":
    main()
