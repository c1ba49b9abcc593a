"""Measures the monitors: how often they demote a band that keeps its promise, and how soon they find one that does not.

Bands are simulated with known errors, on seeds that nothing was tuned on; what hears the labels is the monitor that runs in
production. Beside it stands what no monitor of so few false alarms can do better than: a test that knows the error and the
label at which it began. The audit draw and a label's cost are timed, since both are promised.
Writes benchmarks/results/monitors.json: `make bench`.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from engine import machine, write

from pointsman.graphs.audit import drawn
from pointsman.monitoring.monitor import ALARM, Monitor

SEED = 20_271_127
ALPHA = 0.01
YEAR = 18_000
"""Audited labels of a band in a year: about fifty a day"""
RUNS, DRIFTS = 400, 200
HORIZON = 8_000

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def main() -> None:
    """Measure, and write the result; with --quick a few bands, and no result is kept."""
    quick = "--quick" in sys.argv[1:]
    rng, runs, drifts = np.random.default_rng(SEED), 5 if quick else RUNS, 5 if quick else DRIFTS
    false = alarms(rng.random((runs, YEAR)) < ALPHA)
    result: dict[str, Any] = {
        **machine(),
        "seed": SEED,
        "alpha": ALPHA,
        "false_alarms": {
            "labels": YEAR,
            "runs": runs,
            "alarms": int((false <= YEAR).sum()),
            "share": float((false <= YEAR).mean()),
        },
        "found": [
            found(f"{times:g} times the promise from the first label on", times, good, rng, drifts)
            for times, good in ((1.5, 0), (2, 0), (3, 0), (5, 0))
        ]
        + [
            found(f"{times:g} times, after {good:,} labels at half the promise", times, good, rng, drifts)
            for times, good in ((2, 4000), (5, 4000))
        ],
        "label_us": label_us(),
        "audit_us_an_event": audit_us(),
    }
    if not quick:
        write("monitors", result)
    for each in ("false_alarms", "found", "label_us", "audit_us_an_event"):
        print(each, result[each])  # noqa: T201


def alarms(labels: Mask) -> Counts:
    """After how many labels each of many bands, one a row, is demoted; one more than there are: never."""
    runs, most = labels.shape
    found = np.full(runs, most + 1)
    for run in range(runs):
        monitor, last = Monitor(alpha=ALPHA), -1
        for at in np.flatnonzero(labels[run]).tolist():  # no other label adds evidence
            monitor = monitor.heard([*[False] * (at - last - 1), True])
            last = at
            if monitor.alarms:
                found[run] = at + 1
                break
    return found


def found(name: str, times: float, good: int, rng: np.random.Generator, runs: int) -> dict[str, Any]:
    """How many labels after the error began the band is demoted, and when it would be by who knows all but the labels."""
    errors = np.concatenate([np.full(good, ALPHA / 2), np.full(HORIZON, ALPHA * times)])
    labels = rng.random((runs, len(errors))) < errors
    after, knowing = alarms(labels) - good, knows(labels[:, good:], ALPHA * times)
    low, middle, high = np.quantile(after, [0.25, 0.5, 0.75]).tolist()
    return {
        "error": name,
        "quarter": low,
        "median": middle,
        "three_quarters": high,
        "within_1000": float((after <= 1000).mean()),
        "early": float((after <= 0).mean()),
        "least": math.log(ALARM) / divergence(ALPHA * times),
        "knowing": {"median": float(np.median(knowing)), "within_1000": float((knowing <= 1000).mean())},
    }


def divergence(error: float) -> float:
    """How much a label says on average of this error against α, in nats (Kullback and Leibler)."""
    return error * math.log(error / ALPHA) + (1 - error) * math.log((1 - error) / (1 - ALPHA))


def knows(labels: Mask, error: float) -> Counts:
    """When the likelihood ratio of exactly this error against α, from its first label on, reaches what the alarm takes."""
    said = np.where(labels, math.log(error / ALPHA), math.log((1 - error) / (1 - ALPHA)))
    reached = np.cumsum(said, axis=1) >= math.log(ALARM)
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, labels.shape[1] + 1)


def label_us() -> float:
    """What a label costs a monitor that has heard a hundred thousand."""
    monitor, labels = Monitor(alpha=ALPHA).heard([False] * 100_000), [False] * 10_000
    return best(lambda: monitor.heard(labels), 10) / len(labels)


def audit_us() -> float:
    """What the draw costs an event in a batch of 1,000."""
    ids: Sequence[bytes] = [hashlib.sha256(b"%d" % at).digest()[:16] for at in range(1000)]
    return best(lambda: drawn(UUID(int=1), ids, 0.01), 200) / len(ids)


def best(call: Any, times: int) -> float:
    """The CPU of the quickest of several calls, in microseconds."""
    quickest = float("inf")
    for _ in range(times):
        began = time.process_time()
        call()
        quickest = min(quickest, time.process_time() - began)
    return quickest * 1e6


if __name__ == "__main__":
    main()
