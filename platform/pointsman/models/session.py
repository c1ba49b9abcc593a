"""Runs a pinned model in ONNX Runtime on CPU: one thread, no spinning, inputs bound by name.

Used inside a graph's process (models.inline) and by the native model server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pointsman.models.artifact import NUMPY_TYPES, ArtifactRefused, ModelArtifact, TensorSpec
from pointsman.models.onnx_file import parsed

Arrays = Mapping[str, npt.NDArray[Any]]

PROBED_ROWS = 16
PROBED_BATCHES = (2, 7, 64, 500)
"""Batches in which a probe looks for the scores of its rows again; those over PROBED_BYTES are left out."""
PROBED_BYTES = 16 * 1024 * 1024
FATAL = 4
"""The runtime's own log lines are off: what it has to say is in its exceptions."""


class InvalidInput(ValueError):
    """An input that the model does not take; `name` is the input's."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f'input "{name[:64]}": {message}')
        self.name, self.message = name, message


class RunFailed(Exception):
    """The model does not take these values, although names, types and shapes are right: an index out of range, say."""


class ProbeFailed(Exception):
    """The model gave no usable answer to its own example."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found. Scores that depend on the batch they came in cannot be replayed to the bit.

    `batches` are the sizes that were compared with rows on their own: none for a model of a fixed batch.
    """

    batch_invariant: bool
    batches: tuple[int, ...]


class OnnxSession:
    """A loaded model. Thread-safe; the caller chooses how many threads call. Raises ArtifactRefused."""

    def __init__(self, artifact: ModelArtifact) -> None:
        self.artifact = artifact
        self._inputs = {each.name: _Input(each) for each in artifact.inputs}
        self._outputs = [each.name for each in artifact.outputs]
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = FATAL
        try:
            self._session = ort.InferenceSession(
                str(artifact.onnx_path), _options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own types have no common base; they stop here
            raise ArtifactRefused(
                f'ONNX Runtime does not load it: "{artifact.onnx_path}": {_said(error)}: convert the model again'
            ) from error

    def infer(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name in, in any order; arrays by name out. Raises InvalidInput, or RunFailed for values."""
        if inputs.keys() != self._inputs.keys():
            raise self._misnamed(inputs)
        feed, rows = dict[str, npt.NDArray[Any]](), -1
        for name, taken in self._inputs.items():
            feed[name], rows = taken.check(inputs[name], rows)
        try:
            answers = self._session.run(self._outputs, feed, self._run_options)
        except Exception as error:  # the runtime's own types have no common base; they stop here
            if "allocat" in str(error):
                raise MemoryError(_said(error)) from error
            raise RunFailed(f"the model does not take these values: {_said(error)}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def probe(self) -> Probe:
        """Answer the example with finite numbers, then compare rows on their own with the same rows in batches.

        Raises ProbeFailed, also for a model that says it takes any batch and does not.
        """
        try:
            answer = self.infer(self.artifact.example)
        except (InvalidInput, RunFailed, MemoryError) as error:
            raise ProbeFailed(f"the model does not answer its example: {error}") from error
        for name, array in answer.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ProbeFailed(f'the model answers its example with a "{name}" that is not finite')
        if not all(each.shape[:1] == (-1,) for each in self.artifact.inputs):
            return Probe(batch_invariant=self._takes_one_row(), batches=())
        return self._compare()

    def _misnamed(self, inputs: Arrays) -> InvalidInput:
        for name in self._inputs:
            if name not in inputs:
                return InvalidInput(name, "it is missing")
        odd = next(name for name in inputs if name not in self._inputs)
        return InvalidInput(odd, f"the model has no such input; it has {', '.join(sorted(self._inputs))[:1000]}")

    def _takes_one_row(self) -> bool:
        return all(each.shape[:1] == (1,) for each in self.artifact.inputs)

    def _compare(self) -> Probe:
        rows = {name: _varied(array) for name, array in self.artifact.example.items()}
        try:
            alone = self._alone(rows)
        except RunFailed:  # values of its own making need not be valid: the example's are
            rows = {name: _repeated(array, PROBED_ROWS) for name, array in self.artifact.example.items()}
            alone = self._alone(rows)
        row_bytes = sum(array.nbytes for array in rows.values()) / PROBED_ROWS
        sizes = tuple(size for size in PROBED_BATCHES if size * row_bytes <= PROBED_BYTES)
        same = True
        for size in sizes:
            try:
                together = self.infer({name: _repeated(array, size) for name, array in rows.items()})
            except (RunFailed, MemoryError) as error:
                raise ProbeFailed(f"the model answers one row, but not {size} at once: {error}") from error
            same = same and all(_has_rows(together[name], alone[name], size) for name in self._outputs)
        return Probe(batch_invariant=same, batches=sizes)

    def _alone(self, rows: Arrays) -> dict[str, list[npt.NDArray[Any]]]:
        answers = [self.infer({name: array[at : at + 1] for name, array in rows.items()}) for at in range(PROBED_ROWS)]
        return {name: [answer[name] for answer in answers] for name in self._outputs}


def inner_tensor(artifact: ModelArtifact, name: str) -> Callable[[Arrays], npt.NDArray[Any]]:
    """What an opened model's tensor holds, which may be none of its outputs, for inputs that the model takes.

    Raises ArtifactRefused where the model lies in more than one file.
    """
    model = parsed(artifact.onnx_path)
    model.graph.output.add().name = name
    try:
        session = ort.InferenceSession(model.SerializeToString(), _options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own types have no common base; they stop here
        raise ArtifactRefused(f'no tensor "{name}" can be read: "{artifact.onnx_path}": {_said(error)}') from error

    def read(inputs: Arrays) -> npt.NDArray[Any]:
        (found,) = session.run([name], dict(inputs))
        return np.asarray(found)

    return read


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class _Input:
    """One input's check, prepared once: requests pay for comparisons only."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec, self._shape, self._rank = spec, spec.shape, len(spec.shape)
        self._dtype = np.dtype(NUMPY_TYPES[spec.dtype])
        self._is_text = spec.dtype == "BYTES"
        self._has_rows = self._shape[:1] == (-1,)
        self._column = self._shape[1:] if self._has_rows and -1 not in self._shape[1:] else None

    def check(self, array: npt.NDArray[Any], rows: int) -> tuple[npt.NDArray[Any], int]:
        """The array as the runtime takes it, and its rows: those of the inputs before it, or any where -1."""
        shape = array.shape
        if array.dtype != self._dtype:
            raise self._refused(f"it is {array.dtype}, the model takes {self._spec.dtype}")
        if (shape[1:] != self._column or not shape) and not self._fits(shape):
            raise self._refused(f"its shape is {list(shape)}, the model takes {list(self._shape)}")
        if self._has_rows:
            if rows not in (-1, shape[0]):
                raise self._refused(f"it has {shape[0]} rows, the inputs before it have {rows}")
            rows = shape[0]
        if not array.size:
            raise self._refused("it is empty")
        return (self._text(array) if self._is_text else array), rows

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == self._rank and all(
            wanted in (-1, size) for wanted, size in zip(self._shape, shape, strict=True)
        )

    def _text(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """ONNX Runtime would take the text `b'…'` for bytes, and any other object by its repr."""
        try:
            text = [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
        except UnicodeDecodeError:
            raise self._refused("it is not UTF-8") from None
        if not all(isinstance(each, str) for each in text):
            raise self._refused("its elements are not strings")
        return np.array(text, dtype=np.object_).reshape(array.shape)

    def _refused(self, message: str) -> InvalidInput:
        return InvalidInput(self._spec.name, message)


def _varied(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The example's rows, numbers made a little different in each: the first stays as it was."""
    rows = _repeated(array, PROBED_ROWS)
    if rows.dtype.kind != "f":
        return rows
    factors = 1 + np.arange(PROBED_ROWS) / 13
    return (rows * factors.reshape(-1, *[1] * (rows.ndim - 1))).astype(rows.dtype)


def _repeated(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    return array[np.arange(rows) % len(array)]


def _has_rows(together: npt.NDArray[Any], alone: list[npt.NDArray[Any]], size: int) -> bool:
    """Whether an answer to a batch holds, bit by bit, the answers to its rows on their own."""
    wanted = np.concatenate([np.atleast_1d(alone[at % PROBED_ROWS]) for at in range(size)])
    if together.dtype.kind == "O":
        return np.array_equal(together, wanted)
    return together.shape == wanted.shape and together.tobytes() == wanted.tobytes()


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
