"""Which rows are late and which are stale: the same for both engines, and the same however rows are cut into batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pointsman.features.definition import CompiledView

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).min
"""The clock before any event."""


def lateness(view: CompiledView, times: Ints, clock: int) -> tuple[Mask, Mask, int]:
    """(late, stale, the clock after the rows). `clock` is the newest event time before the first row, or NEVER."""
    if not len(times):
        nothing = np.zeros(0, np.bool_)
        return nothing, nothing, clock
    before = np.maximum.accumulate(np.concatenate([np.array([clock]), times]))
    clocks, known = before[:-1], before[:-1] != NEVER
    late = known & (times < np.where(known, clocks, 0) - view.allowed_lateness_us)
    stale = np.zeros(len(times), np.bool_)
    if view.max_age_us is not None:
        stale = known & (times - np.where(known, clocks, times) > view.max_age_us)
    return late, stale, int(before[-1])
