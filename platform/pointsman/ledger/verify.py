"""Verifies the ledger against its head and against the bodies it commits to. Called by reports and by tests."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from pointsman.ledger.leaf import EMPTY_ROOT, chain, leaf

BODIES = """
SELECT l.index, l.leaf, l.kind, s.salt, coalesce(d.body, e.body, c.body, v.body, m.body, b.body, ce.body, lb.body)
FROM ledger l
LEFT JOIN salts s USING (index)
LEFT JOIN decisions d ON l.kind = 'decision' AND d.decision_id = l.ref
LEFT JOIN effects e ON l.kind = 'effect' AND e.effect_id = l.ref
LEFT JOIN list_changes c ON l.kind = 'list' AND c.change_id = l.ref
LEFT JOIN verdicts v ON l.kind = 'verdict' AND v.verdict_id = l.ref
LEFT JOIN model_changes m ON l.kind = 'model' AND m.change_id = l.ref
LEFT JOIN certificates b ON l.kind = 'certificate' AND b.certificate_id = l.ref
LEFT JOIN certificate_events ce ON l.kind = 'certificateEvent' AND ce.event_id = l.ref
LEFT JOIN label_batches lb ON l.kind = 'labels' AND lb.batch_id = l.ref
ORDER BY l.index
"""


@dataclass(frozen=True, kw_only=True)
class LedgerReport:
    """What a verification found. `problems` names the first of each kind; the ledger holds where it is empty."""

    size: int
    bodies_checked: int
    erased: int
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems


def verify(connection: psycopg.Connection[TupleRow]) -> LedgerReport:
    """Recompute the chain over all leaves and every leaf whose body and salt are still there.

    Reads one snapshot: a transaction of its own at REPEATABLE READ, streamed, so that memory stays flat.
    """
    problems: dict[str, str] = {}
    root, position, checked, erased = EMPTY_ROOT, 0, 0, 0
    with connection.transaction(), connection.cursor() as head, connection.cursor(name="ledger_verify") as rows:
        head.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        size, stored_root = head.execute("SELECT size, root FROM ledger_head WHERE id = 1").fetchone() or (0, b"")
        rows.itersize = 5000
        for index, stored_leaf, kind, salt, body in rows.execute(BODIES):
            if index != position:
                problems.setdefault("gap", f"leaf {position} is missing: the next one is {index}")
                position = index
            position += 1
            root = chain(root, (stored_leaf,))
            if salt is None or body is None:
                erased += 1
            elif leaf(salt, body) != stored_leaf:
                problems.setdefault("body", f"leaf {index}: this {kind}'s stored body is not what was committed to")
            else:
                checked += 1
    if position != size:
        problems.setdefault("size", f"the head says {size} leaves, the ledger has {position}")
    if root != bytes(stored_root):
        problems.setdefault("root", "the chain over all leaves does not end in the head's root")
    return LedgerReport(size=position, bodies_checked=checked, erased=erased, problems=tuple(problems.values()))
