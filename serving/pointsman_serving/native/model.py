"""The one model of a native server: what HTTP and gRPC both ask of it.

It listens before it is loaded, and is ready once the model has answered its example.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pointsman.models.artifact import ModelArtifact, TensorSpec, open_artifact
from pointsman.models.session import InvalidInput, OnnxSession, Probe, RunFailed
from pointsman_serving.oip.tensors import InvalidRequest

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Protocol = Literal["http", "grpc"]


class UnknownModel(LookupError):
    """A name or version that is not served here."""


class TooLarge(ValueError):
    """More rows than the server takes at once."""


class UnknownOutput(ValueError):
    """An output that the model does not have."""


class NotReady(Exception):
    """The model has not answered its example yet."""


THE_CALLERS = (InvalidRequest, InvalidInput, UnknownOutput, TooLarge, RunFailed)
"""Errors in what was asked, of either protocol: the message says where."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What is known once the model has answered, worked out once."""

    artifact: ModelArtifact
    session: OnnxSession
    probe: Probe
    outputs: tuple[str, ...]
    metadata: Mapping[str, Any]
    metadata_json: bytes


class ServedModel:
    """A model under its name and version. `load` blocks and may run in another thread; everything else is quick."""

    def __init__(self, *, name: str, version: str, max_batch_size: int) -> None:
        self.name, self.version, self._max_batch_size = name, version, max_batch_size
        self._loaded: Loaded | None = None
        self._leaving = False
        self.registry = CollectorRegistry()
        labels = {"model": name, "version": version}
        requests = Counter(
            "pointsman_model_requests",
            "Inference requests, by how they ended: answered, refused (the caller's mistake) or failed.",
            [*labels, "protocol", "outcome"],
            registry=self.registry,
        )
        seconds = Histogram(
            "pointsman_model_request_seconds",
            "Seconds from an inference request's first bytes to its answer.",
            [*labels, "protocol"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._rows = Counter("pointsman_model_rows", "Rows scored.", [*labels], registry=self.registry).labels(**labels)
        ready = Gauge("pointsman_model_ready", "1 where the model takes requests.", [*labels], registry=self.registry)
        ready.labels(**labels).set_function(lambda: float(self.ready))
        self._ended = {
            (protocol, outcome): requests.labels(**labels, protocol=protocol, outcome=outcome)
            for protocol in ("http", "grpc")
            for outcome in ("answered", "refused", "failed")
        }
        self._seconds = {protocol: seconds.labels(**labels, protocol=protocol) for protocol in ("http", "grpc")}

    def load(self, folder: Path, digest: str) -> Loaded:
        """Open, load, and answer the example. Raises ArtifactRefused or models.session.ProbeFailed."""
        artifact = open_artifact(folder, expected_digest=digest)
        session = OnnxSession(artifact)
        probe = session.probe()
        metadata = {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_described(each) for each in artifact.inputs],
            "outputs": [_described(each) for each in artifact.outputs],
        }
        loaded = Loaded(
            artifact=artifact,
            session=session,
            probe=probe,
            outputs=tuple(each.name for each in artifact.outputs),
            metadata=metadata,
            metadata_json=orjson.dumps(metadata),
        )
        gc.collect()
        gc.freeze()
        self._loaded = loaded
        return loaded

    @property
    def ready(self) -> bool:
        """Whether the example was answered and the server is not on its way out."""
        return self._loaded is not None and not self._leaving

    def leave(self) -> None:
        """No longer ready; what still comes is answered."""
        self._leaving = True

    @property
    def loaded(self) -> Loaded:
        """What is known of the model. Raises NotReady."""
        if self._loaded is None:
            raise NotReady("the model has not answered its example yet; ask again")
        return self._loaded

    def check(self, name: str, version: str | None) -> None:
        """Raises UnknownModel unless this is the model that was asked for."""
        if name != self.name:
            raise UnknownModel(f'model "{name[:64]}" is not served here, "{self.name}" is')
        if version and version != self.version:
            raise UnknownModel(f'version "{version[:64]}" of "{name}" is not served here, "{self.version}" is')

    def take(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: tuple[str, ...] | None) -> int:
        """How many rows a request has. Raises NotReady, TooLarge or UnknownOutput."""
        rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        if rows > self._max_batch_size:
            raise TooLarge(f"inputs: {rows} rows in one request, at most {self._max_batch_size} are taken")
        known = self.loaded.outputs
        for name in outputs or ():
            if name not in known:
                raise UnknownOutput(f'output "{name[:64]}": the model has {", ".join(known)[:1000]}')
        return rows

    def infer(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: tuple[str, ...] | None
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Answer one request; `outputs` None means all. Raises NotReady, or one of THE_CALLERS."""
        rows = self.take(inputs, outputs)
        answers = self.loaded.session.infer(inputs)
        self._rows.inc(rows)
        return answers if outputs is None else {name: answers[name] for name in outputs}

    @contextmanager
    def counted(self, protocol: Protocol) -> Iterator[None]:
        """Count one inference request and its seconds, and how it ended."""
        began = time.perf_counter()
        try:
            yield
        except THE_CALLERS:
            self._ended[protocol, "refused"].inc()
            raise
        except BaseException:
            self._ended[protocol, "failed"].inc()
            raise
        self._ended[protocol, "answered"].inc()
        self._seconds[protocol].observe(time.perf_counter() - began)


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}
