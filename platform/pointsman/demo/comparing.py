"""The continuous run of the demo beside its nightly twin: decides the twin, and measures and prices both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pointsman.api.reasons import Reason
from pointsman.demo.comparison import Course, Measured, follow, measure
from pointsman.demo.cost import Cost, Prices, cost
from pointsman.demo.curves import Thresholds, thresholds_of
from pointsman.demo.decided import Decided, Nightly, as_they_arrive, nightly
from pointsman.demo.hand_set import HandSet, beside_hand_set
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.transactions import Transactions
from pointsman.demo.twin import Twin, as_decided, decide_by_night
from pointsman.library import GraphLibrary

BY_BAND = frozenset({Reason.AuditSample, Reason.NoLiveCertificate, Reason.BandDemoted})
"""Reasons for which people see an item that its score alone would not send them, and one threshold would not either"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the continuous run recorded for an event."""

    outcome: str
    band: str | None
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What was measured of the continuous run. Waits are in seconds."""

    answers: Mapping[str, Answer]
    decision_seconds: float
    """from an event's being due at the source to its commit, p95 at the fixed rate"""
    freeze_seconds: Mapping[str, float]
    """from each event's decision to its observed freeze"""
    slowest_freezes: float
    """p95 of these, taken where a freeze was not observed"""
    cpu_seconds: float
    """of all its processes while it streamed and froze"""
    seconds: float
    """how long that took"""


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is assumed of both ways, and not measured."""

    nightly: Nightly
    reviewers: Reviewers
    prices: Prices


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of running: how it went, in numbers, and its cost."""

    course: Course
    measured: Measured
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both ways over the same decisions. `agreed` of `compared` decisions are the same in both, to the bit of the score."""

    decided: Decided
    thresholds: Thresholds
    continuous: Way
    nightly: Way
    assumptions: Assumptions
    ran: Ran
    twin: Twin
    agreed: int
    compared: int


def compare(
    library: GraphLibrary,
    stream: Transactions,
    ran: Ran,
    assumptions: Assumptions,
    *,
    known_ids: frozenset[str] = frozenset(),
    on_night: Callable[[int], None] = lambda rows: None,
) -> Comparison:
    """Decide the stream once a night with a library whose features have seen what came before, then measure both ways."""
    twin = decide_by_night(library, stream, known_ids=known_ids, on_night=on_night)
    decided = as_decided(stream, twin, library)
    waits = _freeze_waits(stream, twin, ran)
    by_day = {
        "continuous": as_they_arrive(decided, decision_seconds=ran.decision_seconds, freeze_seconds=waits),
        "nightly": nightly(decided, assumptions.nightly),
    }
    machine = {
        "continuous": (ran.cpu_seconds, 24.0 * decided.days),
        "nightly": (twin.cpu_seconds, assumptions.prices.nightly_hours * decided.days),
    }
    ways = dict[str, Way]()
    for name, moments in by_day.items():
        course = follow(decided, moments, assumptions.reviewers)
        measured = measure(decided, course, assumptions.reviewers)
        cpu, hours = machine[name]
        price = cost(
            prices=assumptions.prices,
            transactions=len(decided),
            cpu_seconds=cpu,
            machine_hours=hours,
            review_hours=measured.review_hours,
        )
        ways[name] = Way(course=course, measured=measured, cost=price)
    both = [(twin.decisions[id_], answer) for id_, answer in ran.answers.items() if id_ in twin.decisions]
    return Comparison(
        decided=decided,
        thresholds=thresholds_of(library.graph.resolved.graph.spec.bands),
        continuous=ways["continuous"],
        nightly=ways["nightly"],
        assumptions=assumptions,
        ran=ran,
        twin=twin,
        agreed=sum((a["outcome"], a["band"], a["score"]) == (b.outcome, b.band, b.score) for a, b in both),
        compared=len(ran.answers.keys() | twin.decisions.keys()),
    )


def beside_by_hand(found: Comparison, stream: Transactions, threshold: float) -> HandSet:
    """The continuous way beside one threshold from which on people look at everything."""
    some = stream.take(stream.accepted()).transaction_id.tolist()
    decisions = [found.twin.decisions[id_] for id_ in some if id_ in found.twin.decisions]
    always = np.array([bool(set(each["reasons"]) - BY_BAND) for each in decisions], dtype=np.bool_)
    waits = _freeze_waits(stream, found.twin, found.ran)
    moments = as_they_arrive(found.decided, decision_seconds=found.ran.decision_seconds, freeze_seconds=waits)
    return beside_hand_set(found.decided, threshold, always, moments, found.assumptions.reviewers)


def _freeze_waits(stream: Transactions, twin: Twin, ran: Ran) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For each decided row the measured wait for its freeze; the slowest where none was measured."""
    ids = [id_ for id_ in stream.transaction_id[stream.accepted()].tolist() if id_ in twin.decisions]
    return np.array([ran.freeze_seconds.get(id_, ran.slowest_freezes) for id_ in ids], dtype=np.float64)
