"""The model in Triton's Python backend: an ONNX file in ONNX Runtime on the CPU, inputs and outputs by name.

This file is copied into a model repository and runs in Triton's own environment, where nothing of ours can be imported.
Triton hands over the requests that it has joined; their rows are run at once and given back to each. Where that fails, each
is run on its own, so that one request's values spoil no other's answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

FATAL = 4


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model. What is raised here keeps the server from starting."""
        folder = Path(args["model_repository"]) / args["model_version"]
        served = json.loads((folder / "served.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(served["onnx"], options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._joins = bool(served["joins"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request, in order."""
        asked = [self._taken(request) for request in requests]
        valid = [each for each in asked if each is not None]
        if self._joins and len(valid) == len(asked) > 1 and len({_columns(each) for each in valid}) == 1:
            try:
                return self._together(valid)
            except Exception:  # noqa: BLE001  ONNX Runtime's errors have no common base; each is told its own below
                pass
        return [_refused("an input is not UTF-8") if each is None else self._alone(each) for each in asked]

    def _together(self, asked: list[dict[str, Any]]) -> list[Any]:
        joined = {name: np.concatenate([each[name] for each in asked]) for name in self._inputs}
        answers = self._session.run(self._outputs, joined)
        ends = np.cumsum([len(each[self._inputs[0]]) for each in asked])
        parts = [np.split(answer, ends[:-1]) for answer in answers]
        return [self._answer([part[at] for part in parts]) for at in range(len(asked))]

    def _alone(self, asked: dict[str, Any]) -> Any:
        try:
            return self._answer(self._session.run(self._outputs, asked))
        except Exception as error:  # noqa: BLE001  as above
            said = (str(error).splitlines() or [type(error).__name__])[0][:300]
            return _refused(f"the model does not take these values: {said}")

    def _taken(self, request: Any) -> dict[str, Any] | None:
        """A request's arrays by name; None where text is not text."""
        arrays = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
        try:
            return {name: _strings(array) if array.dtype == np.object_ else array for name, array in arrays.items()}
        except UnicodeDecodeError:
            return None

    def _answer(self, answers: list[Any]) -> Any:
        """Triton reads an array's memory as it lies, so it must lie row by row."""
        tensors = [
            pb_utils.Tensor(name, _bytes(array) if array.dtype == np.object_ else np.ascontiguousarray(array))
            for name, array in zip(self._outputs, answers, strict=True)
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _refused(message: str) -> Any:
    """An answer that is the caller's mistake."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def _columns(arrays: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(array.shape[1:] for array in arrays.values())


def _strings(array: Any) -> Any:
    """ONNX Runtime takes text; Triton gives bytes."""
    text = [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
    return np.array(text, dtype=np.object_).reshape(array.shape)


def _bytes(array: Any) -> Any:
    found = np.empty(array.size, dtype=np.object_)
    found[:] = [str(each).encode() for each in array.ravel().tolist()]
    return found.reshape(array.shape)
