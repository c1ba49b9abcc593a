"""The engine of a graph's host: events in, committed decisions out, batch by batch, one writer.

Both hosts run it: Ray Serve's replica and the embedded process. `process` takes one batch all the way. A host that is in a
hurry calls `decide` in one thread and `commit` in another, so that the next batch is decided while one is being written:
one, and no more, may be on its way to the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import structlog
from psycopg.rows import TupleRow

from pointsman.api.reasons import Reason
from pointsman.certificates.live import LiveBands
from pointsman.certificates.report import BandReport
from pointsman.decisions.accept import Accepted, accept, event_columns, stored_events
from pointsman.decisions.certificate_store import CertificateReader
from pointsman.decisions.commit import Commit, Committer, Fenced
from pointsman.decisions.list_store import ListReader
from pointsman.decisions.offsets import Misplaced, Offsets, Places, Stretch, moved
from pointsman.decisions.queries import answers_of
from pointsman.decisions.record import Decisions, KnownDecision, Records, records
from pointsman.decisions.stats import NOTHING, Stats, Tally, tally
from pointsman.decisions.warm import Warm
from pointsman.graphs.audit import draws
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.graphs.identity import uuid_text
from pointsman.graphs.lists import NO_LISTS
from pointsman.graphs.ports import ModelPort

log = structlog.get_logger()

Answer = dict[str, Any]
"""What one event is told: its decision, or why it went to the dead letter."""

OPEN_LETTERS = "SELECT count(*) FROM (SELECT FROM dead_letters WHERE graph_uid = %s AND state = 'open' LIMIT %s) open"
OPEN_REVIEWS = """
SELECT count(*), coalesce(bool_or(escalated_at IS NOT NULL), false)
FROM (SELECT escalated_at FROM reviews WHERE graph_uid = %s AND state = 'open' LIMIT %s) open
"""
LETTERS_COUNTED = 10_000
RETRY_SECONDS = 0.2
ROOM_SECONDS = 1.0
"""How long a count of open reviews is believed, where more than so many get another outcome"""


class StoreUnavailable(Exception):
    """The decision store stayed away for longer than the engine waits."""


class Superseded(Exception):
    """The batch was decided on a state that is no longer the engine's: give it to `process`."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Events that came in together. `arrived` is on the monotonic clock; only a synchronous caller has a deadline.

    `read` says where they were read, if they were not sent.
    """

    events: Sequence[object]
    arrived: float
    synchronous: bool
    read: Stretch | None = None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A batch that is decided and not committed. `era` tells on which state: one is begun with every recovery."""

    submissions: Sequence[Submission]
    accepted: Accepted
    batch: Commit
    tally: Tally
    era: int
    ids: frozenset[bytes]
    settled: threading.Event = field(default_factory=threading.Event)
    """Set when the commit has ended, well or not."""


@dataclass(frozen=True, kw_only=True)
class OpenReviews:
    """What waits for people: how many items, and whether one of them was escalated."""

    count: int = 0
    escalated: bool = False


class _Laps:
    """Books the time since the last lap on the step that has just run."""

    def __init__(self, stats: Stats) -> None:
        self._stats, self._last = stats, time.perf_counter()

    def __call__(self, step: str, rows: int) -> None:
        now = time.perf_counter()
        self._stats.seconds[step] = self._stats.seconds.get(step, 0.0) + now - self._last
        self._stats.rows[step] = self._stats.rows.get(step, 0) + rows
        self._last = now


class Engine:
    """Decides and commits. `open` first: it takes the graph over, and catches up with what was committed.

    `warm` is a state that was warmed up before, and is the engine's from then on.
    """

    def __init__(
        self,
        graph: CompiledGraph,
        ports: Mapping[str, ModelPort],
        committer: Committer,
        *,
        warm: Warm | None = None,
        patience_seconds: float = 30.0,
        source: str = "http",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.graph, self._ports, self._committer = graph, ports, committer
        self._patience, self._source, self._clock = patience_seconds, source, clock
        self._warm = warm
        self._state = GraphState(graph.views)
        self._lists = ListReader(graph.resolved.graph_uid)
        self._certificates = CertificateReader(graph.resolved.graph_uid)
        self._next_seq = -1
        self._offsets = Offsets()
        self._era = 0
        self._room, self._room_until = 0, float("-inf")
        self._in_flight: Decided | None = None
        self._broken = False
        self._fenced: Fenced | None = None
        self.stats = Stats()

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event gets."""
        return self._next_seq

    @property
    def connection(self) -> psycopg.Connection[TupleRow]:
        """The store's connection, for use between two batches in the engine's thread."""
        return self._committer.connection

    def newest_events(self) -> dict[str, int]:
        """By view, the event time of the newest event that its state has seen, in microseconds. Any thread may ask."""
        return self._state.newest()

    def open_reviews(self) -> OpenReviews:
        """What waits for people, counted up to the graph's limit. Raises psycopg.OperationalError."""
        row = self._committer.lookups.execute(
            OPEN_REVIEWS, (self.graph.resolved.graph_uid, self.graph.max_open_reviews)
        ).fetchone()
        assert row is not None
        return OpenReviews(count=row[0], escalated=row[1])

    def open_dead_letters(self) -> int:
        """How many dead letters are open, counted up to LETTERS_COUNTED. Raises psycopg.OperationalError."""
        asked = (self.graph.resolved.graph_uid, LETTERS_COUNTED)
        row = self._committer.lookups.execute(OPEN_LETTERS, asked).fetchone()
        return 0 if row is None else int(row[0])

    def bands(self) -> tuple[BandReport, ...]:
        """How the bands of the revision that decides stand to their certificates now. Raises psycopg.OperationalError."""
        resolved = self.graph.resolved
        return self._certificates.read(self._committer.lookups, resolved, self._clock()).reports

    @property
    def ports(self) -> Mapping[str, ModelPort]:
        """The models of the revision that decides, by node."""
        return self._ports

    def open(self) -> None:
        """Take the graph over, with the views' state as it follows from what was committed.

        Raises StoreUnavailable where the store does not answer within the engine's patience, Fenced where the graph is held
        by a host whose turn came later.
        """
        self._recover(time.monotonic() + self._patience)

    def reopen(self) -> None:
        """Connect again, after connections broke while nothing was decided. Raises StoreUnavailable, Fenced."""
        self._recover(time.monotonic() + self._patience)

    def close(self) -> None:
        """Give the store's connection back."""
        self._committer.close()

    def remembers(self, graph: CompiledGraph) -> bool:
        """Whether the state is that of the revision's views too."""
        return _versions(graph) == _versions(self.graph)

    def switch(self, graph: CompiledGraph, ports: Mapping[str, ModelPort], warm: Warm | None = None) -> None:
        """Serve another revision from the next batch on. Where a view changed, `warm` goes on, or all are rebuilt."""
        if not self.remembers(graph):
            self._state = self._caught_up(warm or Warm(graph))
        self.graph, self._ports, self._room_until = graph, ports, float("-inf")

    def serves(self, revision: str) -> None:
        """Record which revision decides from here on, for a host that starts and cannot load what it is told."""
        self._committer.serves(revision)

    def holds(self) -> bool:
        """Whether no other host has taken the graph over. Raises psycopg.OperationalError."""
        return self._committer.holds()

    def offsets(self) -> Offsets:
        """How far the graph's sources are read and decided. Call it, and `begin_source`, between two batches.

        Raises StoreUnavailable or Fenced.
        """
        if self._broken or self._in_flight is not None:
            self._recover(time.monotonic() + self._patience)
        return dict(self._offsets)

    def begin_source(self, source: str, starts: Mapping[int, int]) -> None:
        """Begin partitions at these offsets, of those that the graph does not know yet. It is durable.

        Raises psycopg.OperationalError while the store is away, or Fenced.
        """
        try:
            self._offsets = self._committer.begin(source, starts)
        except psycopg.OperationalError:
            self._broken = True
            raise
        except Fenced as error:
            self._fenced = error
            raise

    def process(self, submissions: Sequence[Submission]) -> list[list[Answer]]:
        """Decide the events of all submissions as one batch and commit; one answer for each event, in order.

        Raises StoreUnavailable when the store stayed away, Fenced when another host has taken the graph over, Misplaced
        where events were not read where the graph stands. Sending the same events again is always safe. A batch that
        `decide` was given and `commit` not yet is superseded.
        """
        give_up_at = time.monotonic() + self._patience
        while True:
            try:
                if self._broken or self._in_flight is not None:
                    self._recover(give_up_at)
                return self.commit(self.decide(submissions))
            except psycopg.OperationalError as error:
                log.warning("the decision store went away; the batch is tried again", error=str(error).strip())
                self._broken = True

    def decide(self, submissions: Sequence[Submission]) -> Decided:
        """Decide a batch; the one before may still be on its way to the store.

        Raises Superseded, or psycopg.OperationalError, where that one has failed or the store is away: `process` mends
        both.
        """
        if self._fenced is not None:
            raise self._fenced
        if self._broken:
            raise Superseded
        try:
            decided = self._decided(submissions)
        except BaseException:
            self._state.rollback()
            raise
        self._state.commit()
        self._next_seq += len(decided.batch.records.decisions)
        self._offsets.update(decided.batch.offsets)
        self._in_flight = decided
        return decided

    def commit(self, decided: Decided) -> list[list[Answer]]:
        """Write what was decided; the answers are given when it is durable.

        Raises Superseded where a recovery came between, psycopg.OperationalError when the store went away, Fenced.
        """
        try:
            if self._broken or decided.era != self._era:
                raise Superseded
            lap = _Laps(self.stats)
            self._committer.commit(decided.batch)
            lap("commit", decided.batch.received)
            answers = iter(self._answers(decided))
            lap("answer", decided.batch.received)
        except BaseException as error:
            self._broken = True
            if isinstance(error, Fenced):
                self._fenced = error
            raise
        finally:
            decided.settled.set()  # whatever came of it: a batch that is being decided may wait for this one
        if self._in_flight is decided:
            self._in_flight = None
        self._count(decided)
        return [[next(answers) for _ in each.events] for each in decided.submissions]

    def _count(self, decided: Decided) -> None:
        batch = decided.batch
        self.stats.committed(
            decided_at=batch.decided_at,
            received=batch.received,
            duplicates=batch.duplicates,
            letters=batch.dead_letters,
            tally=decided.tally,
        )
        submissions = decided.submissions
        self.stats.waited(
            [each.arrived for each in submissions],
            [len(each.events) for each in submissions],
            [each.synchronous for each in submissions],
            time.monotonic(),
        )

    def import_history(self, events: Sequence[object]) -> tuple[int, int]:
        """Warm up features with events that are not decided; return how many were new and how many were broken.

        Raises ValueError once the graph has decided anything.
        """
        batch = self.graph.contract.read(events)
        now = self._clock()
        good = [events[at] for at in batch.good.tolist()]
        rows = stored_events(self.graph.contract, good, batch.columns, _microseconds(now))
        added = self._committer.import_history(rows, now)
        if added == len(rows):
            self._state.advance_all(event_columns(batch.columns))
        else:
            self._state = self._caught_up(Warm(self.graph))
        return added, len(batch.broken)

    def _decided(self, submissions: Sequence[Submission]) -> Decided:
        lap, now = _Laps(self.stats), self._clock()
        rows = [event for each in submissions for event in each.events]
        offsets = moved(self._offsets, [each.read for each in submissions])
        places = Places([(len(each.events), each.read) for each in submissions])
        accepted = accept(self.graph, rows, self._known, source=self._source, arrived=_microseconds(now), read=places)
        lap("contract", len(rows))
        written, counted = self._decide(submissions, accepted, now, lap)
        return Decided(
            submissions=submissions,
            accepted=accepted,
            batch=Commit(
                first_seq=self._next_seq,
                received=len(rows),
                duplicates=len(accepted.recorded) + len(accepted.repeated),
                events=accepted.events,
                records=written,
                dead_letters=tuple(accepted.dead_letters.values()),
                decided_at=now,
                revision=self.graph.resolved.revision,
                source=self._source,
                offsets=offsets,
            ),
            tally=counted,
            era=self._era,
            ids=frozenset(accepted.decision_ids),
        )

    def _known(self, decision_ids: Sequence[bytes]) -> Mapping[bytes, KnownDecision]:
        """What is recorded. Where the batch on its way to the store has one of these, it is waited for."""
        in_flight = self._in_flight
        if in_flight is not None and not in_flight.ids.isdisjoint(decision_ids):
            in_flight.settled.wait()
        return self._committer.known(decision_ids)

    def _decide(
        self, submissions: Sequence[Submission], accepted: Accepted, now: datetime, lap: _Laps
    ) -> tuple[Records, Tally]:
        if not accepted.positions:
            return Records(decisions=Decisions(first_seq=self._next_seq)), NOTHING
        lists = self._lists.read(self._committer.lookups, now) if self.graph.has_lists else NO_LISTS
        evaluation = evaluate(self.graph, accepted.columns, self._state, self._ports, now=now, lists=lists, ran=lap)
        overdue = self._overdue(submissions)[np.array(accepted.positions, dtype=np.intp)]
        sample = draws(self.graph.resolved.graph_uid, accepted.decision_ids)
        concluded = triage(self.graph, evaluation, overdue, sample, self._live(now), self._room_for_reviews())
        lap("bands", len(accepted.positions))
        decided = records(
            self.graph,
            decision_ids=accepted.decision_ids,
            events=accepted.events,
            first_seq=self._next_seq,
            evaluation=evaluation,
            triage=concluded,
            decided_at=now,
        )
        self._room = max(0, self._room - len(decided.reviews))
        lap("record", len(accepted.positions))
        return decided, tally(self.graph, evaluation, concluded)

    def _room_for_reviews(self) -> int | None:
        """How many more items may be put to people, counted anew every second; None where the ingress holds callers off."""
        if self.graph.overflow_outcome is None:
            return None
        if time.monotonic() >= self._room_until:
            under_way = 0 if self._in_flight is None else len(self._in_flight.batch.records.reviews)
            self._room = max(0, self.graph.max_open_reviews - self.open_reviews().count - under_way)
            self._room_until = time.monotonic() + ROOM_SECONDS
        return self._room

    def _live(self, now: datetime) -> LiveBands:
        return self._certificates.read(self._committer.lookups, self.graph.resolved, now).live

    def _overdue(self, submissions: Sequence[Submission]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows have kept a synchronous caller waiting past the deadline; those of a stream are only counted."""
        deadline, clock = self.graph.deadline_seconds, time.monotonic()
        late = [deadline is not None and clock - each.arrived > deadline for each in submissions]
        sizes = [len(each.events) for each in submissions]
        self.stats.overdue += sum(size for size, is_late in zip(sizes, late, strict=True) if is_late)
        return np.repeat([is_late and each.synchronous for is_late, each in zip(late, submissions, strict=True)], sizes)

    def _answers(self, decided: Decided) -> list[Answer]:
        accepted, batch = decided.accepted, decided.batch
        answers: list[Answer] = [{}] * batch.received
        decisions = batch.records.decisions
        columns = (decisions.event_ids, decisions.names, decisions.outcomes, decisions.bands, decisions.scores)
        for number, (at, id_, name, outcome, band, score, reasons) in enumerate(
            zip(accepted.positions, *columns, decisions.reasons, strict=True), start=decisions.first_seq
        ):
            answers[at] = {
                "id": id_,
                "decision": name,
                "outcome": outcome,
                "band": band,
                "score": score,
                "reasons": reasons,
                "seq": number,
                "revision": batch.revision,
            }
        if accepted.recorded:
            found = answers_of(self._committer.connection, accepted.recorded.values())
            for at, (decision_id, _) in accepted.recorded.items():
                answers[at] = {**(found.get(decision_id) or _dropped(decision_id)), "duplicate": True}
        for at, earlier in accepted.repeated.items():
            answers[at] = {**answers[earlier], "duplicate": True}
        for at, letter in accepted.dead_letters.items():
            answers[at] = {
                "id": letter.event_id,
                "deadLetter": str(letter.dead_letter_id),
                "reason": letter.reason.value,
                "place": letter.place,
                "message": letter.message,
            }
        return answers

    def _recover(self, give_up_at: float) -> None:
        """Take the graph over, and stand where the store stands: what was decided and not committed is forgotten.

        Raises Fenced where another host has taken it over; that one is not to be fenced in turn.
        """
        if self._fenced is not None:
            raise self._fenced
        self.stats.recoveries += 1
        while True:
            try:
                self._committer.open()
                self._era += 1
                self._in_flight = None
                self._next_seq = self._committer.next_seq
                self._offsets = self._committer.offsets()
                self._state = self._caught_up(self._warm or Warm(self.graph))
                self._warm, self._broken = None, False
                return
            except Fenced as error:
                self._fenced = error
                raise
            except psycopg.OperationalError as error:
                if time.monotonic() > give_up_at:
                    raise StoreUnavailable(str(error).strip()) from error
                time.sleep(RETRY_SECONDS)

    def _caught_up(self, warm: Warm) -> GraphState:
        """Its state once it has seen every committed event that still matters, in the order in which they were decided."""
        warm.catch_up(self._committer.connection)
        return warm.state


def _dropped(decision_id: bytes) -> Answer:
    """What is left to say of a decision whose day was dropped."""
    return {"decision": uuid_text(decision_id), "outcome": None, "reasons": [Reason.RecordDropped.value]}


def _versions(graph: CompiledGraph) -> dict[str, str]:
    return {name: view.version for name, view in graph.views.items()}


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


__all__ = [
    "Answer",
    "Decided",
    "Engine",
    "Fenced",
    "Misplaced",
    "Stats",
    "StoreUnavailable",
    "Submission",
    "Superseded",
]
