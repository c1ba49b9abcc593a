"""Appends leaves to the ledger, inside the transaction that writes what they commit to."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

from pointsman.ledger.leaf import chain, leaf, salts
from pointsman.store.binary_copy import always, byteas, copy_rows, int8s, uuids


def append_leaves(cursor: Cursor[TupleRow], kind: str, refs: Sequence[UUID], bodies: Sequence[bytes]) -> range:
    """Append one leaf for each body and return their indexes.

    Takes the row lock on the ledger's head, which serialises all writers until the caller commits: call it last.
    """
    if not bodies:
        return range(0)
    drawn = salts(len(bodies))
    leaves = [leaf(salt, body) for salt, body in zip(drawn, bodies, strict=True)]
    cursor.execute("SELECT size, root FROM ledger_head WHERE id = 1 FOR UPDATE")
    row = cursor.fetchone()
    assert row is not None
    size, root = int(row[0]), bytes(row[1])
    indexes = range(size, size + len(leaves))
    positions = int8s("index", indexes)
    columns = [positions, byteas("leaf", leaves), always("kind", kind), uuids("ref", refs)]
    copy_rows(cursor, "ledger", len(leaves), columns)
    copy_rows(cursor, "salts", len(leaves), [positions, byteas("salt", drawn)])
    cursor.execute("UPDATE ledger_head SET size = %s, root = %s WHERE id = 1", (indexes.stop, chain(root, leaves)))
    return indexes
