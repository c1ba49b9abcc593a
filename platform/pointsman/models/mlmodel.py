"""Reads MLflow's description of a model as data: which file, which input names, which example. MLflow is not needed.

Nothing that the description names is imported. Session options and providers that were logged with a model are not
taken: the runtime that serves it has its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from pointsman.models.tensors import NUMPY_TYPES, ArtifactRefused, TensorSpec

TEXT_BYTES = 1024 * 1024
"""How large a description or an example may be."""
EXAMPLES = ("input_example.json", "serving_input_example.json")

DESCRIPTION = "MLmodel"
"""The name of the description, beside the model's files"""
OIP_TYPES: Mapping[str, str] = {
    **{f"{kind}{bits}": f"{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "bool": "BOOL",
    "str": "BYTES",
    "object": "BYTES",
}
"""Open Inference Protocol's datatypes by NumPy's names, in which a signature is written"""

Examples = dict[str, npt.NDArray[Any]]


def described(folder: Path) -> Mapping[str, Any]:
    """The content of `MLmodel`; empty where there is none. Raises ArtifactRefused."""
    file = folder / DESCRIPTION
    return _read(_text(file), str(file)) if file.is_file() else {}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives, as its description tells."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def signature(description: bytes) -> Signature | None:
    """What `MLmodel` tells of tensors, without the model; None where it does not. Raises ArtifactRefused."""
    signed = _part(_read(description, DESCRIPTION), "signature")
    try:
        inputs, outputs = (tuple(map(_tensor, json.loads(signed[side]))) for side in ("inputs", "outputs"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return Signature(inputs=inputs, outputs=outputs)


def _tensor(told: Any) -> TensorSpec:
    """Raises LookupError where it is a column of a table, or has no name."""
    spec = told["tensor-spec"]
    return TensorSpec(name=told["name"], dtype=OIP_TYPES[spec["dtype"]], shape=tuple(map(int, spec["shape"])))


def _read(text: str | bytes, place: str) -> Mapping[str, Any]:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ArtifactRefused(f'not YAML: "{place}": register the model again') from error
    if not isinstance(value, dict):
        raise ArtifactRefused(f'not a mapping: "{place}": register the model again')
    return value


def onnx_file(folder: Path, description: Mapping[str, Any]) -> Path:
    """The one file that will be opened: the one that MLflow's `onnx` flavour names, or else the only `*.onnx`."""
    flavors = _part(description, "flavors")
    for name in flavors:
        flavor = _part(flavors, name)
        if flavor.get("code") is not None or not str(flavor.get("loader_module", "mlflow.")).startswith("mlflow."):
            raise ArtifactRefused(
                f'Python code of its own, in flavour "{str(name)[:64]}": "{folder}": log it as ONNX without code_paths'
            )
    named = _part(flavors, "onnx").get("data")
    if named is None:
        found = sorted(folder.glob("*.onnx"))
        if len(found) != 1:
            kinds = ", ".join(sorted(str(each)[:64] for each in flavors)) or "none"
            raise ArtifactRefused(
                f'{len(found)} ONNX files (flavours: {kinds}): "{folder}": one is needed; convert the model to ONNX'
            )
        return found[0]
    path = folder / str(named)
    if path.suffix != ".onnx" or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ArtifactRefused(
            f'no such .onnx file in the folder, "{str(named)[:200]}": "{folder}/MLmodel": log it again'
        )
    return path


def check_names(folder: Path, description: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> None:
    """The names of the signature must be those of the ONNX graph: names bind, positions do not."""
    text = _part(description, "signature").get("inputs")
    if text is None:
        return
    try:
        signed = json.loads(text)
        names = {each["name"] for each in signed if each.get("name") is not None}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArtifactRefused(f'a signature that cannot be read: "{folder}/MLmodel": log the model again') from error
    odd = names ^ {each.name for each in inputs}
    if names and odd:
        listed = ", ".join(f'"{str(each)[:64]}"' for each in sorted(odd, key=str)[:10])
        raise ArtifactRefused(
            f'inputs that only the signature or only the ONNX file names, {listed}: "{folder}": log it again'
        )


def example(folder: Path, description: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> Examples | None:
    """The example that was logged with the model, by input; None where there is none. Raises ArtifactRefused."""
    info = _part(description, "saved_input_example_info")
    for name in (info.get("artifact_path"), info.get("serving_input_path"), *EXAMPLES):
        file = folder / str(name)
        if name is not None and file.resolve().is_relative_to(folder.resolve()) and file.is_file():
            break
    else:
        return None
    try:
        given = _by_name(json.loads(_text(file)), inputs)
        arrays = {each.name: _shaped(each, given[each.name]) for each in inputs}
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise ArtifactRefused(
            f'an input example that does not fit the model\'s inputs: "{file}": log the model with its example'
        ) from error
    rows = {array.shape[0] for each, array in zip(inputs, arrays.values(), strict=True) if each.shape[:1] == (-1,)}
    if len(rows) > 1 or any(array.size == 0 for array in arrays.values()):
        raise ArtifactRefused(f'an input example without rows, or of {sorted(rows)} rows: "{file}": give all as many')
    return arrays


def zeros(spec: TensorSpec) -> npt.NDArray[Any]:
    """What stands in where no example was logged: one row of zeros, or of empty strings."""
    shape = [size if size > 0 else 1 for size in spec.shape]
    return np.full(shape, "" if spec.dtype == "BYTES" else 0, dtype=NUMPY_TYPES[spec.dtype])


def _text(file: Path) -> str:
    if file.stat().st_size > TEXT_BYTES:
        raise ArtifactRefused(f'{file.stat().st_size} bytes: "{file}": at most {TEXT_BYTES} are taken')
    return file.read_text(encoding="utf-8")


def _part(value: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _by_name(value: Any, inputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """MLflow writes an example as named tensors, one tensor, or a table in one of several layouts."""
    names = {each.name for each in inputs}
    if isinstance(value, dict) and value.keys() != names:
        for wrapper in ("inputs", "instances", "dataframe_split", "dataframe_records"):
            if wrapper in value:
                return _by_name(value[wrapper], inputs)
        if "columns" in value and "data" in value:
            value = {name: [row[at] for row in value["data"]] for at, name in enumerate(value["columns"])}
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            value = {name: [row[name] for row in value] for name in value[0]}
        elif len(inputs) == 1:
            value = {inputs[0].name: value}
    if not isinstance(value, dict) or value.keys() != names:
        raise KeyError("other names")
    return value


def _shaped(spec: TensorSpec, value: Any) -> npt.NDArray[Any]:
    array = np.asarray(value, dtype=NUMPY_TYPES[spec.dtype])
    if spec.dtype == "BYTES" and not all(isinstance(each, str) for each in array.ravel().tolist()):
        raise TypeError("not strings")
    if array.ndim != len(spec.shape):
        array = array.reshape(spec.shape)
    if any(wanted not in (-1, size) for wanted, size in zip(spec.shape, array.shape, strict=True)):
        raise ValueError("another shape")
    return array
