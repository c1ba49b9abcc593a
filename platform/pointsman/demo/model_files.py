"""Writes a trained ONNX model as a folder in MLflow's layout.

Called by training; read by models.artifact and by MLflow. The folder holds no time and no id: one model has one
digest wherever it is registered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

MODEL, EXAMPLE, SERVING_EXAMPLE = "model.onnx", "input_example.json", "serving_input_example.json"


Output = tuple[str, str, tuple[int, ...]]
"""name, dtype, shape"""

SCORER = (("label", "int64", (-1,)), ("probability", "float32", (-1, 1)))


def write_model(
    folder: Path,
    content: bytes,
    example: Mapping[str, npt.NDArray[np.float32]],
    outputs: Sequence[Output] = SCORER,
) -> None:
    """Write model, description, signature and input example into a folder that is made if it is missing.

    `example` holds float32 [N, 1] or [N, width] by input; the signature follows from it and from the outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: array.tolist() for name, array in example.items()}
    (folder / MODEL).write_bytes(content)
    (folder / EXAMPLE).write_text(json.dumps(given))
    (folder / SERVING_EXAMPLE).write_text(json.dumps({"inputs": given}))
    (folder / "MLmodel").write_text(yaml.safe_dump(_description(example, outputs), sort_keys=True))


def _description(example: Mapping[str, npt.NDArray[np.float32]], outputs: Sequence[Output]) -> dict[str, Any]:
    inputs = [_tensor(name, "float32", [-1, *array.shape[1:]]) for name, array in example.items()]
    return {
        "flavors": {
            "onnx": {"data": MODEL, "onnx_session_options": None, "providers": ["CPUExecutionProvider"]},
            "python_function": {"data": MODEL, "loader_module": "mlflow.onnx"},
        },
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "serving_input_path": SERVING_EXAMPLE,
            "type": "ndarray",
        },
        "signature": {
            "inputs": json.dumps(inputs),
            "outputs": json.dumps([_tensor(name, dtype, list(shape)) for name, dtype, shape in outputs]),
            "params": None,
        },
    }


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
