"""The fraud example's LSTM as it lies in the repository: what it is given, how it scores, what is recorded of it.

`pointsman.demo.lstm` trains it, which needs torch; everything here does not. Called by training and by tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.demo.dataset import Dataset
from pointsman.demo.publish import Description
from pointsman.models.artifact import digest_of, open_artifact

SEQUENCE = "card-sequence"
"""The ModelDeployment that serves it, and its name in the registry."""

Feed = dict[str, npt.NDArray[np.float32]]


def folder_of(example: Path) -> Path:
    """Where the model's files lie."""
    return example / "models" / SEQUENCE


def record_of(folder: Path) -> Path:
    """Where it is said how the model was trained; beside its files, which have one digest wherever they are."""
    return folder.with_name(f"{folder.name}.training.json")


def feed(dataset: Dataset, inputs: Mapping[str, str], rows: npt.NDArray[Any]) -> Feed:
    """The model's inputs for some rows: float32, [N, 1] or [N, width]."""
    columns = {name: dataset.columns[reference].double()[rows].astype(np.float32) for name, reference in inputs.items()}
    return {name: column.reshape(len(column), -1) for name, column in columns.items()}


def score(folder: Path, given: Feed) -> npt.NDArray[np.float64]:
    """What the file says of each row."""
    from pointsman.models.session import OnnxSession

    session = OnnxSession(open_artifact(folder, expected_digest=digest_of(folder)))
    return session.infer(given)["probability"].reshape(-1).astype(np.float64)


def description(folder: Path) -> Description:
    """What the registry is told of the model, from the record of its training."""
    record = json.loads(record_of(folder).read_text())
    return Description(
        params={name: str(record[name]) for name in ("seed", "rows", "frauds")},
        metrics={name: record[name] for name in ("average_precision", "area_under_roc")},
        dataset_digest=record["dataset_digest"],
        dataset_source=f"pointsman.demo.lstm, seed {record['seed']}",
    )
