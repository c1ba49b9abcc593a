"""A pinned model: an immutable folder, named by the digest of its files, and opened as data.

Only the one ONNX file of a folder is ever given to a runtime, and beside it the external data that it names inside the
folder. Whatever else lies there (pickles, weights, requirements) is digested and left alone. Nothing here deserialises
Python objects. Runtimes, graphs and the registry's pins open models through this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pointsman.models.manifest import digest_of
from pointsman.models.mlmodel import check_names, described, example, onnx_file, zeros
from pointsman.models.onnx_file import read_onnx
from pointsman.models.tensors import NUMPY_TYPES, ArtifactRefused, TensorSpec

__all__ = ["NUMPY_TYPES", "ArtifactRefused", "ModelArtifact", "TensorSpec", "digest_of", "open_artifact"]


@dataclass(frozen=True, kw_only=True)
class ModelArtifact:
    """An opened folder. `example` holds one array per input; `example_is_given` is False where zeros stand in."""

    folder: Path
    digest: str
    onnx_path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: dict[str, npt.NDArray[Any]]
    example_is_given: bool


def open_artifact(folder: Path, *, expected_digest: str) -> ModelArtifact:
    """Check the digest, then read what the model takes and gives. Raises ArtifactRefused."""
    found = digest_of(folder)
    if found != expected_digest:
        raise ArtifactRefused(
            f'not the files that were pinned: "{folder}": {found} instead of {expected_digest[:80]}: fetch them again'
        )
    description = described(folder)
    path = onnx_file(folder, description)
    inputs, outputs = read_onnx(path, folder)
    check_names(folder, description, inputs)
    given = example(folder, description, inputs)
    return ModelArtifact(
        folder=folder,
        digest=found,
        onnx_path=path,
        inputs=inputs,
        outputs=outputs,
        example=given if given is not None else {each.name: zeros(each) for each in inputs},
        example_is_given=given is not None,
    )
