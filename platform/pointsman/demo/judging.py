"""Judges trained models before anyone relies on them: their files against scikit-learn, their scores on later days.

Called by training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, ColumnType, FieldType
from pointsman.demo.dataset import Example
from pointsman.graphs.bands import compile_bands
from pointsman.graphs.expressions import compile_expression
from pointsman.models.artifact import digest_of, open_artifact

BATCHES = (1, 64, 500)
"""Batch sizes over which the scores must be the same to the bit."""

TOLERANCE = 1e-4
"""The most a score may differ from scikit-learn's, which computes in float64."""

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


class TrainingFailed(Exception):
    """A model that was trained must not be used: which, and why."""


@dataclass(frozen=True, kw_only=True)
class BandRecord:
    """A band on the held-out days: the share of rows in it, the share of fraud among them, and of all fraud."""

    name: str
    share: float
    fraud_share: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A model's file, found good: its digest, its scores, and their largest difference from scikit-learn's."""

    digest: str
    file_bytes: int
    scores: Scores
    difference: float


def check(folder: Path, inputs: Sequence[str], matrix: Matrix, reference: Callable[[Matrix], Scores]) -> CheckedModel:
    """Open a model's folder as a runtime does, score a matrix, compare with the reference and over batch sizes.

    Raises TrainingFailed where the file differs from what was trained, or its scores depend on the batch.
    """
    from pointsman.models.session import OnnxSession

    artifact = open_artifact(folder, expected_digest=digest_of(folder))
    session = OnnxSession(artifact)

    def score(rows: npt.NDArray[np.float32]) -> Scores:
        answer = session.infer({each: rows[:, at : at + 1] for at, each in enumerate(inputs)})
        return answer["probability"].reshape(-1).astype(np.float64)

    scores = score(matrix)
    difference = float(np.abs(scores - reference(matrix)).max())
    if difference > TOLERANCE:
        raise TrainingFailed(f'the ONNX file of "{folder.name}" differs from scikit-learn by {difference:.2g}')
    some = matrix[: max(BATCHES)]
    for size in BATCHES:
        parts = np.concatenate([score(some[start : start + size]) for start in range(0, len(some), size)])
        if not np.array_equal(parts, scores[: len(some)]):
            raise TrainingFailed(f'scores of "{folder.name}" depend on the batch: they differ in batches of {size}')
    return CheckedModel(
        digest=artifact.digest, file_bytes=artifact.onnx_path.stat().st_size, scores=scores, difference=difference
    )


def metrics(fraud: npt.NDArray[np.bool_], scores: Scores, example: Example) -> Mapping[str, float]:
    """Area under the precision-recall curve, and precision and recall at each threshold of the graph's bands."""
    from sklearn.metrics import average_precision_score

    found = {"average_precision": float(average_precision_score(fraud, scores))}
    for band in example.graph.spec.bands:
        if band.at_least is not None:
            found |= _at(fraud, scores, float(band.at_least))
        elif band.below is not None:
            found |= _at(fraud, scores, float(band.below))
    return found


def _at(fraud: npt.NDArray[np.bool_], scores: Scores, threshold: float) -> Mapping[str, float]:
    taken = scores >= threshold
    right = int((taken & fraud).sum())
    return {
        f"precision_at_{threshold:g}": right / max(1, int(taken.sum())),
        f"recall_at_{threshold:g}": right / max(1, int(fraud.sum())),
    }


def bands(fraud: npt.NDArray[np.bool_], scores: Mapping[str, Scores], example: Example) -> tuple[BandRecord, ...]:
    """The graph's own score, in its own bands; `scores` are the models' by ModelDeployment."""
    type_ = ColumnType(type=FieldType.DOUBLE)
    columns = {f"{example.node_of(name)}.probability": Column(type=type_, values=each) for name, each in scores.items()}
    spec = example.graph.spec
    score = compile_expression(spec.score, {name: each.type for name, each in columns.items()})
    placed = compile_bands(spec.bands).place(score.evaluate(columns).double())
    return tuple(
        BandRecord(
            name=band.name,
            share=float((placed == at).mean()),
            fraud_share=float(fraud[placed == at].mean()) if (placed == at).any() else 0.0,
            recall=float((fraud & (placed == at)).sum() / fraud.sum()),
        )
        for at, band in enumerate(spec.bands)
    )
