"""Tensors as Open Inference Protocol sends them: raw bytes, or a list in JSON. HTTP and gRPC both use this."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.models.tensors import NUMPY_TYPES

TENSORS = 64
RANK = 8

Array = npt.NDArray[Any]

_DTYPES = {name: np.dtype(type_).newbyteorder("<") for name, type_ in NUMPY_TYPES.items()}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_PYTHON_TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str, bytes}}
_UNHONOURED = frozenset(
    {"shared_memory_region", "classification", "sequence_id", "sequence_start", "sequence_end"},
)


class InvalidRequest(ValueError):
    """A body that is not of the protocol; the message says where."""


def datatype(array: Array) -> str:
    """The protocol's name of an array's type. Raises InvalidRequest where it has none."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    try:
        return _NAMES[array.dtype]
    except KeyError:
        raise InvalidRequest(f"no datatype stands for {array.dtype}") from None


def dtype_of(type_: object, place: str) -> np.dtype[Any]:
    """NumPy's type for a datatype. Raises InvalidRequest."""
    dtype = _DTYPES.get(type_) if isinstance(type_, str) else None
    if dtype is None:
        raise InvalidRequest(f"{place}.datatype: {str(type_)[:20]!a} is not one of {', '.join(_DTYPES)}")
    return dtype


def refuse_unhonoured(parameters: Iterable[str], place: str) -> None:
    """Raises InvalidRequest for parameters that change an answer elsewhere and would do nothing here."""
    if not _UNHONOURED.isdisjoint(parameters):
        name = min(_UNHONOURED.intersection(parameters))
        raise InvalidRequest(f"{place}.{name}: it is not offered here; leave it out")


def raw(array: Array) -> bytes:
    """A tensor's bytes: little-endian, row by row; BYTES elements with a four-byte length before each."""
    if array.dtype.kind in "OSU":
        parts = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel().tolist()]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return array.tobytes()


def from_raw(data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], place: str) -> Array:
    """A tensor from its bytes. Raises InvalidRequest where their number does not fit the shape."""
    count = math.prod(shape)
    if dtype.kind == "O":
        return _shaped(_objects(_elements(bytes(data), count, place)), shape, place)
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(f"{place}: {len(data)} bytes, {_NAMES[dtype]}{list(shape)} has {count * dtype.itemsize}")
    if dtype.kind == "b" and bytes(data).strip(b"\0\1"):
        raise InvalidRequest(f"{place}: the bytes of BOOL are 0 or 1")
    return _shaped(np.frombuffer(data, dtype=dtype), shape, place)


def from_json(data: object, dtype: np.dtype[Any], shape: tuple[int, ...], place: str) -> Array:
    """A tensor from a list: flat, or nested as the shape says. Raises InvalidRequest."""
    flat, sizes = _flat(data, place)
    if len(sizes) > 1 and sizes != shape:
        raise InvalidRequest(f"{place}.data: it is nested as {list(sizes)}, the shape is {list(shape)}")
    return from_list(flat, dtype, shape, f"{place}.data")


def from_list(flat: list[Any], dtype: np.dtype[Any], shape: tuple[int, ...], place: str) -> Array:
    """A tensor from Python values. Raises InvalidRequest where one is not of its type, or their number does not fit."""
    if len(flat) != math.prod(shape):
        raise InvalidRequest(f"{place}: {len(flat)} elements, the shape {list(shape)} has another number")
    if not set(map(type, flat)) <= _PYTHON_TYPES[dtype.kind]:
        raise InvalidRequest(f"{place}: the elements are not all of {_NAMES[dtype]}")
    if dtype.kind == "O":
        return _shaped(_objects(flat), shape, place)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
    except OverflowError:
        raise InvalidRequest(f"{place}: a number out of the range of {_NAMES[dtype]}") from None
    if dtype.kind == "f" and np.isinf(array).any():
        raise InvalidRequest(f"{place}: a number out of the range of {_NAMES[dtype]}")
    return _shaped(array, shape, place)


def _flat(data: object, place: str) -> tuple[list[Any], tuple[int, ...]]:
    """The elements of a regular nested list, and the sizes of its levels."""
    if not isinstance(data, list):
        raise InvalidRequest(f"{place}.data: a list is needed")
    level, sizes = data, [len(data)]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(lengths := set(map(len, level))) != 1:
            raise InvalidRequest(f"{place}.data: it is not regular")
        sizes += lengths
        level = list(chain.from_iterable(level))
    return level, tuple(sizes)


def _objects(elements: list[Any]) -> Array:
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array


def _shaped(array: Array, shape: tuple[int, ...], place: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError:  # an empty array whose other sizes are beyond what memory can address
        raise InvalidRequest(f"{place}.shape: {list(shape)} is too large") from None


def _elements(data: bytes, count: int, place: str) -> list[bytes]:
    found, at = list[bytes](), 0
    while at < len(data):
        if at + 4 > len(data):
            raise InvalidRequest(f"{place}: the BYTES end in the middle of a length")
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):
            raise InvalidRequest(f"{place}: the BYTES end in the middle of an element")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if len(found) != count:
        raise InvalidRequest(f"{place}: {len(found)} elements, the shape has {count}")
    return found
