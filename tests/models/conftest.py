"""Small ONNX models, and the folders in which a registry would hand them over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from pointsman.models.artifact import ModelArtifact, digest_of, open_artifact
from pointsman.models.session import OnnxSession

WriteFolder = Callable[..., Path]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, tuple[int, Sequence[Any]]],
    *,
    initializers: Sequence[onnx.TensorProto] = (),
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, *each) for name, each in outputs.items()],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


COLUMN = (TensorProto.FLOAT, ["N", 1])


def scorer() -> onnx.ModelProto:
    """probability = sigmoid(amount - count): which of the two is which matters."""
    return model(
        [helper.make_node("Sub", ["amount", "count"], ["d"]), helper.make_node("Sigmoid", ["d"], ["probability"])],
        {"amount": COLUMN, "count": COLUMN},
        {"probability": COLUMN},
    )


def one_node(operator: str, *, domain: str = "", type_: int = TensorProto.FLOAT, **attributes: Any) -> onnx.ModelProto:
    """y = operator(x) on a column."""
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    column = (type_, ["N", 1])
    return model([node], {"x": column}, {"y": column}, domains=[domain] if domain else [])


def mlmodel(inputs: Sequence[str] = ("amount", "count"), **but: Any) -> dict[str, Any]:
    """What MLflow writes beside an ONNX model."""
    signed = [
        {"name": name, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}} for name in inputs
    ]
    return {
        "flavors": {
            "onnx": {"data": "model.onnx", "code": None, "providers": ["CPUExecutionProvider"]},
            "python_function": {"data": "model.onnx", "loader_module": "mlflow.onnx", "env": {"conda": "conda.yaml"}},
        },
        "signature": {"inputs": json.dumps(signed), "outputs": None, "params": None},
    } | but


@pytest.fixture
def folder(tmp_path: Path) -> WriteFolder:
    """Writes a model's folder: the ONNX file, and whatever else is asked for."""

    def write(onnx_model: onnx.ModelProto | bytes | None = None, **files: Any) -> Path:
        place = tmp_path / "model"
        place.mkdir(exist_ok=True)
        content = onnx_model if onnx_model is not None else scorer()
        (place / "model.onnx").write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        for name, value in files.items():
            if name == "mlmodel":
                (place / "MLmodel").write_text(value if isinstance(value, str) else yaml.safe_dump(value))
            else:
                (place / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
        return place

    return write


def opened(place: Path) -> ModelArtifact:
    return open_artifact(place, expected_digest=digest_of(place))


@pytest.fixture
def session(folder: WriteFolder) -> Callable[..., OnnxSession]:
    """Loads a model through all that a runtime goes through."""
    return lambda onnx_model=None, **files: OnnxSession(opened(folder(onnx_model, **files)))


@pytest.fixture
def made() -> Any:
    """The builders, for tests that need a model of their own."""

    class Made:
        model, one_node, scorer, mlmodel, opened = (
            staticmethod(each) for each in (model, one_node, scorer, mlmodel, opened)
        )

    return Made
