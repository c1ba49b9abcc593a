"""A stream as it was decided, and when its decisions take effect: as events arrive, or once a night. Pure.

The comparison of the demo's report is made of it: the same decisions at two sets of moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.demo.transactions import DAY_US

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SECOND_US = 1_000_000
HOUR_US = DAY_US // 24


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Decided transactions in order of arrival, equally long columns; times are µs since 1970 UTC, `fraud` is the truth."""

    occurred_at: Ints
    arrived_at: Ints
    cents: Ints
    fraud: Mask
    account: npt.NDArray[Any]
    card: npt.NDArray[Any]
    score: npt.NDArray[np.float64]
    """NaN where there was none"""
    outcome: npt.NDArray[Any]
    freezes: Mask
    """whether the decision freezes the account by itself, without a person"""
    audited: Mask
    """what a person sees as well, though it is carried out as its band says"""

    def __len__(self) -> int:
        return len(self.occurred_at)

    @property
    def days(self) -> float:
        """How long the stream is, in days, from the first arrival to the last."""
        return float(self.arrived_at[-1] - self.arrived_at[0]) / DAY_US if len(self) else 0.0

    @property
    def source_delay_seconds(self) -> float:
        """The median time from a purchase to its arrival here."""
        return float(np.median(self.arrived_at - self.occurred_at)) / SECOND_US if len(self) else 0.0


@dataclass(frozen=True, kw_only=True)
class Moments:
    """For each row: when the freeze that it asks for is in effect, and when its review item lies before people."""

    frozen_at: Ints
    ready_at: Ints


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """When a nightly batch works, in hours (UTC): it decides a day's arrivals, and acts on them at the hour that comes next."""

    decides_at_hour: int = 2
    acts_at_hour: int = 8


def as_they_arrive(decided: Decided, *, decision_seconds: float, freeze_seconds: npt.NDArray[np.float64]) -> Moments:
    """Continuous: so long after its arrival a row is decided, and so long after that its freeze was observed."""
    ready = decided.arrived_at + round(decision_seconds * SECOND_US)
    return Moments(frozen_at=ready + np.rint(freeze_seconds * SECOND_US).astype(np.int64), ready_at=ready)


def nightly(decided: Decided, plan: Nightly) -> Moments:
    """Once a night: freezes and review items of a day's arrivals all begin together, after that day's decisions."""
    night = (decided.arrived_at // DAY_US + 1) * DAY_US + plan.decides_at_hour * HOUR_US
    morning = night + (plan.acts_at_hour - plan.decides_at_hour) % 24 * HOUR_US
    return Moments(frozen_at=morning, ready_at=morning)
