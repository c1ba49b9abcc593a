"""Measures the monitors: how often they demote a band that keeps its promise, and how soon they find one that does not.

Bands are simulated with known errors, on seeds that nothing was tuned on; what hears the labels is the monitor that runs in
production. The audit draw and a label's cost are timed beside it, since both are promised.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from engine import machine, write

from pointsman.graphs.audit import drawn
from pointsman.monitoring.monitor import Monitor

SEED = 20_271_127
ALPHA = 0.01
YEAR = 18_000
"""Audited labels of a band in a year: about fifty a day"""
RUNS, DRIFTS = 400, 200
HORIZON = 8_000


def main() -> None:
    """Measure, and write the result."""
    rng = np.random.default_rng(SEED)
    false = alarms(rng, RUNS, np.full(YEAR, ALPHA))
    result: dict[str, Any] = {
        **machine(),
        "seed": SEED,
        "alpha": ALPHA,
        "false_alarms": {
            "labels": YEAR,
            "runs": RUNS,
            "alarms": int((false <= YEAR).sum()),
            "share": float((false <= YEAR).mean()),
        },
        "found": [
            found(f"{times:g} times the promise from the first label on", rng, np.full(HORIZON, ALPHA * times), 0)
            for times in (1.5, 2, 3, 5)
        ]
        + [
            found(f"{times:g} times, after 4,000 labels at half the promise", rng, drift(times), 4000)
            for times in (2, 5)
        ],
        "label_us": label_us(),
        "audit_us_an_event": audit_us(),
    }
    write("monitors", result)
    for each in ("false_alarms", "found", "label_us", "audit_us_an_event"):
        print(each, result[each])  # noqa: T201


def drift(times: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A band that is twice as good as promised, and then is not."""
    return np.concatenate([np.full(4000, ALPHA / 2), np.full(HORIZON, ALPHA * times)])


def alarms(
    rng: np.random.Generator, runs: int, errors: np.ndarray[Any, np.dtype[np.float64]]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """After how many labels each of many bands is demoted; one more than there are: never."""
    found = np.full(runs, len(errors) + 1)
    for run in range(runs):
        monitor, last = Monitor(alpha=ALPHA), -1
        for at in np.flatnonzero(rng.random(len(errors)) < errors).tolist():  # no other label adds evidence
            monitor = monitor.heard([*[False] * (at - last - 1), True])
            last = at
            if monitor.alarms:
                found[run] = at + 1
                break
    return found


def found(
    name: str, rng: np.random.Generator, errors: np.ndarray[Any, np.dtype[np.float64]], begins: int
) -> dict[str, Any]:
    """How many labels after the error began the band is demoted."""
    after = alarms(rng, DRIFTS, errors) - begins
    low, middle, high = np.quantile(after, [0.25, 0.5, 0.75]).tolist()
    return {
        "error": name,
        "quarter": low,
        "median": middle,
        "three_quarters": high,
        "within_1000": float((after <= 1000).mean()),
        "early": float((after <= 0).mean()),
    }


def label_us() -> float:
    """What a label costs a monitor that has heard a hundred thousand."""
    monitor, labels = Monitor(alpha=ALPHA).heard([False] * 100_000), [False] * 10_000
    return best(lambda: monitor.heard(labels), 10) / len(labels)


def audit_us() -> float:
    """What the draw costs an event in a batch of 1,000."""
    ids: Sequence[bytes] = [hashlib.sha256(b"%d" % at).digest()[:16] for at in range(1000)]
    return best(lambda: drawn(UUID(int=1), ids, 0.01), 200) / len(ids)


def best(call: Any, times: int) -> float:
    """The quickest of several calls, in microseconds."""
    quickest = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        call()
        quickest = min(quickest, time.perf_counter() - began)
    return quickest * 1e6


if __name__ == "__main__":
    main()
