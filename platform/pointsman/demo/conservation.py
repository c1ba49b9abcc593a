"""Conservation: nothing that came in is lost, and nothing was done twice. Counted for the demo's report and by the tests."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
import psycopg
from psycopg.rows import TupleRow

from pointsman.ledger.verify import verify

PENDING = "SELECT count(*) FROM outbox WHERE state NOT IN ('observed', 'rejected', 'unknown', 'compensated')"


@dataclass(frozen=True, kw_only=True)
class Conservation:
    """Counted at the source, in the store, and at the target: what came in is a decision, a dead letter or a duplicate; a
    freeze is observed, rejected, unknown or pending. A dead letter counts whatever became of it: replayed, it comes in again.
    """

    received: int
    decisions: int
    dead_letters: int
    duplicates: int
    freezes: int
    observed: int
    rejected: int
    unknown: int
    pending: int
    applied_at_target: int
    most_applications_of_one_key: int
    ledger_leaves: int
    ledger_problems: tuple[str, ...]

    def broken(self) -> tuple[str, ...]:
        """The laws that do not hold, in words."""
        found = list[str]()
        known = self.decisions + self.dead_letters + self.duplicates
        if self.received != known:
            found.append(f"{self.received} events came in, {known} are accounted for")
        ended = self.observed + self.rejected + self.unknown + self.pending
        if self.freezes != ended:
            found.append(f"{self.freezes} freezes were decided, {ended} are accounted for")
        if self.pending:
            found.append(f"{self.pending} freezes are still pending")
        if self.observed != self.applied_at_target:
            found.append(f"{self.observed} freezes were observed, the target applied {self.applied_at_target}")
        if self.most_applications_of_one_key > 1:
            found.append(f"the target applied one freeze {self.most_applications_of_one_key} times")
        found += [f"ledger: {problem}" for problem in self.ledger_problems]
        return tuple(found)


def arrivals(connection: psycopg.Connection[TupleRow]) -> tuple[int, int]:
    """How many events came in, and how many of them were duplicates."""
    with connection.transaction():
        row = connection.execute(
            "SELECT coalesce(sum(received), 0), coalesce(sum(duplicates), 0) FROM graph_heads"
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def conservation(connection: psycopg.Connection[TupleRow], *, accounts: str, token: str) -> Conservation:
    """What came in and what became of it, counted in the store and at the accounts service that listens at `accounts`."""
    came_in, duplicates = arrivals(connection)
    with connection.transaction():

        def count(query: str) -> int:
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

        decisions = count("SELECT count(*) FROM decisions")
        dead_letters = count("SELECT count(*) FROM dead_letters")
        freezes = count("SELECT count(*) FROM actions")
        states: dict[str, int] = {
            name: int(number)
            for name, number in connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall()
        }
    summary = httpx2.get(f"{accounts}/operations/summary", headers={"authorization": f"Bearer {token}"}).json()
    ledger = verify(connection)
    ended = {name: states.pop(name, 0) for name in ("observed", "rejected", "unknown")}
    return Conservation(
        received=came_in,
        decisions=decisions,
        dead_letters=dead_letters,
        duplicates=duplicates,
        freezes=freezes,
        pending=sum(states.values()),
        applied_at_target=int(summary["distinct_keys"]),
        most_applications_of_one_key=int(summary["max_applied"]),
        ledger_leaves=ledger.size,
        ledger_problems=ledger.problems,
        **ended,
    )
