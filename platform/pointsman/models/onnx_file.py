"""Reads the one ONNX file of a model's folder: what it takes and gives, and whether running it stays in the folder.

Nothing is run here. A file that reads data from elsewhere, or that needs operators which ONNX Runtime does not bring,
is refused before the runtime sees it. Opened artifacts come through here, before any session.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pointsman.models.tensors import ArtifactRefused, TensorSpec

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""The standard operator sets. `com.microsoft` is taken operator by operator: those that ONNX Runtime itself brings."""
TENSORS = 64
"""Inputs, and outputs, that a model may have: a request can carry as many."""
RANK = 8
LOCATION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""Where external data may lie: a plain relative path. The runtime gives other spellings a meaning of its own."""


def read_onnx(path: Path, folder: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of a file that may be run. Raises ArtifactRefused."""
    model = parsed(path)
    _check_operators(model, path)
    for tensor in _tensors(model):
        _check_data(tensor, path, folder)
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_spec(each, path) for each in model.graph.input if each.name not in initial)
    outputs = tuple(_spec(each, path) for each in model.graph.output)
    for side, specs in (("inputs", inputs), ("outputs", outputs)):
        if not 1 <= len(specs) <= TENSORS:
            raise ArtifactRefused(f'{len(specs)} {side}: "{path}": a model has 1 to {TENSORS}; join some into one')
        if len({each.name for each in specs}) != len(specs):
            raise ArtifactRefused(f'two {side} of one name: "{path}": convert the model again')
    return inputs, outputs


@cache
def _format() -> Any:
    """ONNX's generated messages alone: the package around them takes another third of a second to import."""
    name = "onnx.onnx_ml_pb2"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("onnx")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "onnx_ml_pb2.py")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(path: Path) -> Any:
    """The file as ONNX's ModelProto. Raises ArtifactRefused."""
    from google.protobuf.message import DecodeError

    try:
        model = _format().ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise ArtifactRefused(f'not an ONNX file: "{path}": convert the model again') from error
    if not model.ir_version or not model.HasField("graph"):
        raise ArtifactRefused(f'not an ONNX file: "{path}": convert the model again')
    return model


def _check_operators(model: Any, path: Path) -> None:
    local = {(each.domain, each.name) for each in model.functions}
    built_in: frozenset[str] | None = None
    for node in _nodes(model):
        if node.domain in DOMAINS or (node.domain, node.op_type) in local:
            continue
        if node.domain == "com.microsoft":
            built_in = built_in if built_in is not None else _contributed()
            if node.op_type in built_in:
                continue
        raise ArtifactRefused(
            f'operator "{node.op_type}" of domain "{node.domain}": "{path}": custom operators are not run; '
            "convert the model to ai.onnx and ai.onnx.ml"
        )


def _contributed() -> frozenset[str]:
    """The `com.microsoft` operators that this ONNX Runtime has a CPU kernel for."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    kernels = get_all_opkernel_def()
    return frozenset(
        each.op_name for each in kernels if each.domain == "com.microsoft" and each.provider == "CPUExecutionProvider"
    )


def _graphs(model: Any) -> Iterator[Any]:
    yield model.graph
    for each in model.training_info:
        yield from (each.initialization, each.algorithm)


def _scopes(model: Any) -> Iterator[Any]:
    """Every graph and function body, those inside control-flow operators too."""
    waiting = [*_graphs(model), *model.functions]
    while waiting:
        scope = waiting.pop()
        yield scope
        for node in scope.node:
            for attribute in node.attribute:
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _nodes(model: Any) -> Iterator[Any]:
    for scope in _scopes(model):
        yield from scope.node


def _attributes(model: Any) -> Iterator[Any]:
    for node in _nodes(model):
        yield from node.attribute
    for function in model.functions:
        yield from function.attribute_proto


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor that the file holds or points to."""
    for scope in _scopes(model):
        yield from getattr(scope, "initializer", ())
        for sparse in getattr(scope, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
    for attribute in _attributes(model):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)


def _check_data(tensor: Any, path: Path, folder: Path) -> None:
    if tensor.data_location != _format().TensorProto.EXTERNAL and not tensor.external_data:
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    place = f'tensor "{tensor.name}" of "{path}"'
    again = "save the model with its data in one file"
    if len(entries) != len(tensor.external_data) or "location" not in entries:
        raise ArtifactRefused(f"external data without one location: {place}: {again}")
    location = entries["location"]
    file = path.parent / location
    if not LOCATION.fullmatch(location) or not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        raise ArtifactRefused(f'external data outside the model\'s folder, in "{location[:200]}": {place}: {again}')
    numbers = [entries.get(key, "0") for key in ("offset", "length")]
    if not all(re.fullmatch(r"[0-9]{1,18}", each) for each in numbers) or sum(map(int, numbers)) > file.stat().st_size:
        raise ArtifactRefused(f'external data beyond the end of "{location}": {place}: {again}')


def _spec(value: Any, path: Path) -> TensorSpec:
    proto = _format().TensorProto
    dtypes = {
        proto.BOOL: "BOOL",
        proto.UINT8: "UINT8",
        proto.UINT16: "UINT16",
        proto.UINT32: "UINT32",
        proto.UINT64: "UINT64",
        proto.INT8: "INT8",
        proto.INT16: "INT16",
        proto.INT32: "INT32",
        proto.INT64: "INT64",
        proto.FLOAT16: "FP16",
        proto.FLOAT: "FP32",
        proto.DOUBLE: "FP64",
        proto.STRING: "BYTES",
    }
    tensor, place = value.type.tensor_type, f'"{value.name}" of "{path}"'
    if not value.type.HasField("tensor_type"):
        raise ArtifactRefused(f"not a tensor: {place}: convert the model without maps (zipmap off)")
    if tensor.elem_type not in dtypes:
        raise ArtifactRefused(f"a type that is not served, {tensor.elem_type}: {place}: cast it in the model")
    if not tensor.HasField("shape") or len(tensor.shape.dim) > RANK:
        raise ArtifactRefused(f"no shape of at most {RANK} sizes: {place}: convert the model with its shapes")
    shape = tuple(each.dim_value if each.dim_value > 0 else -1 for each in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=dtypes[tensor.elem_type], shape=shape)
