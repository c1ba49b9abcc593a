"""Loads a resolved graph: its models' ports, then the compiled graph. Used by both hosts, when they start and when they switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pointsman.graphs.compile import CompiledGraph, compile_graph
from pointsman.graphs.ports import ModelFailed, ModelPort, Tensor
from pointsman.graphs.resolve import ResolvedGraph, ResolvedModel
from pointsman.models.artifact import open_artifact
from pointsman.models.inline import InlineModel
from pointsman_serving.oip.client import HttpModel, InferenceFailed


@dataclass(frozen=True, kw_only=True)
class LoadedGraph:
    """A compiled graph whose models answer."""

    compiled: CompiledGraph
    ports: Mapping[str, ModelPort]

    def close(self) -> None:
        """Give back the connections to remote models; the graph decides no more."""
        for port in self.ports.values():
            if isinstance(port, RemoteModel):
                port.close()


class RemoteModel:
    """A model behind Open Inference Protocol v2 as a graph's port."""

    def __init__(self, client: HttpModel, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self._client, self.inputs, self.outputs = client, inputs, outputs

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        try:
            return self._client.infer(inputs)
        except InferenceFailed as error:
            raise ModelFailed(str(error)) from error

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()


def load(resolved: ResolvedGraph) -> LoadedGraph:
    """Open the pinned files, check their digests, compile, and see that every model answers its example.

    Raises InvalidGraph, models.artifact.ArtifactRefused or ModelFailed.
    """
    ports = {node: _port(model) for node, model in resolved.models.items()}
    return LoadedGraph(compiled=compile_graph(resolved, ports), ports=ports)


def _port(model: ResolvedModel) -> ModelPort:
    artifact = open_artifact(Path(model.folder), expected_digest=model.digest)
    if model.placement == "Inline":
        return InlineModel(artifact)
    if model.url is None:
        raise ModelFailed(f'model "{model.name}" has no address')
    port = RemoteModel(HttpModel(model.url, model.name, model.version), artifact.inputs, artifact.outputs)
    port.infer(artifact.example)
    return port
