"""What is bought, honestly and not: habits, large purchases, sprees, three kinds of fraud. Drawn by the generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pointsman.demo.population import Population
from pointsman.demo.transactions import DAY_US, Scenario

HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 5, 9, 11, 11, 11, 14, 16, 13, 11, 11, 13, 16, 18, 16, 12, 9, 6, 4], dtype=np.float64
)
"""How much is bought in each hour of a working day."""

WEEKEND_HOURS = np.array(
    [4, 3, 2, 1, 1, 1, 2, 4, 8, 13, 17, 19, 18, 17, 17, 16, 15, 14, 14, 13, 12, 10, 8, 6], dtype=np.float64
)

WEEKDAYS = np.array([0.95, 0.95, 1.0, 1.0, 1.15, 1.2, 0.75])
"""How much is bought on each day of the week, Monday first."""

LARGE_SHARE, SPREES_A_CUSTOMER_DAY = 0.013, 0.002
"""Honest, and yet unusual: the share of large purchases, and how often a customer goes on a spree."""

MIXTURE = {Scenario.LARGE_AMOUNT: 0.40, Scenario.TERMINAL: 0.28, Scenario.CARD: 0.32}
"""The shares of the fraud scenarios."""

SIZES = {Scenario.TERMINAL: (5, 12), Scenario.CARD: (4, 10)}
"""The fewest and the most purchases of a burst."""

CAREFUL_SHARE = {Scenario.LARGE_AMOUNT: 0.40, Scenario.TERMINAL: 0.05, Scenario.CARD: 0.05}
"""The shares of frauds, or of bursts, that stay near what is usual, before the drift."""

_CODES = {scenario: code for code, scenario in enumerate(Scenario)}


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """Purchases in order of time. `scenario` is a position in the enum."""

    occurred: npt.NDArray[np.int64]
    card: npt.NDArray[np.int64]
    terminal: npt.NDArray[np.int64]
    cents: npt.NDArray[np.int64]
    scenario: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.occurred)


@dataclass(frozen=True, kw_only=True)
class _Period:
    """The time that is generated."""

    start_us: int
    days: int
    drift_day: int | None

    def drifted(self, occurred: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        day = self.days if self.drift_day is None else self.drift_day
        return occurred >= self.start_us + day * DAY_US

    def weekday(self) -> npt.NDArray[np.int64]:
        """The weekday of each day, 0 for Monday; 1970-01-01 was a Thursday."""
        return (self.start_us // DAY_US + 3 + np.arange(self.days)) % 7


def draw(
    rng: np.random.Generator,
    population: Population,
    *,
    start_us: int,
    days: int,
    fraud_share: float,
    drift_day: int | None,
) -> Purchases:
    """All purchases of a period that starts at a midnight (µs), with frauds as the given share of all."""
    period = _Period(start_us=start_us, days=days, drift_day=drift_day)
    honest = [_habits(rng, population, period), _sprees(rng, population, period)]
    frauds = round(sum(map(len, honest)) * fraud_share / (1 - fraud_share))
    dishonest = [
        _large_amounts(rng, population, period, frauds),
        _terminals(rng, population, period, frauds),
        _cards(rng, population, period, frauds),
    ]
    return _in_order([*honest, *dishonest], end_us=start_us + days * DAY_US)


def _in_order(parts: list[Purchases], *, end_us: int) -> Purchases:
    occurred = np.concatenate([part.occurred for part in parts])
    order = np.argsort(occurred, kind="stable")
    order = order[: np.searchsorted(occurred[order], end_us)]
    return Purchases(
        occurred=occurred[order],
        card=np.concatenate([part.card for part in parts])[order],
        terminal=np.concatenate([part.terminal for part in parts])[order],
        cents=np.concatenate([part.cents for part in parts])[order],
        scenario=np.concatenate([part.scenario for part in parts])[order],
    )


def _purchases(
    occurred: npt.NDArray[np.int64],
    card: npt.NDArray[np.int64],
    terminal: npt.NDArray[np.int64],
    amount: npt.NDArray[np.float64],
    scenario: Scenario,
) -> Purchases:
    return Purchases(
        occurred=occurred,
        card=card,
        terminal=terminal,
        cents=np.clip(np.rint(amount * 100), 50, 500_000).astype(np.int64),
        scenario=np.full(len(occurred), _CODES[scenario], dtype=np.int8),
    )


def _habits(rng: np.random.Generator, population: Population, period: _Period) -> Purchases:
    weekday = period.weekday()
    counts = rng.poisson(population.rate[:, None] * WEEKDAYS[weekday])
    customer = np.repeat(np.arange(population.customers), counts.sum(axis=1))
    day = np.repeat(np.tile(np.arange(period.days), population.customers), counts.ravel())
    hour = _hours(rng, weekday[day] >= 5) + population.shift_hours[customer]
    occurred = period.start_us + day * DAY_US + (hour % 24 * (DAY_US / 24)).astype(np.int64)
    amount = _usual(rng, population, customer)
    large = rng.random(len(customer)) < LARGE_SHARE
    amount[large] = population.mean[customer[large]] * rng.uniform(2, 4.5, int(large.sum()))
    card, terminal = population.card_of(rng, customer), population.terminal_near(rng, customer)
    return _purchases(occurred, card, terminal, amount, Scenario.HABIT)


def _hours(rng: np.random.Generator, weekend: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Hours of the day drawn from the two profiles."""
    lot, hours = rng.random(len(weekend)), np.empty(len(weekend))
    for profile, rows in ((HOURS, ~weekend), (WEEKEND_HOURS, weekend)):
        steps = np.concatenate([[0], np.cumsum(profile) / profile.sum()])
        hours[rows] = np.interp(lot[rows], steps, np.arange(25))
    return hours


def _usual(
    rng: np.random.Generator, population: Population, customer: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Amounts as these customers usually spend them: lognormal about their means."""
    spread = population.spread[customer]
    amounts: npt.NDArray[np.float64] = population.mean[customer] * np.exp(
        spread * rng.standard_normal(len(customer)) - spread**2 / 2
    )
    return amounts


@dataclass(frozen=True, kw_only=True)
class _Bursts:
    """Purchases in bursts: for each purchase its burst and its moment."""

    burst: npt.NDArray[np.int64]
    occurred: npt.NDArray[np.int64]


def _bursts(
    rng: np.random.Generator, start: npt.NDArray[np.int64], sizes: tuple[int, int], gap: npt.NDArray[np.float64]
) -> _Bursts:
    """Bursts that start at given moments, with a mean gap (minutes) each, sizes uniform from the first to the last."""
    size = rng.integers(sizes[0], sizes[1] + 1, len(start))
    burst = np.repeat(np.arange(len(start)), size)
    gaps = rng.exponential(1.0, len(burst)) * gap[burst] * 60e6
    gaps[np.cumsum(size) - size] = 0
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[np.cumsum(size) - size][burst]
    return _Bursts(burst=burst, occurred=start[burst] + elapsed.astype(np.int64))


def _sprees(rng: np.random.Generator, population: Population, period: _Period) -> Purchases:
    """Honest: a customer buys several things in an hour or two, near home, for a little more than usual."""
    count = rng.poisson(SPREES_A_CUSTOMER_DAY * population.customers * period.days)
    customer = rng.integers(0, population.customers, count)
    noon = rng.integers(0, period.days, count) * DAY_US + DAY_US // 2
    start = period.start_us + noon + (rng.normal(1.5, 2.5, count).clip(-6, 8) * (DAY_US / 24)).astype(np.int64)
    bursts = _bursts(rng, start, (3, 7), np.full(count, 18.0))
    who = customer[bursts.burst]
    amount = _usual(rng, population, who) * rng.uniform(0.7, 1.5, len(who))
    card = population.card_of(rng, customer)[bursts.burst]
    return _purchases(bursts.occurred, card, population.terminal_near(rng, who), amount, Scenario.SPREE)


def _large_amounts(rng: np.random.Generator, population: Population, period: _Period, frauds: int) -> Purchases:
    """A card's number is used once, anywhere, at any hour, for many times what the customer usually spends."""
    count = round(frauds * MIXTURE[Scenario.LARGE_AMOUNT])
    occurred = period.start_us + rng.integers(0, period.days * DAY_US, count)
    card = rng.integers(0, population.cards, count)
    careful = _careful(rng, period, occurred, Scenario.LARGE_AMOUNT)
    factor = np.where(careful, rng.uniform(2.8, 4.5, count), rng.uniform(10, 25, count))
    amount = np.maximum(population.mean[population.owner[card]] * factor, np.where(careful, 0, 250))
    terminal = rng.integers(0, population.terminals, count)
    return _purchases(occurred, card, terminal, amount, Scenario.LARGE_AMOUNT)


def _careful(
    rng: np.random.Generator, period: _Period, moments: npt.NDArray[np.int64], scenario: Scenario
) -> npt.NDArray[np.bool_]:
    """The frauds that stay near what is usual: some at any time, all of them after the drift."""
    return (rng.random(len(moments)) < CAREFUL_SHARE[scenario]) | period.drifted(moments)


def _terminals(rng: np.random.Generator, population: Population, period: _Period, frauds: int) -> Purchases:
    """A terminal is compromised for three to ten days: in bursts, copies of many customers' cards are used at it."""
    start, which, compromised = _campaigns(rng, period, frauds, Scenario.TERMINAL, a_campaign=6, days=(3, 10))
    terminal = rng.integers(0, population.terminals, compromised)[which]
    careful = _careful(rng, period, start, Scenario.TERMINAL)
    bursts = _bursts(rng, start, SIZES[Scenario.TERMINAL], np.where(careful, 25.0, 4.0))
    card = rng.integers(0, population.cards, len(bursts.burst))
    factor = np.where(careful[bursts.burst], rng.uniform(1.5, 3.0, len(card)), rng.uniform(5.0, 10.0, len(card)))
    usual = np.where(careful, 0, rng.lognormal(np.log(200), 0.3, len(start)))[bursts.burst]
    amount = np.maximum(population.mean[population.owner[card]] * factor, usual)
    return _purchases(bursts.occurred, card, terminal[bursts.burst], amount, Scenario.TERMINAL)


def _cards(rng: np.random.Generator, population: Population, period: _Period, frauds: int) -> Purchases:
    """A card is compromised for one to three days: bursts of purchases, each for several times the usual amount."""
    start, which, compromised = _campaigns(rng, period, frauds, Scenario.CARD, a_campaign=2, days=(1, 3))
    stolen = rng.integers(0, population.cards, compromised)[which]
    careful = _careful(rng, period, start, Scenario.CARD)
    bursts = _bursts(rng, start, SIZES[Scenario.CARD], np.where(careful, 40.0, 6.0))
    card = stolen[bursts.burst]
    factor = np.where(careful[bursts.burst], rng.uniform(1.5, 3.0, len(card)), rng.uniform(6.0, 14.0, len(card)))
    amount = np.maximum(population.mean[population.owner[card]] * factor, np.where(careful, 0, 120)[bursts.burst])
    terminal = rng.integers(0, population.terminals, len(card))
    return _purchases(bursts.occurred, card, terminal, amount, Scenario.CARD)


def _campaigns(
    rng: np.random.Generator,
    period: _Period,
    frauds: int,
    scenario: Scenario,
    *,
    a_campaign: int,
    days: tuple[int, int],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """When each burst of a scenario starts, which campaign it belongs to, and how many campaigns there are.

    Campaigns reach over both ends of the period, so that its first and last days are like the others.
    """
    span = period.days + days[1]
    count = max(1, round(frauds * MIXTURE[scenario] / (sum(SIZES[scenario]) / 2) * span / period.days))
    campaigns = max(1, count // a_campaign)
    first, length = rng.uniform(-days[1], period.days, campaigns), rng.uniform(*days, campaigns)
    which = rng.integers(0, campaigns, count)
    day = first[which] + rng.random(count) * length[which]
    inside = (day >= 0) & (day < period.days)
    return period.start_us + (day[inside] * DAY_US).astype(np.int64), which[inside], campaigns
