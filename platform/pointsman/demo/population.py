"""Who pays where: customers with habits, their cards, and the terminals within reach. Drawn once by the generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 100.0
"""Customers and terminals are points on a square of this side."""

REACH = 5.0
"""A customer pays at terminals no farther than this, or else at the nearest."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Customers and cards by position. `reach` lists the terminals of customer i from `reach_start[i]` on."""

    mean: npt.NDArray[np.float64]
    """a customer's mean amount, in whole units of money"""
    spread: npt.NDArray[np.float64]
    """sigma of the logarithm of a customer's amounts"""
    rate: npt.NDArray[np.float64]
    """a customer's transactions a day"""
    shift_hours: npt.NDArray[np.float64]
    """how much later than others a customer's day is"""
    owner: npt.NDArray[np.int64]
    """a card's customer"""
    first_card: npt.NDArray[np.int64]
    card_count: npt.NDArray[np.int64]
    reach: npt.NDArray[np.int64]
    reach_start: npt.NDArray[np.int64]
    terminals: int

    @property
    def customers(self) -> int:
        """How many customers there are."""
        return len(self.mean)

    @property
    def cards(self) -> int:
        """How many cards there are."""
        return len(self.owner)

    def card_of(self, rng: np.random.Generator, customer: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The card a customer takes: the second one, where there is one, for a quarter of the purchases."""
        second = (self.card_count[customer] > 1) & (rng.random(len(customer)) < 0.25)
        return self.first_card[customer] + second

    def terminal_near(self, rng: np.random.Generator, customer: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """A terminal within reach; some are visited more than others."""
        start, end = self.reach_start[customer], self.reach_start[customer + 1]
        liking = rng.random(len(customer)) ** 1.5
        return self.reach[start + (liking * (end - start)).astype(np.int64)]


def populate(rng: np.random.Generator, *, customers: int, terminals: int) -> Population:
    """Draw a population."""
    homes, places = rng.uniform(0, SIDE, (customers, 2)), rng.uniform(0, SIDE, (terminals, 2))
    reach, counts = _reach(homes.astype(np.float32), places.astype(np.float32))
    card_count = 1 + (rng.random(customers) < 0.3).astype(np.int64)
    return Population(
        mean=np.clip(rng.lognormal(np.log(32), 0.55, customers), 5, 200),
        spread=rng.uniform(0.25, 0.45, customers),
        rate=rng.uniform(0.2, 4.0, customers),
        shift_hours=rng.normal(0, 1.2, customers),
        owner=np.repeat(np.arange(customers), card_count),
        first_card=np.concatenate([[0], np.cumsum(card_count)[:-1]]),
        card_count=card_count,
        reach=reach,
        reach_start=np.concatenate([[0], np.cumsum(counts)]),
        terminals=terminals,
    )


def _reach(
    homes: npt.NDArray[np.float32], places: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The terminals within reach of each home, one after the other, and how many each has; at least the nearest."""
    found, counts = list[npt.NDArray[np.int64]](), list[npt.NDArray[np.int64]]()
    step = max(1, 4_000_000 // len(places))
    for start in range(0, len(homes), step):
        some = homes[start : start + step]
        distance = (some[:, :1] - places[:, 0]) ** 2 + (some[:, 1:] - places[:, 1]) ** 2
        near = distance <= REACH**2
        near[np.arange(len(some)), distance.argmin(axis=1)] = True
        found.append(np.nonzero(near)[1])
        counts.append(near.sum(axis=1))
    return np.concatenate(found), np.concatenate(counts)
