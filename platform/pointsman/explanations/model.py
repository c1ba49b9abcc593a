"""One model's answer explained: exact TreeSHAP where a tree ensemble gives it, occlusion elsewhere.

A tree ensemble's parts are believed only where they add up to what the model itself answers; else it is occluded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pointsman.explanations.occlusion import Row, medians, occlusion
from pointsman.explanations.onnx_trees import TreeModel, tree_model
from pointsman.explanations.tree_shap import shapley, shares
from pointsman.models.artifact import open_artifact
from pointsman.models.onnx_file import parsed
from pointsman.models.session import OnnxSession, inner_tensor

TOLERANCE = 1e-4
"""How far a tree ensemble's sum in float64 may lie from the model's float32 answer"""
KEPT = 8


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A feature, its value, and its part of what lies between the expected answer and this one."""

    feature: str
    of: tuple[str, ...]
    """the model's inputs that the feature is made of"""
    value: float | list[float]
    contribution: float


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A model's output for one row. `unit` is that of the contributions, of `expected` and of `total`.

    TreeSHAP's contributions add up from `expected` to `total`; those of Occlusion need not. `baseline` is the output that
    stands for `expected`.
    """

    method: Literal["TreeSHAP", "Occlusion"]
    unit: Literal["log-odds", "output"]
    output: float
    baseline: float
    expected: float
    total: float
    drivers: tuple[Driver, ...]
    """the strongest first"""


class ExplainedModel:
    """A pinned model that explains its answers. Raises ArtifactRefused."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._artifact = artifact = open_artifact(folder, expected_digest=digest)
        self._session = OnnxSession(artifact)
        self._graph = parsed(artifact.onnx_path).graph
        self._widths = {each.name: each.shape[1] if len(each.shape) == 2 else 1 for each in artifact.inputs}
        self._trees = dict[str, tuple[TreeModel, Callable[[Row], npt.NDArray[Any]]] | None]()
        self.inputs = {each.name: (each.dtype, len(each.shape)) for each in artifact.inputs}

    def example(self) -> list[Row]:
        """The rows that came with the model; zeros where none did."""
        given = self._artifact.example
        rows = min(map(len, given.values()))
        return [{name: array[at : at + 1] for name, array in given.items()} for at in range(rows)]

    def explain(self, row: Row, background: Sequence[Row], output: str) -> Explained:
        """Explain one output against a background of at least one row. Raises models.session's RunFailed, InvalidInput."""
        answer = self._answer(row, output)
        found = self._tree_model(output)
        if found is not None:
            explained = _by_trees(*found, row, background, answer)
            if abs(found[0].linked(explained.total) - answer) <= TOLERANCE:
                return explained
        baseline = medians(background)
        expected, parts = occlusion(lambda each: self._answer(each, output), row, baseline)
        drivers = [
            Driver(feature=name, of=(name,), value=_plain(row[name]), contribution=part) for name, part in parts.items()
        ]
        return Explained(
            method="Occlusion",
            unit="output",
            output=answer,
            baseline=expected,
            expected=expected,
            total=answer,
            drivers=_ordered(drivers),
        )

    def _answer(self, row: Row, output: str) -> float:
        return float(self._session.infer(row)[output].reshape(-1)[0])

    def _tree_model(self, output: str) -> tuple[TreeModel, Callable[[Row], npt.NDArray[Any]]] | None:
        if output not in self._trees:
            found = tree_model(self._graph, output, self._widths)
            self._trees[output] = None if found is None else (found, inner_tensor(self._artifact, found.tensor))
        return self._trees[output]


@lru_cache(maxsize=KEPT)
def opened(folder: str, digest: str) -> ExplainedModel:
    """The model of a folder, opened once. Raises ArtifactRefused."""
    return ExplainedModel(Path(folder), digest)


def _by_trees(
    found: TreeModel, columns_of: Callable[[Row], npt.NDArray[Any]], row: Row, background: Sequence[Row], answer: float
) -> Explained:
    together = {name: np.concatenate([each[name] for each in background]) for name in row}
    values = columns_of(row)[0]
    expected, parts = shapley(found.trees, values, shares(found.trees, columns_of(together)))
    drivers = [
        Driver(feature=made.text, of=made.of, value=float(value), contribution=float(part))
        for made, value, part in zip(found.columns, values, parts, strict=True)
    ]
    return Explained(
        method="TreeSHAP",
        unit="log-odds" if found.link == "Logistic" else "output",
        output=answer,
        baseline=found.linked(expected),
        expected=expected,
        total=expected + float(parts.sum()),
        drivers=_ordered(drivers),
    )


def _ordered(drivers: Sequence[Driver]) -> tuple[Driver, ...]:
    return tuple(sorted(drivers, key=lambda each: -abs(each.contribution)))


def _plain(array: npt.NDArray[Any]) -> float | list[float]:
    values = array.reshape(-1).astype(float).tolist()
    return values if array.size > 1 else values[0]
