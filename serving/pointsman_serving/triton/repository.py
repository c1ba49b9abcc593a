"""Renders Triton's model repository for one model: `config.pbtxt` from the model's signature, and the backend's code. Pure.

Rows come first: where every input and output has a free first size, Triton may join requests by rows. Other sizes stay as the
model states them, whatever their number. A model with a fixed first size, or an input that has nothing but rows (which
Triton's batching cannot express), takes each request as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from pointsman.models.tensors import TensorSpec

CODE = Path(__file__).with_name("model.py")
DTYPES = {"BYTES": "TYPE_STRING"}


@dataclass(frozen=True, kw_only=True)
class Batching:
    """The most rows of one inference, and how long a request may wait for others to join it."""

    max_batch_size: int
    max_queue_delay_microseconds: int


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model as Triton is to serve it. `onnx` is the file in the pinned folder.

    The `python` backend runs it by ONNX Runtime as installed beside Triton; `onnxruntime` is in NVIDIA's own image.
    """

    name: str
    version: str
    onnx: Path
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    batching: Batching
    instances: int = 1
    backend: Literal["python", "onnxruntime"] = "python"
    kind: Literal["KIND_CPU", "KIND_GPU"] = "KIND_CPU"


def render(served: Served) -> dict[str, bytes]:
    """The repository's files, by their path in it."""
    place = f"{served.name}/{version_number(served.version)}"
    return {
        f"{served.name}/config.pbtxt": config(served).encode(),
        f"{place}/model.py": CODE.read_bytes(),
        f"{place}/served.json": orjson.dumps({"onnx": str(served.onnx), "joins": joins_rows(served)}),
    }


def version_number(version: str) -> int:
    """Triton numbers versions; one that is named otherwise is 1."""
    return int(version) if version.isascii() and version.isdigit() and 0 < int(version) < 2**31 else 1


def joins_rows(served: Served) -> bool:
    """Whether Triton's batching can be on."""
    tensors = (*served.inputs, *served.outputs)
    return all(each.shape[:1] == (-1,) for each in tensors) and all(len(each.shape) > 1 for each in served.inputs)


def config(served: Served) -> str:
    """The text of config.pbtxt."""
    joins = joins_rows(served)
    lines = [
        f"name: {_text(served.name)}",
        f"backend: {_text(served.backend)}",
        f"max_batch_size: {served.batching.max_batch_size if joins else 0}",
        *_tensors("input", served.inputs, joins=joins),
        *_tensors("output", served.outputs, joins=joins),
        f"instance_group [ {{ kind: {served.kind} count: {served.instances} }} ]",
        f"version_policy: {{ specific: {{ versions: [ {version_number(served.version)} ] }} }}",
    ]
    if joins:
        delay = served.batching.max_queue_delay_microseconds
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}")
    return "\n".join(lines) + "\n"


def _tensors(side: str, tensors: Sequence[TensorSpec], *, joins: bool) -> Iterator[str]:
    for each in tensors:
        sizes = each.shape[1:] if joins else each.shape
        dims = f"dims: [ {', '.join(map(str, sizes))} ]"
        if not sizes:  # Triton has no empty shape of its own: it answers [rows, 1] for the model's [rows]
            dims = "dims: [ 1 ] reshape: { shape: [ ] }"
        type_ = DTYPES.get(each.dtype, f"TYPE_{each.dtype}")
        yield f"{side} [ {{ name: {_text(each.name)} data_type: {type_} {dims} }} ]"


def _text(value: str) -> str:
    """A string of protobuf's text format: JSON's escapes are among its own, but for what is not ASCII, which goes in octal."""
    quoted = (f"\\{byte:03o}" if byte < 32 or byte > 126 or byte in b'"\\' else chr(byte) for byte in value.encode())
    return f'"{"".join(quoted)}"'
