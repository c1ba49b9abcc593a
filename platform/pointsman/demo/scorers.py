"""The two scorers of the fraud example, trained with scikit-learn and written as ONNX. Called by training.

Each ONNX graph takes one float32 input [N, 1] for each named feature and does its own preparation, so that nobody can
prepare it differently; it gives `label` (int64 [N]) and `probability` (of fraud, float32 [N, 1]).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Matrix = npt.NDArray[np.float32]

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 9

RATIOS = (
    ("amount", "card_amount_mean_7d"),
    ("amount", "card_amount_max_7d"),
    ("amount", "terminal_amount_mean_7d"),
)
"""How unusual an amount is: the first input divided by the second plus one. Trees find products slowly."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A trained scorer: its file's bytes, and scikit-learn's own answer to compare it with."""

    onnx: bytes
    reference: Callable[[Matrix], npt.NDArray[np.float64]]


def boosted(names: Sequence[str], matrix: Matrix, fraud: npt.NDArray[np.bool_], *, iterations: int) -> Scorer:
    """Gradient-boosted trees over the features and a few ratios of them.

    Leaves of many rows and a strong pull to zero keep the probabilities of this rare class honest at the top end, where
    accounts are frozen; stopping early on a random part would look into the future.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    ratios = [(names.index(above), names.index(below)) for above, below in RATIOS if {above, below} <= set(names)]

    def prepare(rows: Matrix) -> Matrix:
        return np.column_stack([rows, *(rows[:, above] / (rows[:, below] + np.float32(1)) for above, below in ratios)])

    model = HistGradientBoostingClassifier(
        max_iter=iterations,
        learning_rate=0.06,
        max_leaf_nodes=12,
        min_samples_leaf=200,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=0,
    ).fit(prepare(matrix), fraud)
    graph = _Graph(names)
    parts = [graph.together()]
    one = graph.constant(np.array([1], dtype=np.float32))
    for above, below in ratios:
        parts.append(graph.add("Div", [names[above], graph.add("Add", [names[below], one])]))
    graph.append_model(model, graph.add("Concat", parts, axis=1), len(names) + len(ratios))
    return Scorer(onnx=graph.written(), reference=lambda rows: model.predict_proba(prepare(rows))[:, 1])


def logistic(names: Sequence[str], matrix: Matrix, fraud: npt.NDArray[np.bool_]) -> Scorer:
    """Logistic regression over the standardised logarithms of one plus each feature.

    Its graph is written by hand, in float64 and without a matrix product, rounded to float32 at the end: as converted,
    in float32, its scores depended on the size of the batch, and a replay would not have found them again.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def prepare(rows: Matrix) -> npt.NDArray[np.float64]:
        return np.log(rows.astype(np.float64) + 1)

    scaler, regression = StandardScaler(), LogisticRegression(max_iter=300)
    model = make_pipeline(scaler, regression).fit(prepare(matrix), fraud)
    weights = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - float(weights @ scaler.mean_)
    graph = _Graph(names)
    wide = graph.add("Cast", [graph.together()], to=TensorProto.DOUBLE)
    logs = graph.add("Log", [graph.add("Add", [wide, graph.constant(np.array([1.0]))])])
    weighted = graph.add("Mul", [logs, graph.constant(weights.reshape(1, -1))])
    total = graph.add("ReduceSum", [weighted, graph.constant(np.array([1]))], keepdims=1)
    odds = graph.add("Sigmoid", [graph.add("Add", [total, graph.constant(np.array([intercept]))])])
    graph.add("Cast", [odds], to=TensorProto.FLOAT, output="probability")
    above = graph.add("GreaterOrEqual", ["probability", graph.constant(np.array([0.5], dtype=np.float32))])
    flat = graph.add("Reshape", [above, graph.constant(np.array([-1]))])
    graph.add("Cast", [flat], to=TensorProto.INT64, output="label")
    return Scorer(onnx=graph.written(), reference=lambda rows: model.predict_proba(prepare(rows))[:, 1])


class _Graph:
    """An ONNX graph from named inputs to `label` and `probability`, built node by node."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def together(self) -> str:
        """All inputs as one matrix."""
        return self.add("Concat", self._names, axis=1)

    def add(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: int) -> str:
        """Add a node; returns the name of its output, made up unless given."""
        name = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def constant(self, array: npt.NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def append_model(self, model: Any, prepared: str, width: int) -> None:
        """Append a trained model over a prepared matrix, and take the second of its two probabilities."""
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # skl2onnx gives protobuf bools for ints
            converted = to_onnx(
                model,
                initial_types=[(prepared, FloatTensorType([None, width]))],
                options={"zipmap": False},
                target_opset=OPSETS,
            ).graph
        label, both = (each.name for each in converted.output)
        self._nodes += converted.node
        self._constants += converted.initializer
        self.add("Gather", [both, self.constant(np.array([1]))], "probability", axis=1)
        if label != "label":
            self.add("Identity", [label], "label")

    def written(self) -> bytes:
        """Check the graph and write it as the bytes of a file."""
        rows = "N"
        graph = helper.make_graph(
            self._nodes,
            "scorer",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 1]) for name in self._names],
            [
                helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
                helper.make_tensor_value_info("probability", TensorProto.FLOAT, [rows, 1]),
            ],
            initializer=self._constants,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        whole = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="pointsman")
        onnx.checker.check_model(whole, full_check=True)
        content: bytes = whole.SerializeToString(deterministic=True)
        return content
