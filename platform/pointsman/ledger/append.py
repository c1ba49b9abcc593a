"""Appends leaves to the ledger, inside the transaction that writes what they commit to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from pointsman.ledger.leaf import leaf, salts
from pointsman.store.arrays import Parameter, byteas, int8_of, run, text, uuids

APPEND = "SELECT pointsman_append_leaves($1, $2, $3, $4)"


def append_leaves(connection: Connection[Any], kind: str, refs: Sequence[bytes], bodies: Sequence[bytes]) -> range:
    """Append one leaf for each body and return their indexes; `refs` are the bytes of the UUIDs of what they commit to.

    Takes the row lock on the ledger's head, which serialises all writers until the caller commits: call it last.
    """
    if not bodies:
        return range(0)
    first = int8_of(run(connection, APPEND, [text(kind), uuids(refs), *committed(bodies)]).get_value(0, 0))
    return range(first, first + len(bodies))


def committed(bodies: Sequence[bytes]) -> tuple[Parameter, Parameter]:
    """The leaves that commit to these bodies, and their salts, to be written together."""
    drawn = salts(len(bodies))
    return byteas([leaf(salt, body) for salt, body in zip(drawn, bodies, strict=True)]), byteas(drawn)
