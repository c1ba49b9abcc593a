"""Finds the tree ensemble of an ONNX model whose answer comes from one: its trees, and what its columns are made of.

A model of any other form is not found here, and is explained otherwise; whoever takes what is found compares it with what
the model itself answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pointsman.explanations.tree_shap import LEAF, Trees

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")
ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
PASSED_ON = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 11: np.float64}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A column of the ensemble's input: how it is made, and of which inputs of the model."""

    text: str
    of: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TreeModel:
    """The ensemble behind one output. `link` leads from its sum to the output; `tensor` is its input's name."""

    trees: Trees
    columns: tuple[Made, ...]
    tensor: str
    link: Literal["Identity", "Logistic"]

    def linked(self, sum_: float) -> float:
        """The output for a sum."""
        return sum_ if self.link == "Identity" else float(1 / (1 + np.exp(-sum_)))


def tree_model(graph: Any, output: str, widths: Mapping[str, int]) -> TreeModel | None:
    """The ensemble whose answer this output is; None where it is something else.

    `graph` is an ONNX GraphProto; `widths` are the columns of each input of the model.
    """
    by_output = {name: node for node in graph.node for name in node.output}
    constants = {each.name: _array(each) for each in graph.initializer}
    name, chosen = output, None
    while (node := by_output.get(name)) is not None and node.op_type not in ENSEMBLES:
        if node.op_type in ("Gather", "ArrayFeatureExtractor"):
            index = constants.get(node.input[1])
            if chosen is not None or index is None or index.size != 1:
                return None
            chosen = int(index.ravel()[0])
        elif node.op_type not in PASSED_ON:
            return None
        name = node.input[0]
    if node is None:
        return None
    columns = _columns(node.input[0], by_output, constants, widths)
    attributes = {each.name: _value(each) for each in node.attribute}
    if columns is None or any(f"{key}_as_tensor" in attributes for key in ("nodes_values", "base_values")):
        return None
    if node.op_type == "TreeEnsembleClassifier":
        return None if name != node.output[1] else _classifier(attributes, chosen, tuple(columns), node.input[0])
    return None if chosen not in (None, 0) else _regressor(attributes, tuple(columns), node.input[0])


def _classifier(
    attributes: Mapping[str, Any], chosen: int | None, columns: tuple[Made, ...], tensor: str
) -> TreeModel | None:
    classes = len(attributes.get("classlabels_int64s", attributes.get("classlabels_strings", ())))
    ids, post = np.array(attributes["class_ids"]), attributes.get("post_transform", "NONE")
    base = attributes.get("base_values", ())
    if chosen is None or not 0 <= chosen < classes:
        return None
    if classes == 2 and len(np.unique(ids)) == 1:  # one sum, for the second class
        if post not in ("LOGISTIC", "NONE") or (post == "NONE" and chosen == 0):
            return None
        sign, start = (1.0 if chosen else -1.0), (base[-1] if base else 0.0)
        trees = _trees(attributes, "class", np.ones(len(ids), dtype=np.bool_), sign, sign * start)
    elif post in ("LOGISTIC", "NONE"):
        trees = _trees(attributes, "class", ids == chosen, 1.0, base[chosen] if len(base) == classes else 0.0)
    else:
        return None
    return TreeModel(trees=trees, columns=columns, tensor=tensor, link="Logistic" if post == "LOGISTIC" else "Identity")


def _regressor(attributes: Mapping[str, Any], columns: tuple[Made, ...], tensor: str) -> TreeModel | None:
    how, post = attributes.get("aggregate_function", "SUM"), attributes.get("post_transform", "NONE")
    if attributes.get("n_targets", 1) != 1 or how not in ("SUM", "AVERAGE") or post not in ("LOGISTIC", "NONE"):
        return None
    scale = 1.0 if how == "SUM" else 1 / len(set(attributes["nodes_treeids"]))
    base = attributes.get("base_values", ())
    every = np.ones(len(attributes["target_ids"]), dtype=np.bool_)
    trees = _trees(attributes, "target", every, scale, base[0] if base else 0.0)
    return TreeModel(trees=trees, columns=columns, tensor=tensor, link="Logistic" if post == "LOGISTIC" else "Identity")


def _trees(attributes: Mapping[str, Any], what: str, taken: npt.NDArray[np.bool_], scale: float, base: float) -> Trees:
    """The nodes, each tree from its root down, so that children stand after their parents."""
    keys = list(zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True))
    at = {key: place for place, key in enumerate(keys)}
    mode = np.array([MODES.index(each) for each in attributes["nodes_modes"]], dtype=np.intp)
    given = np.full((len(keys), 2), -1, dtype=np.intp)
    for place, (tree, _) in enumerate(keys):
        if mode[place] != LEAF:
            for side, name in enumerate(("nodes_truenodeids", "nodes_falsenodeids")):
                given[place, side] = at[tree, attributes[name][place]]
    above = np.full(len(keys), -1, dtype=np.intp)
    for side in (0, 1):
        inner = np.flatnonzero(given[:, side] >= 0)
        above[given[inner, side]] = inner
    order = np.flatnonzero(above < 0).tolist()
    for place in order:
        order += [child for child in given[place].tolist() if child >= 0]
    new = np.full(len(keys) + 1, -1, dtype=np.intp)
    new[order] = np.arange(len(keys))
    value = np.zeros(len(keys))
    weights = attributes[f"{what}_weights"]
    for tree, node, weight, counts in zip(
        attributes[f"{what}_treeids"], attributes[f"{what}_nodeids"], weights, taken.tolist(), strict=True
    ):
        value[at[tree, node]] += scale * weight if counts else 0.0
    missing = attributes.get("nodes_missing_value_tracks_true") or [0] * len(keys)
    return Trees(
        feature=np.array(attributes["nodes_featureids"], dtype=np.intp)[order],
        mode=mode[order],
        threshold=np.array(attributes["nodes_values"], dtype=np.float32)[order],
        missing_is_true=np.array(missing, dtype=np.bool_)[order],
        when_true=new[given[order, 0]],
        when_false=new[given[order, 1]],
        parent=new[above[order]],
        value=value[order],
        base=base,
    )


def _columns(
    tensor: str, by_output: Mapping[str, Any], constants: Mapping[str, npt.NDArray[Any]], widths: Mapping[str, int]
) -> list[Made] | None:
    """How each column of a tensor is made; None where it is made otherwise than column by column."""
    if tensor in widths:
        width = widths[tensor]
        return [Made(text=tensor if width == 1 else f"{tensor}[{at}]", of=(tensor,)) for at in range(width)]
    if tensor in constants:
        return [Made(text=f"{value:g}", of=()) for value in constants[tensor].ravel().tolist()]
    node = by_output.get(tensor)
    if node is None:
        return None
    parts = [_columns(each, by_output, constants, widths) for each in node.input]
    if any(each is None for each in parts):
        return None
    columns = [each for each in parts if each is not None]
    if node.op_type in ("Identity", "Cast"):
        return columns[0]
    if node.op_type == "Concat":
        return [column for each in columns for column in each]
    if node.op_type in SIGNS:
        return _joined(columns, SIGNS[node.op_type])
    return None


def _joined(sides: Sequence[list[Made]], sign: str) -> list[Made] | None:
    width = max(map(len, sides))
    if any(len(each) not in (1, width) for each in sides):
        return None
    left, right = ([each[at % len(each)] for at in range(width)] for each in sides)
    return [
        Made(text=f"{_inner(a)} {sign} {_inner(b)}", of=tuple(dict.fromkeys((*a.of, *b.of))))
        for a, b in zip(left, right, strict=True)
    ]


def _inner(made: Made) -> str:
    return f"({made.text})" if " " in made.text else made.text


def _array(tensor: Any) -> npt.NDArray[Any]:
    if tensor.data_type not in TYPES:
        return np.empty(0)
    if tensor.raw_data:
        return np.frombuffer(tensor.raw_data, dtype=TYPES[tensor.data_type])
    held = {1: tensor.float_data, 6: tensor.int32_data, 7: tensor.int64_data, 11: tensor.double_data}
    return np.array(held[tensor.data_type], dtype=TYPES[tensor.data_type])


def _value(attribute: Any) -> Any:
    """An attribute's value, by its type."""
    if attribute.type == 8:  # STRINGS
        return [each.decode() for each in attribute.strings]
    if attribute.type == 3:  # STRING
        return attribute.s.decode()
    return {1: attribute.f, 2: attribute.i, 6: list(attribute.floats), 7: list(attribute.ints)}.get(attribute.type)
