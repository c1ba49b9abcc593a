"""Decides a batch: columns in, columns out. The same on every host, whatever the batch.

`evaluate` runs the nodes and the score; `triage` turns scores into outcomes. Between the two a host may learn that a
synchronous caller's deadline has passed. Neither writes: the host commits, then tells the state to keep or to undo the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from pointsman.api.reasons import Reason
from pointsman.certificates.live import NOTHING_LIVE, LiveBands
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.features.definition import CompiledView
from pointsman.features.online import FeatureBatch, OnlineState
from pointsman.graphs.compile import CompiledGraph, FeatureStep, ListStep, ModelStep, RuleStep
from pointsman.graphs.lists import NO_LISTS, ListBook, Touched, look_up
from pointsman.graphs.ports import NUMPY_TYPES, ModelFailed, ModelPort

Mask = npt.NDArray[np.bool_]

REVIEW = "review"
"""The outcome that is a person."""


class GraphState:
    """The state of all views of a graph: one writer, advanced batch by batch."""

    def __init__(self, views: Mapping[str, CompiledView]) -> None:
        self._views = dict(views)
        self._states = {name: OnlineState(view) for name, view in views.items()}

    def advance(self, view: str, events: Mapping[str, Column]) -> FeatureBatch:
        """Look up and add the batch's rows, in sequence order."""
        definition = self._views[view]
        return self._states[view].advance(
            events[f"event.{definition.entity}"],
            events[f"event.{definition.time}"].values,
            {name: events[f"event.{name}"] for name in definition.fields},
        )

    def advance_all(self, events: Mapping[str, Column]) -> None:
        """Add the rows to every view and ask for nothing: rebuilding from what was committed."""
        for name in self._states:
            self.advance(name, events)
        self.commit()

    def newest(self) -> dict[str, int]:
        """The newest event time that each view has seen of what was committed, in microseconds; none that has seen nothing."""
        found = {name: state.newest for name, state in self._states.items()}
        return {name: newest for name, newest in found.items() if newest is not None}

    def commit(self) -> None:
        """The batch was committed: keep it."""
        for state in self._states.values():
            state.commit()

    def rollback(self) -> None:
        """The batch was not committed: the state is as it was before."""
        for state in self._states.values():
            state.rollback()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the nodes said: all columns, the score (NaN where there is none), and why a person must decide."""

    columns: Mapping[str, Column]
    score: npt.NDArray[np.float64]
    why: tuple[tuple[str, Mask], ...]
    rules: tuple[tuple[str, Mask], ...] = ()
    """`node.rule`, and the rows for which it holds, those included that a list allows"""
    touched: tuple[tuple[int, Touched], ...] = ()
    """The entries of lists that rows were touched by"""


@dataclass(frozen=True, kw_only=True)
class Triage:
    """What is concluded: an outcome for every row, its band (-1 where there is no score), and which actions act.

    `to_review` are the rows that go to a person although their band may say otherwise; `shadowed` those that get the outcome
    declared for bands that never had a certificate; `audited` those that a person sees although they do not decide them;
    `overflowed` those that people have no room for. `because` has, by reason, the rows that people see for it.
    """

    band: npt.NDArray[np.intp]
    to_review: Mask
    shadowed: Mask
    audited: Mask
    overflowed: Mask
    because: Mapping[str, Mask]
    outcomes: list[str]
    reasons: list[tuple[str, ...]]
    acting: Mapping[str, Mask]


Stopwatch = Callable[[str, int], None]
"""Called with a node's name and the number of rows when the node has run."""


def evaluate(
    graph: CompiledGraph,
    events: Mapping[str, Column],
    state: GraphState,
    ports: Mapping[str, ModelPort],
    *,
    now: datetime,
    lists: ListBook = NO_LISTS,
    ran: Stopwatch = lambda node, rows: None,
) -> Evaluation:
    """Run the nodes over one batch of contract-clean events in sequence order; `events` is keyed `event.field`.

    `lists` are the graph's lists as they stand at `now`.
    """
    columns = dict(events)
    rows = len(next(iter(events.values())))
    why = list[tuple[str, Mask]]()
    rules, touched = _Rules(rows), list[tuple[int, Touched]]()
    looked_up = dict[str, FeatureBatch]()
    unexplained = np.zeros(rows, dtype=np.bool_)
    excused = np.zeros(rows, dtype=np.bool_)
    for step in graph.steps:
        if isinstance(step, FeatureStep):
            if step.view.name not in looked_up:
                looked_up[step.view.name] = state.advance(step.view.name, events)
            batch = looked_up[step.view.name]
            columns |= {f"{step.node}.{name}": column for name, column in batch.columns.items()}
            why += [(Reason.LateEvent, batch.late), (Reason.StaleFeature, batch.stale)]
            excused |= batch.late | batch.stale
        elif isinstance(step, RuleStep):
            rules.read(step, columns)
        elif isinstance(step, ListStep):
            for each in step.lists:
                listed, entries = look_up(lists, each.name, columns[each.key], now)
                touched += entries
                columns[f"{step.node}.{each.name}"] = Column(type=ColumnType(type=FieldType.BOOLEAN), values=listed)
                if each.type == "Block":
                    why.append((each.reason, listed))
                else:
                    rules.allowed |= listed
        else:
            outputs, incomplete, failed = _infer(step, columns, ports[step.node], rows)
            columns |= outputs
            why.append((Reason.ModelError, failed))
            excused |= failed
            unexplained |= incomplete
        ran(step.node, rows)
    why += rules.reasons(excused)
    why.append((Reason.MissingFeature, unexplained & ~excused))
    score = graph.score.evaluate(columns).double()
    why.append((Reason.MissingScore, np.isnan(score) & ~excused & ~unexplained))
    ran("score", rows)
    return Evaluation(columns=columns, score=score, why=tuple(why), rules=tuple(rules.held), touched=tuple(touched))


class _Rules:
    """What the rules of a graph say of a batch. Of a row that a list allows they say nothing to a person."""

    def __init__(self, rows: int) -> None:
        self.allowed: Mask = np.zeros(rows, dtype=np.bool_)
        self.held = list[tuple[str, Mask]]()
        self._found = list[tuple[str, Mask]]()
        self._unread: Mask = np.zeros(rows, dtype=np.bool_)

    def read(self, step: RuleStep, columns: Mapping[str, Column]) -> None:
        for rule in step.rules:
            said = rule.when.evaluate(columns)
            holds = said.values if said.missing is None else said.values & ~said.missing
            if said.missing is not None:
                self._unread |= said.missing
            if holds.any():
                self.held.append((f"{step.node}.{rule.name}", holds))
                self._found.append((rule.reason, holds))

    def reasons(self, excused: Mask) -> list[tuple[str, Mask]]:
        """Why rows go to a person; those that are excused lack values for a reason that is given already."""
        found = [*self._found, (Reason.RuleNotEvaluated.value, self._unread & ~excused)]
        return [(reason, mask & ~self.allowed) for reason, mask in found]


def _infer(
    step: ModelStep, columns: Mapping[str, Column], port: ModelPort, rows: int
) -> tuple[dict[str, Column], Mask, Mask]:
    """The model's outputs; the rows that lacked an input; the rows for which the model failed."""
    incomplete = np.zeros(rows, dtype=np.bool_)
    for _, reference, _, _ in step.inputs:
        missing = columns[reference].missing
        if missing is not None:
            incomplete |= missing
    failed = np.zeros(rows, dtype=np.bool_)
    complete = ~incomplete
    whole = bool(complete.all())
    values: dict[str, npt.NDArray[np.float64]] = {}
    if complete.any():
        feed = {}
        for name, reference, dtype, rank in step.inputs:
            values_in = columns[reference].double() if whole else columns[reference].double()[complete]
            array = values_in.astype(NUMPY_TYPES[dtype])
            feed[name] = array.reshape(len(array), -1) if rank == 2 else array
        try:
            answers = port.infer(feed)
            values = {name: answers[name].reshape(-1).astype(np.float64) for name, _ in step.outputs}
        except ModelFailed:
            failed = complete
    outputs = dict[str, Column]()
    for name, type_ in step.outputs:
        full = np.full(rows, np.nan)
        if name in values:
            full[complete] = values[name]
        outputs[f"{step.node}.{name}"] = _as_column(type_, full)
    return outputs, incomplete, failed


def _as_column(type_: ColumnType, values: npt.NDArray[np.float64]) -> Column:
    missing = ~np.isfinite(values)
    if type_.type is FieldType.INTEGER:
        values = np.where(missing, 0, values).astype(np.int64)
    return Column(type=type_, values=values, missing=missing if missing.any() else None)


def triage(
    graph: CompiledGraph,
    evaluation: Evaluation,
    overdue: Mask,
    draws: npt.NDArray[np.float64],
    live: LiveBands = NOTHING_LIVE,
    room: int | None = None,
) -> Triage:
    """Place every score in its band and say what follows; what is uncertain for any reason goes to review.

    `overdue` marks rows whose synchronous caller's deadline has passed; `draws` below a sample's share are in it; `live` says
    where certificates are live for this graph's scorer, and what was demoted. `room` is how many more items may be put to
    people: later ones get the graph's overflow outcome, and no action; None where there is no end. Items of a sample are put
    to them all the same: who floods the queue is not to blind the monitors.
    """
    rows = len(evaluation.score)
    band = graph.bands.place(evaluation.score)
    placed = band >= 0
    outcomes = np.array([*graph.outcomes, REVIEW], dtype=object)[band]
    automatic = placed & (outcomes != REVIEW)
    forced = list(evaluation.why)
    forced.append((Reason.DeadlineMissed, overdue & automatic))
    uncovered = automatic & ~live.covers(band, evaluation.columns)
    demoted = uncovered & (live.demoted or NOTHING_LIVE).covers(band, evaluation.columns)
    forced.append((Reason.BandDemoted, demoted))
    shadowed = np.zeros(rows, dtype=np.bool_)
    if graph.certificates_required:
        if graph.shadow is not None:
            shadowed = uncovered & np.isin(band, list(live.never))
            for _, mask in forced:
                shadowed &= ~mask
        forced.append((Reason.NoLiveCertificate, uncovered & ~demoted & ~shadowed))
    to_review, because = ~placed, dict[str, Mask]()
    reasons: list[tuple[str, ...]] = [()] * rows
    for reason, mask in forced:
        if mask.any():
            to_review |= mask
            because[str(reason)] = because[str(reason)] | mask if str(reason) in because else mask
            for row in np.flatnonzero(mask).tolist():
                reasons[row] = (*reasons[row], str(reason)) if reason not in reasons[row] else reasons[row]
    plain = placed & (outcomes == REVIEW) & ~to_review
    for row in np.flatnonzero(plain).tolist():
        reasons[row] = (Reason.ReviewBand.value,)
    because[Reason.ReviewBand.value] = plain
    audited = (draws < graph.audit_share) & automatic & ~to_review & ~shadowed
    for row in np.flatnonzero(audited).tolist():
        reasons[row] = (Reason.AuditSample.value,)
    because[Reason.AuditSample.value] = audited
    outcomes[to_review] = REVIEW
    overflowed = np.zeros(rows, dtype=np.bool_)
    if room is not None:
        overflowed[np.flatnonzero(outcomes == REVIEW)[room:]] = True
        if overflowed.any():
            outcomes[overflowed] = graph.overflow_outcome
            because = {reason: mask & ~overflowed for reason, mask in because.items()}
            for row in np.flatnonzero(overflowed).tolist():
                reasons[row] = (*reasons[row], Reason.ReviewOverflow.value)
    if graph.shadow is not None and shadowed.any():
        outcomes[shadowed] = graph.shadow.outcome
        sampled = shadowed & (draws < graph.shadow.share)
        for row in np.flatnonzero(shadowed).tolist():
            said = (Reason.NoLiveCertificate.value,)
            reasons[row] = (*said, Reason.ShadowSample.value) if sampled[row] else said
        because[Reason.ShadowSample.value] = sampled
        audited = audited | sampled
    acts = placed & ~to_review & ~shadowed
    acting = {
        name: (np.array([name in names for names in graph.band_actions] + [False])[band]) & acts
        for name in graph.actions
    }
    return Triage(
        band=band,
        to_review=to_review,
        shadowed=shadowed,
        audited=audited,
        overflowed=overflowed,
        because=because,
        outcomes=outcomes.tolist(),
        reasons=reasons,
        acting=acting,
    )
