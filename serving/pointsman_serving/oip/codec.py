"""Requests and answers of Open Inference Protocol v2 over HTTP, with the binary tensor extension.

A body is JSON, or JSON followed by raw tensors whose sizes it names; the header `Inference-Header-Content-Length` says
where the JSON ends. Both sides of the wire use this module. Whatever arrives, the only error is InvalidRequest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pointsman_serving.oip.tensors import (
    RANK,
    TENSORS,
    Array,
    InvalidRequest,
    datatype,
    dtype_of,
    from_json,
    from_raw,
    raw,
    refuse_unhonoured,
)

HEADER_LENGTH = "inference-header-content-length"
DEPTH = 32
NAME = 256
"""Characters that the name of a tensor, or the id of a request, may have."""


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A decoded request. `outputs` are the ones wanted (None: all); `binary` those wanted as raw bytes (None: all)."""

    id: str | None
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...] | None
    binary: Collection[str] | None


def encode_request(inputs: Mapping[str, Array]) -> tuple[bytes, int]:
    """A request that sends all inputs and wants all outputs in binary: (body, length of its JSON)."""
    described, raws = list[dict[str, Any]](), list[bytes]()
    for name, array in inputs.items():
        data = raw(array)
        raws.append(data)
        size = {"binary_data_size": len(data)}
        described.append({"name": name, "shape": array.shape, "datatype": datatype(array), "parameters": size})
    header = orjson.dumps({"inputs": described, "parameters": {"binary_data_output": True}})
    return b"".join([header, *raws]), len(header)


def decode_request(body: bytes, header_length: str | None) -> InferRequest:
    """Decode a request; every mistake is an InvalidRequest that names its place."""
    header, tail = _split(body, header_length)
    value = _object(header)
    parameters = _parameters(value, "request")
    tensors = value.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise InvalidRequest("inputs: a list of tensors is needed")
    inputs = _tensors(tensors, "inputs", tail)
    id_ = value.get("id")
    if id_ is not None and not (isinstance(id_, str) and len(id_) <= NAME):
        raise InvalidRequest(f"id: a string of at most {NAME} characters is needed")
    everything = _flag(parameters, "binary_data_output", False, "request.parameters")
    outputs, binary = _wanted(value.get("outputs"), everything)
    return InferRequest(id=id_, inputs=inputs, outputs=outputs, binary=binary)


def encode_response(
    *, name: str, version: str, id_: str | None, outputs: Mapping[str, Array], binary: Collection[str] | None
) -> tuple[bytes, int | None]:
    """An answer: (body, length of its JSON where raw tensors follow). `binary` None means all outputs.

    In JSON, numbers that are not finite become null: ask for binary where they matter.
    """
    described, raws = list[dict[str, Any]](), list[bytes]()
    for output, array in outputs.items():
        entry: dict[str, Any] = {"name": output, "shape": array.shape, "datatype": datatype(array)}
        if binary is None or output in binary:
            raws.append(raw(array))
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        elif array.dtype.kind in "OSU":
            entry["data"] = [_text(each) for each in array.ravel().tolist()]
        else:
            entry["data"] = array.flatten()
        described.append(entry)
    value: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": described}
    if id_ is not None:
        value["id"] = id_
    header = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *raws]), len(header)) if raws else (header, None)


def decode_response(body: bytes, header_length: str | None) -> dict[str, Array]:
    """The outputs of an answer, by name. Raises InvalidRequest."""
    header, tail = _split(body, header_length)
    tensors = _object(header).get("outputs")
    if not isinstance(tensors, list):
        raise InvalidRequest("outputs: a list of tensors is needed")
    return _tensors(tensors, "outputs", tail)


def _split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 19
    if not digits or int(header_length) > len(body):
        raise InvalidRequest(f"Inference-Header-Content-Length: {header_length[:20]!a} does not fit the body")
    at = int(header_length)
    return body[:at], memoryview(body)[at:]


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"body: not JSON: line {error.lineno}, column {error.colno}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("body: a JSON object is needed")
    if _is_deeper(text, DEPTH):
        raise InvalidRequest(f"body: the JSON is nested more than {DEPTH} deep")
    return value


def _is_deeper(text: bytes, limit: int) -> bool:
    """Whether valid JSON nests deeper: its innermost brackets are taken away, level by level."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    outside = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(bytes.maketrans(b"{}", b"[]"), delete=_NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _tensors(tensors: list[Any], side: str, tail: memoryview) -> dict[str, Array]:
    if len(tensors) > TENSORS:
        raise InvalidRequest(f"{side}: {len(tensors)} tensors, at most {TENSORS} are taken")
    found, used = dict[str, Array](), 0
    for at, tensor in enumerate(tensors):
        name, array, used = _tensor(tensor, f"{side}[{at}]", tail, used)
        if name in found:
            raise InvalidRequest(f'{side}[{at}].name: "{name}" is there twice')
        found[name] = array
    if used != len(tail):
        raise InvalidRequest(f"body: {len(tail) - used} bytes follow the last tensor")
    return found


def _tensor(tensor: object, place: str, tail: memoryview, used: int) -> tuple[str, Array, int]:
    if not isinstance(tensor, dict):
        raise InvalidRequest(f"{place}: a tensor is an object")
    name, type_ = _name(tensor, place), tensor.get("datatype")
    dtype = dtype_of(type_, place)
    shape = _shape(tensor.get("shape"), place)
    size = _parameters(tensor, place).get("binary_data_size")
    if size is None:
        if "data" not in tensor:
            raise InvalidRequest(f"{place}.data: it is missing")
        return name, from_json(tensor["data"], dtype, shape, place), used
    if type(size) is not int or not 0 <= size <= len(tail) - used:
        raise InvalidRequest(f"{place}.parameters.binary_data_size: {str(size)[:20]} does not fit the body")
    if "data" in tensor:
        raise InvalidRequest(f"{place}.data: it is there beside binary_data_size")
    return name, from_raw(tail[used : used + size], dtype, shape, place), used + size


def _name(tensor: Mapping[str, Any], place: str) -> str:
    name = tensor.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= NAME:
        raise InvalidRequest(f"{place}.name: a name of at most {NAME} characters is needed")
    return name


def _shape(shape: object, place: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > RANK:
        raise InvalidRequest(f"{place}.shape: a list of at most {RANK} sizes is needed")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**31:
            raise InvalidRequest(f"{place}.shape: sizes are whole numbers from 0")
    return tuple(shape)


def _parameters(value: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    parameters = value.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"{place}.parameters: an object is needed")
    refuse_unhonoured(parameters, f"{place}.parameters")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, default: bool, place: str) -> bool:
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        raise InvalidRequest(f"{place}.{name}: true or false is needed")
    return flag


def _wanted(wanted: object, everything: bool) -> tuple[tuple[str, ...] | None, Collection[str] | None]:
    if not wanted:
        return None, None if everything else ()
    if not isinstance(wanted, list) or len(wanted) > TENSORS:
        raise InvalidRequest(f"outputs: a list of at most {TENSORS} objects with names is needed")
    names, binary = list[str](), set[str]()
    for at, each in enumerate(wanted):
        place = f"outputs[{at}]"
        if not isinstance(each, dict):
            raise InvalidRequest(f"{place}: an object with a name is needed")
        name = _name(each, place)
        if name in names:
            raise InvalidRequest(f'{place}.name: "{name}" is there twice')
        names.append(name)
        if _flag(_parameters(each, place), "binary_data", everything, f"{place}.parameters"):
            binary.add(name)
    return tuple(names), binary


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
