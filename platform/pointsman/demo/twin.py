"""The nightly twin of the demo's stream: the same graph, decided by the library one night after the other.

A real evaluation (contract, features, models, score, bands) of the revision that the continuous run decided with; nothing of
what that run recorded enters it. Called by the demo's report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import orjson

from pointsman.api.reasons import Reason
from pointsman.demo.decided import Decided
from pointsman.demo.report import REVIEW
from pointsman.demo.transactions import DAY_US, Transactions, as_json_lines
from pointsman.library import Decision, GraphLibrary


@dataclass(frozen=True, kw_only=True)
class Twin:
    """What the nights decided, by event; broken events are not in it. `cpu_seconds` is what deciding took this process."""

    decisions: dict[str, Decision]
    nights: int
    dead_letters: int
    cpu_seconds: float
    seconds: float


def decide_by_night(
    library: GraphLibrary,
    stream: Transactions,
    *,
    known_ids: Collection[str] = (),
    on_night: Callable[[int], None] = lambda rows: None,
) -> Twin:
    """Decide each day's arrivals as one batch, with a library whose features have seen what came before.

    What an earlier night decided, or `known_ids` names, is not decided again.
    """
    decisions, seen = dict[str, Decision](), set(known_ids)
    dead_letters = nights = 0
    cpu, wall = 0.0, 0.0
    for night in nights_of(stream):
        lines = as_json_lines(night)
        cpu_began, wall_began = time.process_time(), time.perf_counter()
        events = [event for event in map(orjson.loads, lines) if event.get("transaction_id") not in seen]
        answers: list[Decision] = library.decide(events)
        cpu += time.process_time() - cpu_began
        wall += time.perf_counter() - wall_began
        for each in answers:
            if each["outcome"] == "deadLetter":
                dead_letters += 1
            else:
                decisions[each["id"]] = each
        seen.update(decisions)
        nights += 1
        on_night(len(night))
    return Twin(decisions=decisions, nights=nights, dead_letters=dead_letters, cpu_seconds=cpu, seconds=wall)


def nights_of(stream: Transactions) -> Iterator[Transactions]:
    """The stream cut at each midnight (UTC) of arrival."""
    if not len(stream):
        return
    day = stream.arrived_at // DAY_US
    for at in range(int(day[0]), int(day[-1]) + 1):
        rows = slice(int(np.searchsorted(day, at)), int(np.searchsorted(day, at, side="right")))
        if rows.start < rows.stop:
            yield stream.take(rows)


def as_decided(stream: Transactions, twin: Twin, library: GraphLibrary) -> Decided:
    """The decided rows of the stream with what the twin said of them and with the truth."""
    some = stream.take(stream.accepted())
    some = some.take(np.array([id_ in twin.decisions for id_ in some.transaction_id.tolist()], dtype=np.bool_))
    decisions = [twin.decisions[id_] for id_ in some.transaction_id.tolist()]
    graph = library.graph
    freezing = {name for name, actions in zip(graph.band_names, graph.band_actions, strict=True) if actions}
    return Decided(
        occurred_at=some.occurred_at,
        arrived_at=some.arrived_at,
        cents=some.amount_cents,
        fraud=some.fraud,
        account=some.card_account,
        card=some.card_id,
        score=np.array([np.nan if each["score"] is None else each["score"] for each in decisions], dtype=np.float64),
        outcome=np.array([each["outcome"] for each in decisions], dtype=object),
        freezes=np.array(
            [each["band"] in freezing and each["outcome"] != REVIEW for each in decisions], dtype=np.bool_
        ),
        audited=np.array([Reason.AuditSample in each["reasons"] for each in decisions], dtype=np.bool_),
    )
