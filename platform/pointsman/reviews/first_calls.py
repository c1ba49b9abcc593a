"""Saying a first call: what a reviewer thinks of a blind item before they see what the model thinks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from pointsman.reviews import blind
from pointsman.reviews.queue import LOCK, Conflict, Item, held_of_case, one
from pointsman.reviews.verdicts import check_verdict, recorded_of


def call(
    connection: psycopg.Connection[TupleRow], review_id: UUID, verdict: str, who: str, *, now: datetime
) -> list[Item]:
    """Record it for the item and all blind ones of its case that this reviewer holds. The same again changes nothing.

    Raises NotFound, Refused, and Conflict where they do not hold it, have said otherwise, or nothing is hidden.
    """
    item = one(connection, review_id)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(LOCK, (item["graph_uid"],))
        items = [one(connection, id_) for id_ in held_of_case(cursor, item, who, now)]
        ids = [each["decision_id"] for each in items]
        for behind in recorded_of(cursor, ids).values():
            check_verdict(behind, verdict)
        unsaid = blind.hidden_from(connection, who, ids)
        said = blind.calls_of(connection, who, ids)
        if not unsaid and item["decision_id"] not in said:
            raise Conflict("nothing of this case is hidden from you: decide it")
        if item["decision_id"] in said and said[item["decision_id"]] != verdict:
            raise Conflict(
                f'you said "{said[item["decision_id"]]}" before you saw the model\'s view, and that stands: '
                "decide it otherwise, and say why"
            )
        blind.record(connection, [each for each in items if each["decision_id"] in unsaid], verdict, who, now)
    return items
