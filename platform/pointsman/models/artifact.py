"""A pinned model: an immutable folder, named by the digest of its files.

Only the one ONNX file of a folder is ever opened; whatever else lies there is digested and left alone. Nothing here
deserialises Python objects.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import yaml

FILE_BYTES = 2 * 1024**3
FILES = 1_000
CHUNK = 1024 * 1024
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""The operator sets that ONNX Runtime brings itself; anything else would need foreign code."""


class ArtifactRefused(Exception):
    """A model folder that will not be opened: what, where, what to do."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A tensor by name, Open Inference Protocol datatype, and shape with -1 for the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ModelArtifact:
    """An opened folder. `example` holds one input per name; `example_is_given` is False where zeros stand in."""

    folder: Path
    digest: str
    onnx_path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: dict[str, npt.NDArray[Any]]
    example_is_given: bool


def digest_of(folder: Path) -> str:
    """SHA-256 of the sorted manifest of (path, size, sha256), as `sha256:<hex>`. Raises ArtifactRefused."""
    manifest = [[name, size, digest] for name, size, digest in sorted(_files(folder))]
    if not manifest:
        raise ArtifactRefused(f"a model folder without files: {folder}: register the model again")
    return "sha256:" + hashlib.sha256(orjson.dumps(manifest)).hexdigest()


def open_artifact(folder: Path, *, expected_digest: str) -> ModelArtifact:
    """Check the digest, then read what the model takes and gives. Raises ArtifactRefused."""
    found = digest_of(folder)
    if found != expected_digest:
        raise ArtifactRefused(f"the files are not what was pinned: {folder}: {found} instead of {expected_digest}")
    described = _described(folder)
    onnx_path = _onnx_file(folder, described)
    inputs, outputs = _signature(onnx_path, folder)
    _check_names(described, inputs, folder)
    given = _example(folder, described, inputs)
    return ModelArtifact(
        folder=folder,
        digest=found,
        onnx_path=onnx_path,
        inputs=inputs,
        outputs=outputs,
        example=given if given is not None else {each.name: _zeros(each) for each in inputs},
        example_is_given=given is not None,
    )


def _files(folder: Path) -> list[tuple[str, int, str]]:
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactRefused(f"not a folder: {folder}: fetch the model again")
    found = list[tuple[str, int, str]]()
    for parent, folders, names in os.walk(folder, followlinks=False):
        for name in [*folders, *names]:
            path = Path(parent) / name
            state = path.lstat()
            if stat.S_ISDIR(state.st_mode):
                continue
            if not stat.S_ISREG(state.st_mode):
                raise ArtifactRefused(f"a link or special file in a model: {path}: register plain files")
            if state.st_nlink > 1:
                raise ArtifactRefused(f"a file with other names elsewhere: {path}: fetch the model again")
            if state.st_size > FILE_BYTES:
                raise ArtifactRefused(f"a file of {state.st_size} bytes: {path}: at most {FILE_BYTES} are taken")
            found.append((path.relative_to(folder).as_posix(), state.st_size, _sha256(path)))
            if len(found) > FILES:
                raise ArtifactRefused(f"more than {FILES} files: {folder}: register the model alone")
    return found


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _described(folder: Path) -> dict[str, Any]:
    """MLflow's own description of the model, where there is one."""
    file = folder / "MLmodel"
    if not file.is_file():
        return {}
    try:
        value = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArtifactRefused(f"MLmodel cannot be read: {file}: register the model again") from error
    return value if isinstance(value, dict) else {}


def _onnx_file(folder: Path, described: dict[str, Any]) -> Path:
    flavors = described.get("flavors") or {}
    named = (flavors.get("onnx") or {}).get("data")
    if named is not None:
        path = folder / str(named)
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise ArtifactRefused(f'the ONNX file that MLmodel names is not in the folder: "{named}"')
        return path
    found = sorted(folder.glob("*.onnx"))
    if len(found) != 1:
        kinds = ", ".join(sorted(flavors)) or "no flavour"
        raise ArtifactRefused(f"one ONNX file is needed, here are {len(found)} ({kinds}): {folder}: convert it to ONNX")
    return found[0]


def _signature(path: Path, folder: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors stop here
        raise ArtifactRefused(f"not an ONNX model: {path}: {type(error).__name__}") from error
    strange = sorted({each.domain for each in model.opset_import} - DOMAINS)
    if strange:
        raise ArtifactRefused(f"operators of a foreign domain: {path}: {', '.join(strange)}")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                _contained(folder, path.parent / entry.value, entry.value)
    initial = {tensor.name for tensor in model.graph.initializer}
    return (
        tuple(_spec(each) for each in model.graph.input if each.name not in initial),
        tuple(_spec(each) for each in model.graph.output),
    )


def _contained(folder: Path, path: Path, named: str) -> None:
    if Path(named).is_absolute() or ".." in Path(named).parts or not path.is_file():
        raise ArtifactRefused(f'external data outside the model\'s folder: "{named}": {folder}')


def _spec(value: Any) -> TensorSpec:
    import onnx

    if not value.type.HasField("tensor_type"):
        raise ArtifactRefused(f'"{value.name}" is not a tensor: convert the model without ZipMap')
    dtypes = {
        onnx.TensorProto.FLOAT: "FP32",
        onnx.TensorProto.DOUBLE: "FP64",
        onnx.TensorProto.FLOAT16: "FP16",
        onnx.TensorProto.INT64: "INT64",
        onnx.TensorProto.INT32: "INT32",
        onnx.TensorProto.BOOL: "BOOL",
        onnx.TensorProto.STRING: "BYTES",
    }
    tensor = value.type.tensor_type
    if tensor.elem_type not in dtypes:
        raise ArtifactRefused(f'"{value.name}" has a type that is not served: {tensor.elem_type}')
    shape = tuple(each.dim_value if each.HasField("dim_value") else -1 for each in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=dtypes[tensor.elem_type], shape=shape)


def _check_names(described: dict[str, Any], inputs: tuple[TensorSpec, ...], folder: Path) -> None:
    """The names of MLflow's signature must be those of the graph: names bind, positions do not."""
    signed = {each["name"] for each in _signed(described) if each.get("name")}
    names = {each.name for each in inputs}
    if signed and signed != names:
        odd = ", ".join(sorted(signed ^ names))
        raise ArtifactRefused(f"the signature and the ONNX graph name different inputs: {folder}: {odd}")


def _signed(described: dict[str, Any]) -> list[dict[str, Any]]:
    text = (described.get("signature") or {}).get("inputs")
    return list(orjson.loads(text)) if isinstance(text, str) else []


def _example(
    folder: Path, described: dict[str, Any], inputs: tuple[TensorSpec, ...]
) -> dict[str, npt.NDArray[Any]] | None:
    name = (described.get("saved_input_example_info") or {}).get("artifact_path", "input_example.json")
    file = folder / str(name)
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        return None
    value = orjson.loads(file.read_bytes())
    if isinstance(value, dict) and "inputs" in value:
        value = value["inputs"]
    if isinstance(value, dict) and "columns" in value and "data" in value:
        value = {column: [row[at] for row in value["data"]] for at, column in enumerate(value["columns"])}
    if not isinstance(value, dict) or value.keys() != {each.name for each in inputs}:
        raise ArtifactRefused(f"the input example does not fit the signature: {file}: log the model with its example")
    return {
        each.name: np.asarray(value[each.name], dtype=NUMPY_TYPES[each.dtype]).reshape(
            [size if size > 0 else -1 for size in each.shape]
        )
        for each in inputs
    }


def _zeros(spec: TensorSpec) -> npt.NDArray[Any]:
    return np.zeros([size if size > 0 else 1 for size in spec.shape], dtype=NUMPY_TYPES[spec.dtype])


NUMPY_TYPES: dict[str, npt.DTypeLike] = {
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "INT64": np.int64,
    "INT32": np.int32,
    "BOOL": np.bool_,
    "BYTES": np.object_,
}
"""Open Inference Protocol datatypes that are served, as NumPy's."""
