"""Card transactions for the fraud example: customers with habits, three kinds of fraud, and the mess of real delivery.

What is modelled follows the transaction simulator of the open book "Reproducible Machine Learning for Credit Card
Fraud Detection: Practical Handbook" (Le Borgne, Siblini, Lebichot, Bontempi, 2022; chapter "Simulator"): customers and
terminals are points on a square of 100 by 100, a customer has a mean amount and a rate of transactions a day, and pays
at terminals within a radius; fraud comes as unusual amounts, as terminals compromised for some days and as cards
compromised for some days. The code is our own, and it differs where an online decision needs more:

- Fraud is transactions *added* in bursts, with amounts above what is usual, so that counts and sums of the last hours
  show it. (The simulator marks existing transactions; to see a compromised terminal there takes labels as a feature.)
- Honest customers look suspicious at times: a large purchase, a spree. Without them there would be nothing to review.
- Habits have hours of the day and days of the week; a customer has one or two cards on one account.
- Delivery is not clean: rows known late (a few beyond an hour), sent twice, broken, or with a known id and another
  body.
- The truth is learned late: a fraud when the customer complains, an honest transaction when nobody did for a while.
- From `drift_day` on fraud hides better: smaller amounts, longer gaps.

Everything is drawn from one seed with NumPy: the same settings give the same bytes. Called by training, the demo, the
benchmarks and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.demo.population import Population, populate
from pointsman.demo.purchases import Purchases, draw
from pointsman.demo.transactions import DAY_US, Defect, Kind, Scenario, Transactions, as_json_lines

__all__ = ["GeneratorSettings", "Transactions", "as_json_lines", "generate"]

MINUTE_US = 60_000_000

FRAUDS = (Scenario.LARGE_AMOUNT, Scenario.TERMINAL, Scenario.CARD)


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """What to generate. A customer makes about 2.1 transactions a day; shares are of the transactions."""

    seed: int = 20260301
    start_us: int = 1_772_323_200_000_000
    """midnight of 2026-03-01 UTC, a Sunday"""
    days: int = 30
    customers: int = 4_000
    terminals: int = 4_000
    fraud_share: float = 0.009
    drift_day: int | None = None
    """the day, counted from 0, from which fraud hides better; None for never"""
    late_share: float = 0.01
    beyond_lateness_share: float = 0.0005
    """known more than an hour late, in addition to `late_share`"""
    duplicate_share: float = 0.004
    broken_share: float = 0.001
    conflict_share: float = 0.0002
    label_delay_days: float = 7.0
    """after so many days without a complaint a transaction counts as honest; complaints come sooner"""

    def day(self, number: float) -> int:
        """The moment (µs) at which a day begins, counted from 0."""
        return self.start_us + round(number * DAY_US)


def generate(settings: GeneratorSettings) -> Transactions:
    """All transactions of the settings' days, in order of arrival; some arrive after the last midnight."""
    seeds = np.random.SeedSequence(settings.seed).spawn(4)
    population = populate(np.random.default_rng(seeds[0]), customers=settings.customers, terminals=settings.terminals)
    purchases = draw(
        np.random.default_rng(seeds[1]),
        population,
        start_us=settings.start_us,
        days=settings.days,
        fraud_share=settings.fraud_share,
        drift_day=settings.drift_day,
    )
    labelled = _label_known_at(np.random.default_rng(seeds[2]), purchases, settings)
    return _deliver(np.random.default_rng(seeds[3]), population, purchases, labelled, settings)


def _label_known_at(
    rng: np.random.Generator, purchases: Purchases, settings: GeneratorSettings
) -> npt.NDArray[np.int64]:
    """A complaint takes a day and a half in the median; silence counts after the label delay."""
    delay = np.full(len(purchases), settings.label_delay_days)
    fraud = _is_fraud(purchases)
    complaint = rng.lognormal(np.log(1.5), 0.8, int(fraud.sum()))
    delay[fraud] = np.minimum(complaint, settings.label_delay_days)
    return purchases.occurred + (delay * DAY_US).astype(np.int64)


def _is_fraud(purchases: Purchases) -> npt.NDArray[np.bool_]:
    codes = list(Scenario)
    return np.isin(purchases.scenario, [codes.index(each) for each in FRAUDS])


def _deliver(
    rng: np.random.Generator,
    population: Population,
    purchases: Purchases,
    labelled: npt.NDArray[np.int64],
    settings: GeneratorSettings,
) -> Transactions:
    """Gives every purchase an id, a moment at which it becomes known and a way to arrive; adds what is sent again."""
    count = len(purchases)
    ids = _numbered("t", count, 9)
    known = purchases.occurred + (200_000 + rng.exponential(2_000_000, count)).astype(np.int64)
    kind = np.zeros(count, dtype=np.int8)
    defect = np.zeros(count, dtype=np.int8)
    lot = rng.permutation(count)
    shares = (settings.late_share, settings.beyond_lateness_share, settings.broken_share)
    ends = np.cumsum([0, *(round(share * count) for share in shares)])
    late, beyond, broken = (lot[start:end] for start, end in pairwise(ends))
    known[late] += rng.uniform(3 * MINUTE_US, 55 * MINUTE_US, len(late)).astype(np.int64)
    known[beyond] += rng.uniform(65 * MINUTE_US, 240 * MINUTE_US, len(beyond)).astype(np.int64)
    kind[late] = kind[beyond] = list(Kind).index(Kind.LATE)
    kind[broken] = list(Kind).index(Kind.BROKEN)
    defect[broken] = 1 + np.arange(len(broken)) % (len(Defect) - 1)

    whole = lot[ends[-1] :]
    again = whole[: round(settings.duplicate_share * count)]
    other = whole[len(again) :][: round(settings.conflict_share * count)]
    source = np.concatenate([np.arange(count), again, other])
    extra = np.concatenate([np.zeros(count), rng.uniform(1e6, 120e6, len(again)), rng.uniform(1e6, 600e6, len(other))])
    arrived = known[source] + extra.astype(np.int64)
    kinds = kind[source]
    kinds[count : count + len(again)] = list(Kind).index(Kind.DUPLICATE)
    kinds[count + len(again) :] = list(Kind).index(Kind.CONFLICT)
    amounts, knowns = purchases.cents[source], known[source]
    amounts[count + len(again) :] += 100
    knowns[count + len(again) :] = arrived[count + len(again) :]

    order = np.argsort(arrived, kind="stable")
    source = source[order]
    card = purchases.card[source]
    return Transactions(
        transaction_id=ids[source],
        occurred_at=purchases.occurred[source],
        known_at=knowns[order],
        arrived_at=arrived[order],
        amount_cents=amounts[order],
        card_id=_numbered("c", population.cards, 6)[card],
        terminal_id=_numbered("m", population.terminals, 6)[purchases.terminal[source]],
        card_account=_numbered("a", population.customers, 6)[population.owner[card]],
        fraud=_is_fraud(purchases)[source],
        label_known_at=labelled[source],
        scenario=_members(Scenario)[purchases.scenario[source]],
        kind=_members(Kind)[kinds[order]],
        defect=_members(Defect)[np.where(kinds[order] == list(Kind).index(Kind.BROKEN), defect[source], 0)],
    )


def _members(members: type[StrEnum]) -> npt.NDArray[Any]:
    return _objects(list(members))


def _numbered(letter: str, count: int, digits: int) -> npt.NDArray[Any]:
    """Names such as c000042, an object array of str; more digits where the count needs them."""
    digits = max(digits, len(str(count - 1)))
    text = np.empty((count, digits + 1), dtype=np.uint8)
    text[:, 0] = ord(letter)
    number = np.arange(count)
    for place in range(digits, 0, -1):
        number, text[:, place] = number // 10, ord("0") + number % 10
    return text.view(f"S{digits + 1}").ravel().astype(f"U{digits + 1}").astype(object)


def _objects(values: Sequence[str]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
