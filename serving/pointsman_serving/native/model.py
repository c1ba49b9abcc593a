"""The one model of a native server: what HTTP and gRPC both ask of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Histogram

from pointsman.models.artifact import ModelArtifact, TensorSpec
from pointsman.models.session import InvalidInput, OnnxSession, Probe

NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class UnknownModel(LookupError):
    """A name or version that is not served here."""


class TooLarge(ValueError):
    """More rows than the server takes at once."""


class ServedModel:
    """A loaded model under its name and version. Ready once it has answered its example."""

    def __init__(self, artifact: ModelArtifact, *, name: str, version: str, max_batch_size: int) -> None:
        self.artifact, self.name, self.version = artifact, name, version
        self._session = OnnxSession(artifact)
        self._max_batch_size = max_batch_size
        self.probed: Probe | None = None
        self.registry = CollectorRegistry()
        labels = {"model": name, "version": version}
        self._requests = Counter(
            "pointsman_model_requests", "Inference requests.", [*labels, "outcome"], registry=self.registry
        )
        self._answered = self._requests.labels(**labels, outcome="answered")
        self._refused = self._requests.labels(**labels, outcome="refused")
        self._seconds = Histogram(
            "pointsman_model_seconds", "Seconds in the model.", [*labels], buckets=BUCKETS, registry=self.registry
        ).labels(**labels)

    @property
    def ready(self) -> bool:
        """Whether the example was answered."""
        return self.probed is not None

    def probe(self) -> None:
        """Answer the example; raises models.session.ProbeFailed."""
        self.probed = self._session.probe()

    def check(self, name: str, version: str | None) -> None:
        """Raises UnknownModel unless this is the model that was asked for."""
        if name != self.name:
            raise UnknownModel(f'model "{name[:64]}" is not served here, "{self.name}" is')
        if version and version != self.version:
            raise UnknownModel(f'version "{version[:64]}" of "{name}" is not served here, "{self.version}" is')

    def infer(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: tuple[str, ...] | None
    ) -> dict[str, npt.NDArray[Any]]:
        """Answer one request. Raises InvalidInput, TooLarge, or UnknownModel for an output that there is not."""
        try:
            rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
            if rows > self._max_batch_size:
                raise TooLarge(f"{rows} rows in one request, at most {self._max_batch_size} are taken")
            names = [each.name for each in self.artifact.outputs]
            for name in outputs or ():
                if name not in names:
                    raise InvalidInput(name, f"the model has no such output; it has {', '.join(names)}")
            began = time.perf_counter()
            answers = self._session.infer(inputs)
            self._seconds.observe(time.perf_counter() - began)
        except ValueError:
            self._refused.inc()
            raise
        self._answered.inc()
        return answers if outputs is None else {name: answers[name] for name in outputs}

    def metadata(self) -> dict[str, Any]:
        """The model's description, as the protocol asks for it."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(each) for each in self.artifact.inputs],
            "outputs": [_tensor(each) for each in self.artifact.outputs],
        }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}
