"""Statements whose parameters are columns: one array a column, packed in PostgreSQL's own binary format, one round trip.

The committer and the ledger write through it, a batch with one statement. Packed a column at a time a value costs a tenth of
a microsecond; libpq's own call takes a fifth of what a cursor takes, which is what a batch of one is made of. The formats are
those of the types' and of arrays' send functions: https://www.postgresql.org/docs/current/protocol-overview.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

POSTGRES_EPOCH = date(2000, 1, 1)
POSTGRES_EPOCH_US = (datetime(2000, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
NULL = struct.pack(">i", -1)

_length = struct.Struct(">i").pack
_int8 = struct.Struct(">iq").pack
_float8 = struct.Struct(">id").pack


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A value as it is sent, with its type's oid."""

    oid: int
    packed: bytes | None


class Statement:
    """One statement on one connection, prepared when it first runs."""

    def __init__(self, connection: Connection[Any], name: str, text: str) -> None:
        self._server, self._name, self._text = connection.pgconn, name.encode(), text.encode()
        self._is_prepared = False

    def run(self, parameters: Sequence[Parameter]) -> PGresult:
        """Run it; values in the answer are in binary. Raises what a cursor would raise."""
        if not self._is_prepared:
            kinds = [each.oid for each in parameters]
            _checked(self._server.prepare(self._name, self._text, kinds), ExecStatus.COMMAND_OK)
            self._is_prepared = True
        packed = [each.packed for each in parameters]
        formats = [Format.BINARY] * len(packed)
        return _done(self._server.exec_prepared(self._name, packed, formats, Format.BINARY))  # type: ignore[arg-type]  # NULLs


def run(connection: Connection[Any], text: str, parameters: Sequence[Parameter]) -> PGresult:
    """Run a statement once."""
    kinds, packed = [each.oid for each in parameters], [each.packed for each in parameters]
    formats = [Format.BINARY] * len(packed)
    return _done(connection.pgconn.exec_params(text.encode(), packed, kinds, formats, Format.BINARY))


def uuid(value: UUID) -> Parameter:
    """uuid."""
    return Parameter(oid=2950, packed=value.bytes)


def text(value: str) -> Parameter:
    """text."""
    return Parameter(oid=25, packed=value.encode())


def json(value: bytes | None) -> Parameter:
    """json, as it is written, or NULL."""
    return Parameter(oid=114, packed=value)


def int8(value: int | None) -> Parameter:
    """int8, or NULL."""
    return Parameter(oid=20, packed=None if value is None else struct.pack(">q", value))


def boolean(value: bool) -> Parameter:
    """bool."""
    return Parameter(oid=16, packed=b"\1" if value else b"\0")


def day(value: date) -> Parameter:
    """date."""
    return Parameter(oid=1082, packed=struct.pack(">i", (value - POSTGRES_EPOCH).days))


def moment(value: datetime) -> Parameter:
    """timestamptz."""
    since = (value - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Parameter(oid=1184, packed=struct.pack(">q", since))


def uuids(values: Iterable[bytes]) -> Parameter:
    """uuid[], from 16 bytes each."""
    return _array(2951, 2950, [b"\0\0\0\x10" + value for value in values])


def texts(values: Iterable[str]) -> Parameter:
    """text[]."""
    return _array(1009, 25, [_length(len(each)) + each for each in map(str.encode, values)])


def labels(values: Sequence[str | None]) -> Parameter:
    """text[] of few different values, of which each is packed once."""
    packed = {value: NULL if value is None else _length(len(value.encode())) + value.encode() for value in set(values)}
    return _array(1009, 25, list(map(packed.__getitem__, values)))


def byteas(values: Iterable[bytes]) -> Parameter:
    """bytea[]."""
    return _array(1001, 17, [_length(len(value)) + value for value in values])


def float8s(values: Iterable[float | None]) -> Parameter:
    """float8[]."""
    return _array(1022, 701, [NULL if value is None else _float8(8, value) for value in values])


def timestamps(microseconds: Iterable[int]) -> Parameter:
    """timestamptz[], from microseconds since 1970 UTC."""
    return _array(1185, 1184, [_int8(8, value - POSTGRES_EPOCH_US) for value in microseconds])


def date_of(value: bytes) -> date:
    """A date out of an answer."""
    return POSTGRES_EPOCH + timedelta(days=int.from_bytes(value, "big", signed=True))


def int8_of(value: bytes | None) -> int:
    """An int8 out of an answer."""
    return int.from_bytes(value or b"", "big", signed=True)


def _array(oid: int, element: int, packed: list[bytes]) -> Parameter:
    """One dimension, counted from 1; none where it is empty."""
    if not packed:
        return Parameter(oid=oid, packed=struct.pack(">iiI", 0, 0, element))
    return Parameter(oid=oid, packed=struct.pack(">iiIii", 1, 1, element, len(packed), 1) + b"".join(packed))


def _done(result: PGresult | None) -> PGresult:
    return _checked(result, ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def _checked(result: PGresult | None, *wanted: ExecStatus) -> PGresult:
    """Raises the error that the result stands for."""
    if result is None:
        raise OperationalError("the server ended the connection")
    if result.status not in wanted:
        if result.error_field(DiagnosticField.SQLSTATE) is None:  # not said by the server: the connection broke
            raise OperationalError(result.get_error_message())
        raise error_from_result(result)
    return result
