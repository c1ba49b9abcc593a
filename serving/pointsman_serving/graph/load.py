"""Loads a resolved graph: its models' ports, then the compiled graph. Used by both hosts, when they start and when they switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.graphs.compile import CompiledGraph, compile_graph
from pointsman.graphs.ports import ModelFailed, ModelPort, Tensor
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel
from pointsman.models.artifact import open_artifact
from pointsman.models.inline import InlineModel
from pointsman_serving.graph.measured import MeasuredPort
from pointsman_serving.graph.model_files import ModelFiles
from pointsman_serving.oip.client import HttpModel, InferenceFailed


@dataclass(frozen=True, kw_only=True)
class LoadedGraph:
    """A compiled graph whose models answer."""

    compiled: CompiledGraph
    ports: Mapping[str, MeasuredPort]

    def close(self) -> None:
        """Give back the connections to remote models; the graph decides no more."""
        for measured in self.ports.values():
            if isinstance(measured.port, RemoteModel):
                measured.port.close()


class RemoteModel:
    """A model behind Open Inference Protocol v2 as a graph's port; `max_rows` is the most that its server takes at once.

    Its answers have the shapes of the model's signature, whatever runs it.
    """

    def __init__(
        self, client: HttpModel, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, max_rows: int | None = None
    ) -> None:
        self._client, self.inputs, self.outputs, self._max_rows = client, inputs, outputs, max_rows

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        try:
            return self._infer(inputs)
        except InferenceFailed as error:
            raise ModelFailed(str(error)) from error

    def _infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        rows, most = len(next(iter(inputs.values()))), self._max_rows
        if most is None or rows <= most:
            return self._shaped(self._client.infer(inputs))
        parts = [
            self._shaped(self._client.infer({name: array[at : at + most] for name, array in inputs.items()}))
            for at in range(0, rows, most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _shaped(self, answer: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Triton has no tensor of rows alone: where the model gives [rows], it answers [rows, 1]."""
        flat = {each.name for each in self.outputs if len(each.shape) == 1}
        return {
            name: array[:, 0] if name in flat and array.ndim == 2 and array.shape[1] == 1 else array
            for name, array in answer.items()
        }

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()


def load(resolved: ResolvedGraph, files: ModelFiles) -> LoadedGraph:
    """Open the pinned files, check their digests, compile, and see that every model answers its example.

    Raises InvalidGraph, FilesMissing, models.artifact.ArtifactRefused or ModelFailed.
    """
    ports = {node: MeasuredPort(_port(model, files.of(model)), model) for node, model in resolved.models.items()}
    return LoadedGraph(compiled=compile_graph(resolved, ports), ports=ports)


def _port(model: ResolvedModel, folder: Path) -> ModelPort:
    artifact = open_artifact(folder, expected_digest=model.digest)
    if model.placement == "Inline":
        return InlineModel(artifact)
    if model.url is None:
        raise ModelFailed(f'model "{model.name}" has no address')
    # The address is that of one revision; no version is named, since Triton numbers versions and KServe knows none.
    client = HttpModel(model.url, model.name)
    port = RemoteModel(client, artifact.inputs, artifact.outputs, max_rows=client.max_rows())
    port.infer(artifact.example)
    return port
