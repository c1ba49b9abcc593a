"""What a way of running costs: the machine and the reviewers, at prices that are stated. Pure.

The prices are assumptions for a comparison, not offers: every one is printed in the report, and is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Prices:
    """In one currency."""

    currency: str = "USD"
    vcpu_hour: float = 0.045
    """assumed: about what large clouds list for a vCPU of a general-purpose machine on demand, memory included"""
    reviewer_hour: float = 35.0
    """assumed: a fraud analyst's hour with what an employer pays on top"""
    vcpus: int = 2
    """assumed: the machine that the example runs on, for both ways"""
    nightly_hours: float = 1.0
    """assumed: how long a nightly run holds that machine, start and margin included"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one way of running over the stream. `machine_used` prices the CPU seconds, `machine_held` the machine's hours."""

    cpu_seconds: float
    machine_used: float
    machine_hours: float
    machine_held: float
    review_minutes: float
    review: float
    transactions: int

    @property
    def total(self) -> float:
        """The machine as it is held, and the reviewers."""
        return self.machine_held + self.review

    def per_thousand(self, value: float) -> float:
        """A part of the cost for each 1,000 transactions of the stream."""
        return value * 1000 / self.transactions if self.transactions else 0.0


def cost(*, prices: Prices, transactions: int, cpu_seconds: float, machine_hours: float, review_hours: float) -> Cost:
    """Price what was measured (CPU seconds, hours of review) and what is held (hours of the machine)."""
    return Cost(
        cpu_seconds=cpu_seconds,
        machine_used=cpu_seconds / 3600 * prices.vcpu_hour,
        machine_hours=machine_hours,
        machine_held=machine_hours * prices.vcpus * prices.vcpu_hour,
        review_minutes=review_hours * 60,
        review=review_hours * prices.reviewer_hour,
        transactions=transactions,
    )
