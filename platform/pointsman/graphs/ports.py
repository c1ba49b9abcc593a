"""The ports through which a graph reaches its models: the only I/O that deciding may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Tensor(Protocol):
    """A tensor's name, Open Inference Protocol datatype and shape (-1 for the batch)."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class ModelPort(Protocol):
    """A pinned model that answers: in this process, or over Open Inference Protocol."""

    @property
    def inputs(self) -> Sequence[Tensor]: ...
    @property
    def outputs(self) -> Sequence[Tensor]: ...

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Score a batch: arrays by name, the first dimension is the batch. Raises ModelFailed."""


class ModelFailed(Exception):
    """A model gave no answer. The rows of the batch go to review with reason ModelError."""


NUMPY_TYPES: dict[str, npt.DTypeLike] = {
    "FP32": np.float32,
    "FP64": np.float64,
    "INT64": np.int64,
    "INT32": np.int32,
    "BOOL": np.bool_,
}
"""The datatypes that columns can become; others are refused when a graph is compiled."""
