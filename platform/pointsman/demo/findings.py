"""The comparison as rows that a person reads: both ways side by side, and which does better. Pure.

Called by the terminal's report and by the written one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pointsman.demo.comparing import Comparison, Way
from pointsman.demo.comparison import Percentiles

Better = Literal["less", "more", "neither"]
PER_THOUSAND = ", per 1,000 decisions"
Unit = Literal["count", "seconds", "money", "rate"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of both ways; None where there is none. `better` says which of two numbers is the better one."""

    label: str
    unit: Unit
    continuous: float | None
    nightly: float | None
    better: Better

    @property
    def winner(self) -> str:
        """The way that does better here, or "" where neither does."""
        if self.better == "neither" or self.continuous is None or self.nightly is None:
            return ""
        if self.shown(self.continuous) == self.shown(self.nightly):
            return ""
        return "continuous" if (self.continuous < self.nightly) == (self.better == "less") else "nightly"

    def shown(self, value: float | None) -> str:
        """A number with its unit, for people."""
        if value is None:
            return "none"
        match self.unit:
            case "count":
                return f"{value:,.0f}"
            case "seconds":
                return duration(value)
            case "money":
                return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.2g}"
            case "rate":
                return f"{value:,.2f}"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def rows(found: Comparison) -> tuple[Row, ...]:
    """All rows, in the order of the report."""

    def row(label: str, unit: Unit, better: Better, continuous: float | None, nightly: float | None) -> Row:
        return Row(label=label, unit=unit, continuous=continuous, nightly=nightly, better=better)

    a, b = found.continuous.measured, found.nightly.measured
    currency = found.assumptions.prices.currency
    waits = [
        row(f"{label}, {name}", "seconds", "less", getattr(mine, field), getattr(other, field))
        for label, mine, other in _durations(found)
        for name, field in (("p50", "p50"), ("p95", "p95"))
    ]
    return (
        *waits,
        row("fraudulent cards whose account was frozen", "count", "more", a.fraud_cards_frozen, b.fraud_cards_frozen),
        row("accounts frozen rightly", "count", "more", a.frozen_rightly, b.frozen_rightly),
        row("accounts frozen wrongly", "count", "less", a.frozen_wrongly, b.frozen_wrongly),
        row("money lost to fraud", "money", "less", a.lost_cents / 100, b.lost_cents / 100),
        row("the same, where shops wait for the answer", "money", "less", _if_shops_wait(a.lost_cents, a.declined_cents),
            b.lost_cents / 100),
        row("fraudulent purchases that went through", "count", "less", a.lost_transactions, b.lost_transactions),
        row("honest purchases refused on frozen accounts", "count", "less", a.refused_honest, b.refused_honest),
        row("alerts", "count", "less", a.alerts, b.alerts),
        row("items for people", "count", "less", a.human_items, b.human_items),
        row("items for each reviewer-hour on shift", "rate", "less", a.items_a_shift_hour, b.items_a_shift_hour),
        row("frauds found in an hour of review", "rate", "more", a.frauds_found_a_review_hour,
            b.frauds_found_a_review_hour),
        *_costs(found.continuous, found.nightly, currency),
    )  # fmt: skip


def _if_shops_wait(lost_cents: int, declined_cents: int) -> float:
    """A nightly decision comes after the purchase: for it nothing is saved, whoever waits."""
    return (lost_cents - declined_cents) / 100


def _durations(found: Comparison) -> tuple[tuple[str, Percentiles, Percentiles], ...]:
    a, b = found.continuous.measured, found.nightly.measured
    return (
        ("fraudulent event to freeze", a.freeze_after_event, b.freeze_after_event),
        ("of these, frozen by the model", a.freeze_by_model, b.freeze_by_model),
        ("a card's first fraud to freeze", a.freeze_after_first_fraud, b.freeze_after_first_fraud),
        ("event to verdict, where a person reviews", a.review_wait, b.review_wait),
    )


def _costs(a: Way, b: Way, currency: str) -> tuple[Row, ...]:
    def row(label: str, unit: Unit, mine: float, other: float) -> Row:
        return Row(
            label=label + PER_THOUSAND,
            unit=unit,
            continuous=a.cost.per_thousand(mine),
            nightly=b.cost.per_thousand(other),
            better="less",
        )

    return (
        row("machine: CPU seconds used", "rate", a.cost.cpu_seconds, b.cost.cpu_seconds),
        row(f"machine: CPU used, {currency}", "money", a.cost.machine_used, b.cost.machine_used),
        row(f"machine: held, {currency}", "money", a.cost.machine_held, b.cost.machine_held),
        row("people: minutes of review", "rate", a.cost.review_minutes, b.cost.review_minutes),
        row(f"people: review, {currency}", "money", a.cost.review, b.cost.review),
        row(f"machine held and people, {currency}", "money", a.cost.total, b.cost.total),
    )


def assumed(found: Comparison) -> tuple[str, ...]:
    """What is assumed and how it was measured, in sentences."""
    plan, people, prices = found.assumptions.nightly, found.assumptions.reviewers, found.assumptions.prices
    ran, twin = found.ran, found.twin
    differing = "" if found.agreed == found.compared else " Where they differ, both columns follow the ones made anew."
    return (
        "The stream is generated, and so is the truth about it. Both ways meet the same events in the same order; the nightly "
        f"one decides them anew, in this process. {found.agreed:,} of {found.compared:,} decisions are the same in both: "
        f"outcome, band and score to the bit.{differing}",
        f"Nightly: what arrived on a day (UTC) is decided at {plan.decides_at_hour:02d}:00 of the next; freezes are "
        f"carried out, and reviews begin, at {plan.acts_at_hour:02d}:00.",
        f"Continuous: an event is decided {ran.decision_seconds * 1000:,.0f} ms after its arrival (measured: p95 at the "
        "fixed rate), and frozen after the wait that was measured for its own freeze "
        f"(p95 {ran.slowest_freezes * 1000:,.0f} ms). Before it arrives an event takes its time at the source, in both ways: "
        f"{duration(found.decided.source_delay_seconds)} in the median. "
        f"The run pressed {found.decided.days:.1f} days into {ran.seconds:,.0f} s, so "
        "freezes waited for each other longer than they would have in real time.",
        "A frozen account refuses every later purchase, which then loses nothing, alerts nobody and is not reviewed; it "
        "stays frozen to the end of the stream, at whose beginning none is frozen. "
        "The running demo itself does not do so: it decides every event.",
        "A fraud is lost when no freeze was in effect as it was bought; so the purchase that gives a card away is lost in both "
        "ways. What is saved where a shop waits for the decision stands in a row of its own.",
        f"{people.count} reviewers work from {people.from_hour:02d}:00 to {people.to_hour:02d}:00 every day, "
        f"{people.minutes_an_item:g} minutes an item, first come first served; their verdicts are right, and fraud freezes "
        "the account. No person works in the demo: this part is arithmetic.",
        f"Machine, used: CPU seconds of every Pointsman process while the continuous run streamed and froze "
        f"({ran.cpu_seconds:,.1f} s, PostgreSQL, MLflow, Ray and the ledger included), against those of the nightly "
        f"evaluation alone ({twin.cpu_seconds:,.1f} s: no database, no ledger, no freezes), which flatters the nightly run. "
        "The stream came in batches of up to "
        "1,000 events: one at a time takes more.",
        f"Machine, held: {prices.vcpus} vCPUs around the clock, against {prices.nightly_hours:g} h of them a night.",
        f"Prices are assumptions, not offers: {prices.vcpu_hour:g} {prices.currency} a vCPU-hour (about what large clouds list "
        f"for general-purpose machines on demand), {prices.reviewer_hour:g} {prices.currency} an hour of a reviewer.",
    )


def _thing(label: str) -> str:
    """What a row is about, without the percentile and the denominator."""
    for ending in (PER_THOUSAND, ", p50", ", p95"):
        label = label.removesuffix(ending)
    return label


def verdicts(found: Comparison) -> tuple[str, str]:
    """Where each way does better, in a sentence each."""
    won: dict[str, dict[str, None]] = {"continuous": {}, "nightly": {}}
    for each in rows(found):
        if each.winner:
            won[each.winner][_thing(each.label)] = None
    return (
        f"The continuous run is better in: {'; '.join(won['continuous']) or 'nothing'}.",
        f"The nightly run is better in: {'; '.join(won['nightly']) or 'nothing'}.",
    )
