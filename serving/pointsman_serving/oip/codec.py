"""Requests and answers of Open Inference Protocol v2 over HTTP, with the binary tensor extension.

A body is JSON, or JSON followed by raw tensors whose sizes it names; the header `Inference-Header-Content-Length` says where
the JSON ends. Both sides of the wire use this module.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from pointsman.models.artifact import NUMPY_TYPES

HEADER_LENGTH = "inference-header-content-length"
TENSORS = 64
RANK = 8
DEPTH = 32

Array = npt.NDArray[Any]

_OIP_TYPES = {np.dtype(type_): name for name, type_ in NUMPY_TYPES.items()}


class InvalidRequest(ValueError):
    """A body that is not a request of the protocol; the message says where."""


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A decoded request. `outputs` are the ones wanted (None: all); `binary` those wanted as raw bytes (None: all)."""

    id: str | None
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...] | None
    binary: Collection[str] | None


def datatype(array: Array) -> str:
    """The protocol's name of an array's type. Raises InvalidRequest where it has none."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    try:
        return _OIP_TYPES[array.dtype]
    except KeyError:
        raise InvalidRequest(f"no datatype stands for {array.dtype}") from None


def encode_request(inputs: Mapping[str, Array]) -> tuple[bytes, int]:
    """A request that sends all inputs and wants all outputs in binary: (body, length of its JSON)."""
    raws = [raw(array) for array in inputs.values()]
    header = orjson.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": datatype(array),
                    "parameters": {"binary_data_size": len(data)},
                }
                for (name, array), data in zip(inputs.items(), raws, strict=True)
            ],
            "parameters": {"binary_data_output": True},
        }
    )
    return b"".join([header, *raws]), len(header)


def decode_request(body: bytes, header_length: str | None) -> InferRequest:
    """Decode a request; every mistake is an InvalidRequest that names its place."""
    header, tail = _split(body, header_length)
    value = _json(header)
    tensors = value.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise InvalidRequest("inputs: a list of tensors is needed")
    if len(tensors) > TENSORS:
        raise InvalidRequest(f"inputs: {len(tensors)} tensors, at most {TENSORS} are taken")
    inputs, used = dict[str, Array](), 0
    for at, tensor in enumerate(tensors):
        name, array, used = _tensor(tensor, f"inputs[{at}]", tail, used)
        if name in inputs:
            raise InvalidRequest(f'inputs[{at}].name: "{name}" is there twice')
        inputs[name] = array
    if used != len(tail):
        raise InvalidRequest(f"body: {len(tail) - used} bytes follow the last tensor")
    outputs, binary = _wanted(value)
    id_ = value.get("id")
    if id_ is not None and not isinstance(id_, str):
        raise InvalidRequest("id: a string is needed")
    return InferRequest(id=id_, inputs=inputs, outputs=outputs, binary=binary)


def encode_response(
    *, name: str, version: str, id_: str | None, outputs: Mapping[str, Array], binary: Collection[str] | None
) -> tuple[bytes, int | None]:
    """An answer: (body, length of its JSON where raw tensors follow). `binary` None means all outputs."""
    described, raws = list[dict[str, Any]](), list[bytes]()
    for output, array in outputs.items():
        entry: dict[str, Any] = {"name": output, "shape": array.shape, "datatype": datatype(array)}
        if binary is None or output in binary:
            raws.append(raw(array))
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            entry["data"] = [_text(each) for each in array.ravel().tolist()]
        described.append(entry)
    value = {"model_name": name, "model_version": version, "outputs": described}
    if id_ is not None:
        value["id"] = id_
    header = orjson.dumps(value)
    return (b"".join([header, *raws]), len(header)) if raws else (header, None)


def decode_response(body: bytes, header_length: str | None) -> dict[str, Array]:
    """The outputs of an answer, by name. Raises InvalidRequest."""
    header, tail = _split(body, header_length)
    outputs, used = dict[str, Array](), 0
    for at, tensor in enumerate(_json(header).get("outputs", [])):
        name, outputs[name], used = _tensor(tensor, f"outputs[{at}]", tail, used)
    return outputs


def raw(array: Array) -> bytes:
    """A tensor's bytes: little-endian, row by row; BYTES elements with a four-byte length before each."""
    if array.dtype.kind in "OSU":
        parts = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel().tolist()]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return np.ascontiguousarray(array).tobytes()


def from_raw(data: bytes | memoryview, type_: str, shape: tuple[int, ...], place: str) -> Array:
    """A tensor from its bytes. Raises InvalidRequest where their number does not fit the shape."""
    count = int(np.prod(shape, dtype=np.int64)) if shape else 1
    if type_ == "BYTES":
        return np.array(_elements(bytes(data), count, place), dtype=object).reshape(shape)
    dtype = np.dtype(NUMPY_TYPES[type_])
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(f"{place}: {len(data)} bytes, {type_}{list(shape)} has {count * dtype.itemsize}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdigit() or int(header_length) > len(body):
        raise InvalidRequest(f"Inference-Header-Content-Length: {header_length[:20]!r} does not fit the body")
    at = int(header_length)
    return body[:at], memoryview(body)[at:]


def _json(text: bytes) -> dict[str, Any]:
    if _depth(text) > DEPTH:
        raise InvalidRequest(f"body: the JSON is nested more than {DEPTH} deep")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"body: not JSON: line {error.lineno}, column {error.colno}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("body: a JSON object is needed")
    return value


def _depth(text: bytes) -> int:
    """An upper bound of how deep JSON nests: brackets inside strings count too."""
    if text.count(b"[") + text.count(b"{") <= DEPTH:
        return 0
    deepest = depth = 0
    for byte in text.translate(None, delete=bytes(set(range(256)) - set(b"[]{}"))):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _tensor(tensor: object, place: str, tail: memoryview, used: int) -> tuple[str, Array, int]:
    if not isinstance(tensor, dict):
        raise InvalidRequest(f"{place}: a tensor is an object")
    name, type_, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{place}.name: a name is needed")
    if type_ not in NUMPY_TYPES:
        raise InvalidRequest(f"{place}.datatype: {str(type_)[:20]!r} is not one of {', '.join(NUMPY_TYPES)}")
    if not isinstance(shape, list) or len(shape) > RANK:
        raise InvalidRequest(f"{place}.shape: a list of at most {RANK} sizes is needed")
    if any(type(size) is not int or not 0 <= size < 2**31 for size in shape):
        raise InvalidRequest(f"{place}.shape: sizes are whole numbers from 0")
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if type(size) is not int or size < 0 or used + size > len(tail):
            raise InvalidRequest(f"{place}.parameters.binary_data_size: {str(size)[:20]} does not fit the body")
        return name, from_raw(tail[used : used + size], type_, tuple(shape), place), used + size
    if "data" not in tensor:
        raise InvalidRequest(f"{place}.data: it is missing")
    return name, _from_json(tensor["data"], type_, tuple(shape), place), used


def _from_json(data: object, type_: str, shape: tuple[int, ...], place: str) -> Array:
    if not isinstance(data, list):
        raise InvalidRequest(f"{place}.data: a list is needed")
    try:
        given = np.array(data, dtype=object if type_ == "BYTES" else None)
        if type_ == "BYTES":
            if any(not isinstance(each, str) for each in given.ravel().tolist()):
                raise InvalidRequest(f"{place}.data: BYTES are strings in JSON")
        elif given.dtype.kind not in ("b" if type_ == "BOOL" else "iuf" if type_.startswith("FP") else "iu"):
            if given.size:
                raise InvalidRequest(f"{place}.data: not {type_}")
        array = given.astype(NUMPY_TYPES[type_])
    except (ValueError, TypeError, OverflowError):
        raise InvalidRequest(f"{place}.data: not a regular list of {type_}") from None
    if array.size != np.prod(shape, dtype=np.int64):
        raise InvalidRequest(f"{place}.data: {array.size} elements, the shape {list(shape)} has another number")
    return array.reshape(shape)


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


def _wanted(value: dict[str, Any]) -> tuple[tuple[str, ...] | None, Collection[str] | None]:
    parameters = value.get("parameters") or {}
    everything = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    wanted = value.get("outputs")
    if not wanted:
        return None, None if everything else ()
    if not isinstance(wanted, list) or any(not isinstance(each, dict) for each in wanted):
        raise InvalidRequest("outputs: a list of objects with names is needed")
    names, binary = list[str](), list[str]()
    for at, each in enumerate(wanted):
        name = each.get("name")
        if not isinstance(name, str):
            raise InvalidRequest(f"outputs[{at}].name: a name is needed")
        names.append(name)
        if (each.get("parameters") or {}).get("binary_data", everything) is True:
            binary.append(name)
    return tuple(names), binary


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
