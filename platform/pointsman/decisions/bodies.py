"""JSON objects for the rows of a batch, written column by column and joined row by row. No I/O; the records are made of it.

The bytes are those of `identity.canonical`: sorted keys, as orjson writes them. A column at a time takes a third of what an
object for each row takes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import numpy as np
import orjson

from pointsman.columns import Column, FieldType

Texts = Iterable[bytes]
"""The JSON of one value for each row."""


def objects(
    fields: Mapping[str, Texts], *, rarely: Mapping[str, Mapping[int, object]] | None = None
) -> Iterator[bytes]:
    """One object for each row, as long as the shortest column lasts.

    What is there `rarely` is given by row; its keys come after the first of `fields`, and the other rows lack them.
    """
    if not fields:
        return repeat(b"{}")
    rare, columns = rarely or {}, list[Texts]()
    for key in sorted({*fields, *rare}):
        label = b"%b%b:" % (b"," if columns else b"{", orjson.dumps(key))
        if key in fields:
            columns += [repeat(label), fields[key]]
        elif rare[key]:
            columns.append(_here_and_there(label, rare[key]))
    return map(b"".join, zip(*columns, repeat(b"}"), strict=False))


def column(values: Column) -> Texts:
    """A column's values in natural units, null where missing or no number."""
    if values.type.type is FieldType.STRING:
        texts = list(map(orjson.dumps, values.values.tolist()))
    else:
        numbers = values.double() if values.type.scale else values.values
        written = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
        if values.type.width:
            texts = [b"[%b]" % each for each in written[2:-2].split(b"],[")]
        else:
            texts = written[1:-1].split(b",")
    if values.missing is not None:
        for row in np.flatnonzero(values.missing).tolist():
            texts[row] = b"null"
    return texts


def one_of_few(values: Sequence[Hashable]) -> Texts:
    """Values out of a small set: each is written once."""
    written = {value: orjson.dumps(value) for value in set(values)}
    return map(written.__getitem__, values)


def constant(value: object) -> Texts:
    """The same value in every row."""
    return repeat(orjson.dumps(value))


def strings(values: Iterable[str]) -> Texts:
    """Any text."""
    return map(orjson.dumps, values)


def plain_strings(values: Iterable[str]) -> Texts:
    """Text that needs no escape, such as hexadecimal digits."""
    return [b'"%b"' % value.encode() for value in values]


def mostly(otherwise: object, given: Mapping[int, object], rows: int) -> Texts:
    """The same value in every row but those that are given."""
    texts = [orjson.dumps(otherwise)] * rows
    for row, value in given.items():
        texts[row] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return texts


def numbered(first: int, rows: int) -> Texts:
    """`first`, and one more with each row."""
    return [b"%d" % number for number in range(first, first + rows)]


def _here_and_there(label: bytes, given: Mapping[int, object]) -> Iterator[bytes]:
    row = 0
    while True:
        yield label + orjson.dumps(given[row], option=orjson.OPT_SORT_KEYS) if row in given else b""
        row += 1
