"""Runs a pinned model in ONNX Runtime on CPU: one thread, no spinning, inputs bound by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pointsman.models.artifact import NUMPY_TYPES, ArtifactRefused, ModelArtifact, TensorSpec


class InvalidInput(ValueError):
    """An input that the model does not take; `name` is the input's."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f'input "{name}": {message}')
        self.name, self.message = name, message


class ProbeFailed(Exception):
    """The model gave no usable answer to its own example."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found. Scores that depend on the batch they came in are not replayable to the bit."""

    batch_invariant: bool


class OnnxSession:
    """A loaded model. Thread-safe; the caller chooses how many threads call."""

    def __init__(self, artifact: ModelArtifact) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.artifact = artifact
        self._specs = {each.name: each for each in artifact.inputs}
        self._outputs = [each.name for each in artifact.outputs]
        try:
            self._session = ort.InferenceSession(str(artifact.onnx_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises its own types, which stop here
            raise ArtifactRefused(f"ONNX Runtime does not load it: {artifact.onnx_path}: {error}") from error

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name in, arrays by name out. Raises InvalidInput."""
        if inputs.keys() != self._specs.keys():
            for name in self._specs.keys() - inputs.keys():
                raise InvalidInput(name, "it is missing")
            for name in inputs.keys() - self._specs.keys():
                raise InvalidInput(name, f"the model has no such input; it has {', '.join(sorted(self._specs))}")
        batch = None
        for name, array in inputs.items():
            batch = _checked(self._specs[name], array, batch)
        answers = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, answers, strict=True))

    def probe(self) -> Probe:
        """Answer the example, finite, and compare a batch with its rows one by one. Raises ProbeFailed."""
        example = self.artifact.example
        try:
            alone = self.infer(example)
            seven = self.infer({name: np.concatenate([array] * 7) for name, array in example.items()})
        except Exception as error:  # the runtime raises its own types, which stop here
            raise ProbeFailed(f"the model does not answer its example: {error}") from error
        for name, answer in alone.items():
            if np.issubdtype(answer.dtype, np.floating) and not np.isfinite(answer).all():
                raise ProbeFailed(f'the model answers its example with a "{name}" that is not finite')
        same = all(np.array_equal(seven[name][: len(answer)], answer) for name, answer in alone.items())
        return Probe(batch_invariant=same)


def _checked(spec: TensorSpec, array: npt.NDArray[Any], batch: int | None) -> int:
    if array.dtype != NUMPY_TYPES[spec.dtype]:
        raise InvalidInput(spec.name, f"it is {array.dtype}, the model takes {spec.dtype}")
    if array.ndim != len(spec.shape) or any(
        wanted not in (-1, size) for wanted, size in zip(spec.shape, array.shape, strict=True)
    ):
        raise InvalidInput(spec.name, f"its shape is {list(array.shape)}, the model takes {list(spec.shape)}")
    if array.ndim and batch is not None and array.shape[0] != batch:
        raise InvalidInput(spec.name, f"it has {array.shape[0]} rows, the inputs before it have {batch}")
    return array.shape[0] if array.ndim else 0
