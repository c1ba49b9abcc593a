"""Who sees personal values in an answer: whom the policies let, which may ask whether the case is theirs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pointsman.console.store import Connection, now
from pointsman.governance.access import Permission
from pointsman.governance.keyring import Caller
from pointsman.governance.masking import masked

OF_THE_CASE = """
SELECT EXISTS (SELECT FROM reviews WHERE decision_id = %(decision)s AND lease_owner = %(who)s AND lease_until > %(now)s)
    OR EXISTS (SELECT FROM verdicts WHERE decision_id = %(decision)s AND reviewer = %(who)s)
"""


def for_their_eyes(connection: Connection, caller: Caller, decision_id: UUID, answer: Any) -> Any:
    """The answer about one decision as the caller may see it."""
    if caller.may(Permission.PERSONAL, mine=False):
        return answer
    if caller.may(Permission.PERSONAL, mine=True):
        asked = {"decision": decision_id, "who": caller.subject, "now": now()}
        row = connection.execute(OF_THE_CASE, asked).fetchone()
        if row is not None and row[0]:
            return answer
    return masked(answer)
