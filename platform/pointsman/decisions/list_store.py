"""The lists of a graph in the decision store: changed by people, read by the graph's host every second.

A change is a row and a leaf of the ledger; nothing is updated. What stands in a list is the latest change of each value,
where that is an addition that has not expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.graphs.lists import NO_LISTS, ListBook, ListEntry
from pointsman.ledger.append import append_leaves

Connection = psycopg.Connection[TupleRow]

READ_SECONDS = 1.0
"""How often a host looks whether a list has changed."""

VALUE_LENGTH = 256

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 7300412003))"
LATEST = "SELECT max(seq) FROM list_changes WHERE graph_uid = %s"
CURRENT = """
SELECT list, value, change_id, author, comment, expires_at, at FROM (
    SELECT DISTINCT ON (list, value) * FROM list_changes
    WHERE graph_uid = %(graph)s AND (%(list)s::text IS NULL OR list = %(list)s) ORDER BY list, value, seq DESC) latest
WHERE change = 'add' AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY list, at, value
"""
OF_VALUE = """
SELECT change, change_id, author, comment, expires_at, at FROM list_changes
WHERE graph_uid = %s AND list = %s AND value = %s ORDER BY seq DESC LIMIT 1
"""


class InvalidEntry(ValueError):
    """A value that no list can hold."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An entry with the list in which it stands, and since when."""

    list: str
    entry: ListEntry
    added_at: datetime


def add(
    connection: Connection,
    graph_uid: UUID,
    name: str,
    value: str,
    *,
    author: str,
    comment: str,
    expires_at: datetime | None,
    now: datetime,
) -> tuple[Listed, bool]:
    """Put a value in a list; return the entry, and whether anything changed: the same again changes nothing.

    Raises InvalidEntry.
    """
    _check(value, comment, expires_at, now)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(LOCK, (graph_uid,))
        found = cursor.execute(OF_VALUE, (graph_uid, name, value)).fetchone()
        if found is not None:
            change, change_id, by, said, until, at = found
            if (
                change == "add"
                and (until is None or until > now)
                and (by, said, until) == (author, comment, expires_at)
            ):
                entry = ListEntry(entry_id=str(change_id), value=value, author=by, comment=said, expires_at=until)
                return Listed(list=name, entry=entry, added_at=at), False
        change_id = _write(cursor, graph_uid, name, value, "add", author, comment, expires_at, now)
    entry = ListEntry(entry_id=str(change_id), value=value, author=author, comment=comment, expires_at=expires_at)
    return Listed(list=name, entry=entry, added_at=now), True


def remove(
    connection: Connection, graph_uid: UUID, name: str, value: str, *, author: str, comment: str, now: datetime
) -> bool:
    """Take a value out of a list; return whether it stood there."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(LOCK, (graph_uid,))
        found = cursor.execute(OF_VALUE, (graph_uid, name, value)).fetchone()
        if found is None or found[0] == "remove":
            return False
        _write(cursor, graph_uid, name, value, "remove", author, comment, None, now)
    return True


def current(connection: Connection, graph_uid: UUID, now: datetime, name: str | None = None) -> list[Listed]:
    """What stands in the lists of a graph, or in one of them, oldest first."""
    with connection.transaction():
        rows = connection.execute(CURRENT, {"graph": graph_uid, "list": name, "now": now}).fetchall()
    return [
        Listed(
            list=list_,
            entry=ListEntry(entry_id=str(id_), value=value, author=author, comment=comment, expires_at=expires_at),
            added_at=at,
        )
        for list_, value, id_, author, comment, expires_at, at in rows
    ]


class ListReader:
    """A host's view of its graph's lists, at most `READ_SECONDS` old while the store answers."""

    def __init__(self, graph_uid: UUID, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph_uid, self._clock = graph_uid, clock
        self._book: ListBook = NO_LISTS
        self._latest: int | None = None
        self._due = 0.0

    def read(self, connection: Connection, now: datetime) -> ListBook:
        """The lists; asks the store where the last look is a second old. Raises psycopg.OperationalError."""
        if self._clock() < self._due:
            return self._book
        row = connection.execute(LATEST, (self._graph_uid,)).fetchone()
        latest = row[0] if row is not None else None
        if latest != self._latest:
            book = dict[str, dict[str, ListEntry]]()
            for each in current(connection, self._graph_uid, now):
                book.setdefault(each.list, {})[each.entry.value] = each.entry
            self._book, self._latest = book, latest
        self._due = self._clock() + READ_SECONDS
        return self._book


def _check(value: str, comment: str, expires_at: datetime | None, now: datetime) -> None:
    for what, text in (("value", value), ("comment", comment)):
        if "\0" in text:
            raise InvalidEntry(f"{what}: the character U+0000 cannot be stored")
    if not 0 < len(value) <= VALUE_LENGTH:
        raise InvalidEntry(f"value: 1 to {VALUE_LENGTH} characters, not {len(value)}")
    if expires_at is not None and expires_at <= now:
        raise InvalidEntry(f"expiresAt: {expires_at.isoformat()} has passed")


def _write(
    cursor: psycopg.Cursor[TupleRow],
    graph_uid: UUID,
    name: str,
    value: str,
    change: str,
    author: str,
    comment: str,
    expires_at: datetime | None,
    now: datetime,
) -> UUID:
    change_id = uuid4()
    body = orjson.dumps(
        {
            "version": 1,
            "change": change,
            "id": str(change_id),
            "graph": str(graph_uid),
            "list": name,
            "value": value,
            "author": author,
            "comment": comment,
            "expiresAt": None if expires_at is None else expires_at.isoformat(),
            "at": now.isoformat(),
        },
        option=orjson.OPT_SORT_KEYS,
    )
    cursor.execute(
        "INSERT INTO list_changes (change_id, graph_uid, list, value, change, author, comment, expires_at, at, body) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (change_id, graph_uid, name, value, change, author, comment, expires_at, now, body),
    )
    append_leaves(cursor.connection, "list", [change_id.bytes], [body])
    return change_id
