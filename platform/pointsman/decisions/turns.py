"""Which of a graph's hosts comes after which. Settled in the store, so that a host that starts again knows its place.

A host is a name that pods share that follow each other; on a laptop there is one. The first time that a name asks, it gets
the next turn, and keeps it: whoever was taken over from stays behind the one that took over, however often it is started
anew. It gets another turn when it is told anew: by settings of a greater order, or to stand by where the last settings did not
say so. The one that holds the graph keeps its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

TAKE = """
WITH head AS (SELECT turn FROM graph_heads WHERE graph_uid = %(graph)s),
mine AS (
    INSERT INTO graph_hosts AS h (graph_uid, host, turn, standby, told)
    VALUES (%(graph)s, %(host)s, nextval('graph_turns'), %(standby)s, %(order)s)
    ON CONFLICT (graph_uid, host) DO UPDATE SET
        turn = CASE
            WHEN (excluded.told > h.told OR excluded.standby AND NOT h.standby)
                AND h.turn IS DISTINCT FROM (SELECT turn FROM head)
            THEN excluded.turn ELSE h.turn END,
        standby = excluded.standby, told = excluded.told
    RETURNING turn)
SELECT mine.turn, coalesce((SELECT turn FROM head), 0) FROM mine
"""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A host's place. `is_over` where the graph is held by one that came later."""

    number: int
    is_over: bool


def take_turn(
    connection: psycopg.Connection[TupleRow], graph_uid: UUID, host: str, *, standby: bool, order: int
) -> Turn:
    """The turn of a host with these settings. The same settings again change nothing."""
    wanted = {"graph": graph_uid, "host": host, "standby": standby, "order": order}
    with connection.transaction():
        row = connection.execute(TAKE, wanted).fetchone()
    assert row is not None
    mine, held = row
    return Turn(number=mine, is_over=held > mine)
