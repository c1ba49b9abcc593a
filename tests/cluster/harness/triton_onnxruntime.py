"""What stands in Triton for its backend "onnxruntime" in the test image: one ONNX file in ONNX Runtime on the CPU.

NVIDIA's image has that backend in C++, the wheel of the test image does not; Triton takes a backend written in Python by the
same name. It runs in Triton's own process, where nothing of ours can be imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `model.onnx`, where Triton's own backend looks for it. What is raised here keeps the server from starting."""
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        names = [each.name for each in self._session.get_inputs()]
        feed = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        outputs = [each.name for each in self._session.get_outputs()]
        answers = self._session.run(outputs, feed)
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(each)) for name, each in zip(outputs, answers, strict=True)
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)
