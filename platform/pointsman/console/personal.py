"""Who sees personal values in an answer: admins, and of a decision the reviewers who hold its case or have decided it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pointsman.console.store import Connection, now
from pointsman.governance.access import Permission, may
from pointsman.governance.keys import Key
from pointsman.governance.masking import masked

OF_THE_CASE = """
SELECT EXISTS (SELECT FROM reviews WHERE decision_id = %(decision)s AND lease_owner = %(who)s AND lease_until > %(now)s)
    OR EXISTS (SELECT FROM verdicts WHERE decision_id = %(decision)s AND reviewer = %(who)s)
"""


def for_their_eyes(connection: Connection, key: Key, decision_id: UUID, answer: Any) -> Any:
    """The answer about one decision as the key's subject may see it."""
    if may(key.role, Permission.PERSONAL):
        return answer
    if may(key.role, Permission.REVIEW):
        asked = {"decision": decision_id, "who": key.subject, "now": now()}
        row = connection.execute(OF_THE_CASE, asked).fetchone()
        if row is not None and row[0]:
            return answer
    return masked(answer)
