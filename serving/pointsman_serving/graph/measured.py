"""A model's port that counts: how long its calls take, how many rows they have, how many fail. One call a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from pointsman.decisions.stats import SECONDS, Histogram
from pointsman.graphs.ports import ModelFailed, ModelPort, Tensor
from pointsman.graphs.resolve import ResolvedModel


class MeasuredPort:
    """Asks the port of a node's pinned model. One thread asks; any may read the figures."""

    def __init__(self, port: ModelPort, model: ResolvedModel) -> None:
        self.port, self.model = port, model
        self.seconds = Histogram(SECONDS)
        self.rows = 0
        self.failures = 0

    @property
    def inputs(self) -> Sequence[Tensor]:
        return self.port.inputs

    @property
    def outputs(self) -> Sequence[Tensor]:
        return self.port.outputs

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        began = time.perf_counter()
        try:
            return self.port.infer(inputs)
        except ModelFailed:
            self.failures += 1
            raise
        finally:
            self.seconds.add(time.perf_counter() - began)
            self.rows += len(next(iter(inputs.values())))
