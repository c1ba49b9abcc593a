"""A stream's contract, compiled: which events hold it, as columns, and what is wrong with the others.

`compile_graph` compiles it; a host's engine reads each batch through it before anything else. One broken event never
harms its neighbours. Fields that the contract does not declare are not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from pointsman.api.event_stream import ContractField, EventStream
from pointsman.api.reasons import Reason
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.graphs.contract_values import Reader, Violation, kind_of, reader_of, shown

FUTURE_TOLERANCE_US = 5 * 60 * 1_000_000
"""How far an event's time may lie after the moment at which it became known: what clocks may differ by. An event
further in the future would carry the watermark of every view with it, and make honest events late."""


class InvalidContract(ValueError):
    """A contract that cannot be read by, though each of its fields is valid."""


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A record of a source that holds no event: it stands in a batch where the event would. `content` is kept of it."""

    reason: Reason
    message: str
    content: str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """An event that does not hold its contract, with its first violation in the order of the fields.

    `place` is the field's name, or "" where the event as a whole is wrong. The message shows the value, unless the
    field is personal.
    """

    row: int
    reason: Reason
    place: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ContractBatch:
    """The events that hold, as columns by field name, in order; `good` are their positions in what was read."""

    columns: dict[str, Column]
    good: npt.NDArray[np.int64]
    broken: tuple[Broken, ...]


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    type: ColumnType
    optional: bool
    personal: bool
    reader: Reader


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A compiled contract. `version` is the digest of what it demands; descriptions and the source do not enter it."""

    version: str
    fields: tuple[ContractField, ...]
    types: Mapping[str, ColumnType]
    id: str
    time: str
    known_at: str | None
    ordering_key: str | None
    _readers: tuple[_Field, ...] = field(repr=False)

    def read(self, rows: Sequence[object], *, arrived: int | None = None) -> ContractBatch:
        """Check events as orjson parsed them.

        `arrived` (µs since 1970 UTC) stands in where the source names no known time, to tell which events claim to be
        from the future; without both nothing is said about that. Leave it out where events are read again.
        """
        broken = dict[int, Broken]()
        events, positions = _objects(rows, broken)
        columns = {each.name: _column(each, events, positions, broken) for each in self._readers}
        self._find_future(columns, positions, arrived, broken)
        if broken:
            kept = np.array([position not in broken for position in positions.tolist()], dtype=np.bool_)
            columns = {name: column.take(kept) for name, column in columns.items()}
            positions = positions[kept]
        columns = {name: _unmasked(column) for name, column in columns.items()}
        return ContractBatch(columns=columns, good=positions, broken=tuple(broken[row] for row in sorted(broken)))

    def _find_future(
        self,
        columns: Mapping[str, Column],
        positions: npt.NDArray[np.int64],
        arrived: int | None,
        broken: dict[int, Broken],
    ) -> None:
        known = columns[self.known_at] if self.known_at is not None else None
        if known is None and arrived is None:
            return
        happened = columns[self.time].values
        if known is None:
            ahead = happened > arrived + FUTURE_TOLERANCE_US  # type: ignore[operator]
        elif known.missing is None:
            ahead = happened > known.values + FUTURE_TOLERANCE_US
        elif arrived is None:
            ahead = (happened > known.values + FUTURE_TOLERANCE_US) & ~known.missing
        else:
            ahead = happened > np.where(known.missing, arrived, known.values) + FUTURE_TOLERANCE_US
        for at in np.flatnonzero(ahead).tolist():
            row = int(positions[at])
            message = "the event claims to have happened more than 5 minutes after it became known"
            broken.setdefault(row, Broken(row=row, reason=Reason.FutureEvent, place=self.time, message=message))


def compile_contract(stream: EventStream) -> Contract:
    """Compile a stream's contract. Raises InvalidContract where events are not identified by a String."""
    spec = stream.spec
    declared = {each.name: each for each in spec.contract.fields}
    identity = declared[spec.id]
    if identity.type is not FieldType.STRING:
        raise InvalidContract(f'the field "{spec.id}" that identifies events is {identity.type}: declare it as String')
    readers = tuple(
        _Field(
            name=each.name,
            type=each.column_type,
            optional=each.optional,
            personal=each.personal,
            reader=reader_of(each, identifies=each.name == spec.id),
        )
        for each in declared.values()
    )
    return Contract(
        version=_version(stream),
        fields=tuple(spec.contract.fields),
        types={each.name: each.column_type for each in declared.values()},
        id=spec.id,
        time=spec.time,
        known_at=spec.known_at,
        ordering_key=spec.ordering_key,
        _readers=readers,
    )


def _version(stream: EventStream) -> str:
    """SHA-256 of what the contract demands; neither the order of fields nor trailing zeros of limits change it."""
    spec = stream.spec
    demands = {
        "id": spec.id,
        "time": spec.time,
        "knownAt": spec.known_at,
        "orderingKey": spec.ordering_key,
        "fields": {each.name: _demand(each) for each in spec.contract.fields},
    }
    return f"sha256:{hashlib.sha256(orjson.dumps(demands, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _demand(each: ContractField) -> dict[str, object]:
    return {
        "type": each.type.value,
        "scale": each.scale,
        "optional": each.optional,
        "personal": each.personal,
        "minimum": None if each.minimum is None else format(each.minimum.normalize(), "f"),
        "maximum": None if each.maximum is None else format(each.maximum.normalize(), "f"),
        "minLength": each.min_length,
        "maxLength": each.max_length,
        "pattern": each.pattern,
        "values": None if each.values is None else sorted(each.values),
    }


def _objects(
    rows: Sequence[object], broken: dict[int, Broken]
) -> tuple[Sequence[Mapping[str, Any]], npt.NDArray[np.int64]]:
    """The rows that are objects, with their positions."""
    if set(map(type, rows)) <= {dict}:
        return rows, np.arange(len(rows), dtype=np.int64)  # type: ignore[return-value]
    events, positions = list[Mapping[str, Any]](), list[int]()
    for at, row in enumerate(rows):
        if isinstance(row, dict):
            events.append(row)
            positions.append(at)
        elif isinstance(row, Unread):
            broken[at] = Broken(row=at, reason=row.reason, place="", message=row.message)
        else:
            message = f"an event is a JSON object, not {kind_of(row)}"
            broken[at] = Broken(row=at, reason=Reason.NotAnObject, place="", message=message)
    return events, np.array(positions, dtype=np.int64)


def _column(
    each: _Field,
    events: Sequence[Mapping[str, Any]],
    positions: npt.NDArray[np.int64],
    broken: dict[int, Broken],
) -> Column:
    """One field over all events. Broken values are noted, and masked in the column until their rows are dropped."""
    if each.optional:
        given: list[Any] = list(map(dict.get, events, repeat(each.name)))  # type: ignore[arg-type]
    else:
        try:
            given = list(map(itemgetter(each.name), events))
        except KeyError:
            given = [event.get(each.name, _ABSENT) for event in events]
    missing = None
    if each.optional and None in given:
        missing = np.fromiter((value is None for value in given), np.bool_, count=len(given))
        present = [value for value in given if value is not None]
    else:
        present = given
    found = each.reader.all_of(present) if present else np.empty(0, dtype=each.reader.dtype)
    if found is None:
        return _one_by_one(each, given, positions, broken)
    if missing is None:
        return Column(type=each.type, values=found)
    values = np.full(len(given), each.reader.blank, dtype=each.reader.dtype)
    values[~missing] = found
    return Column(type=each.type, values=values, missing=missing)


def _one_by_one(
    each: _Field, given: Sequence[object], positions: npt.NDArray[np.int64], broken: dict[int, Broken]
) -> Column:
    values = np.full(len(given), each.reader.blank, dtype=each.reader.dtype)
    missing = np.zeros(len(given), dtype=np.bool_)
    read: Callable[[object], object] = each.reader.one
    for at, value in enumerate(given):
        try:
            if value is _ABSENT or (value is None and not each.optional):
                raise Violation(Reason.MissingField, "is not there" if value is _ABSENT else "is null")
            if value is None:
                missing[at] = True
            else:
                values[at] = read(value)
        except Violation as violation:
            missing[at] = True
            row = int(positions[at])
            hidden = each.personal or violation.reason is Reason.MissingField
            message = violation.message if hidden else f"{violation.message}: {shown(value)}"
            broken.setdefault(row, Broken(row=row, reason=violation.reason, place=each.name, message=message))
    return Column(type=each.type, values=values, missing=missing)


def _unmasked(column: Column) -> Column:
    """Without a mask where every value is there, so that how a batch was read cannot be told from its columns."""
    if column.missing is None or column.missing.any():
        return column
    return Column(type=column.type, values=column.values)


_ABSENT = object()
"""A field that an event does not have, as opposed to one that is null."""
