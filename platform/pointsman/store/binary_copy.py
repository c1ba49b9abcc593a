"""Rows for PostgreSQL's binary COPY, packed column by column.

The committer and the ledger write thousands of rows a batch: packed a column at a time a row costs about a microsecond, a
fifth of what a general adapter takes. The format is PostgreSQL's own: https://www.postgresql.org/docs/current/sql-copy.html
(Binary Format); the value formats are those of the types' send functions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import chain, repeat
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)
TEXT_OID = 25

POSTGRES_EPOCH = date(2000, 1, 1)
POSTGRES_EPOCH_US = (datetime(2000, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

_length = struct.Struct(">i").pack
_int8 = struct.Struct(">iq").pack
_float8 = struct.Struct(">id").pack
_int4 = struct.Struct(">ii").pack


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column of a table, with its values packed: one for each row, or the same for all."""

    name: str
    packed: Iterable[bytes]


def uuids(name: str, values: Iterable[UUID]) -> Field:
    """uuid, never NULL."""
    return Field(name=name, packed=[b"\0\0\0\x10" + value.bytes for value in values])


def texts(name: str, values: Iterable[str | None]) -> Field:
    """text."""
    encoded = [None if value is None else value.encode() for value in values]
    return Field(name=name, packed=[NULL if value is None else _length(len(value)) + value for value in encoded])


def labels(name: str, values: Iterable[str | None]) -> Field:
    """text out of a small set: each value is packed once."""
    return Field(name=name, packed=map(_text, values))


def byteas(name: str, values: Iterable[bytes]) -> Field:
    """bytea, never NULL."""
    return Field(name=name, packed=[_length(len(value)) + value for value in values])


def int8s(name: str, values: Iterable[int | None]) -> Field:
    """int8."""
    return Field(name=name, packed=[NULL if value is None else _int8(8, value) for value in values])


def float8s(name: str, values: Iterable[float | None]) -> Field:
    """float8."""
    return Field(name=name, packed=[NULL if value is None else _float8(8, value) for value in values])


def timestamps(name: str, microseconds: Iterable[int | None]) -> Field:
    """timestamptz, from microseconds since 1970 UTC."""
    return Field(
        name=name,
        packed=[NULL if value is None else _int8(8, value - POSTGRES_EPOCH_US) for value in microseconds],
    )


def moments(name: str, values: Iterable[datetime | None]) -> Field:
    """timestamptz."""
    return Field(name=name, packed=[NULL if value is None else _moment(value) for value in values])


def text_arrays(name: str, values: Iterable[tuple[str, ...]]) -> Field:
    """text[] out of a small set, never NULL: each value is packed once."""
    return Field(name=name, packed=map(_text_array, values))


def always(name: str, value: UUID | str | int | date | datetime | None) -> Field:
    """The same value in every row."""
    match value:
        case None:
            packed = NULL
        case UUID():
            packed = b"\0\0\0\x10" + value.bytes
        case str():
            packed = _text(value)
        case int():
            packed = _int8(8, value)
        case datetime():
            packed = _moment(value)
        case date():
            packed = _int4(4, (value - POSTGRES_EPOCH).days)
    return Field(name=name, packed=repeat(packed))


def copy_rows(cursor: Cursor[TupleRow], table: str, rows: int, fields: Sequence[Field]) -> None:
    """COPY `rows` rows into a table. The fields' order is free; at least one has a value for each row."""
    if not rows:
        return
    start = repeat(struct.pack(">h", len(fields)), rows)
    body = b"".join(chain.from_iterable(zip(start, *(field.packed for field in fields), strict=False)))
    columns = ", ".join(field.name for field in fields)
    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(HEADER + body + TRAILER)


def _moment(value: datetime) -> bytes:
    return _int8(8, (value - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


@lru_cache(maxsize=4096)
def _text(value: str | None) -> bytes:
    if value is None:
        return NULL
    encoded = value.encode()
    return _length(len(encoded)) + encoded


@lru_cache(maxsize=1024)
def _text_array(values: tuple[str, ...]) -> bytes:
    """One dimension, lower bound 1; none where it is empty."""
    head = struct.pack(">iiI", 1 if values else 0, 0, TEXT_OID)
    if values:
        head += struct.pack(">ii", len(values), 1)
    body = head + b"".join(map(_text, values))
    return _length(len(body)) + body
