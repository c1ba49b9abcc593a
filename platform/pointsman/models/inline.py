"""A pinned model run inside the graph's own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pointsman.graphs.ports import ModelFailed
from pointsman.models.artifact import ModelArtifact
from pointsman.models.session import OnnxSession


class InlineModel:
    """A model port over ONNX Runtime. The constructor returns once the model has answered its example."""

    def __init__(self, artifact: ModelArtifact) -> None:
        self._session = OnnxSession(artifact)
        self._session.probe()
        self.inputs, self.outputs = artifact.inputs, artifact.outputs

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Score a batch. Raises ModelFailed."""
        try:
            return self._session.infer(inputs)
        except Exception as error:  # the runtime raises its own types, which stop here
            raise ModelFailed(f"{type(error).__name__}: {error}") from error
