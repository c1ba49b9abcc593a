"""A small model in a pinned folder, and native model servers as real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from pointsman.models.artifact import digest_of

PATIENCE = 60.0


def scorer() -> onnx.ModelProto:
    """probability = sigmoid(amount - count), code = the text as it came: which input is which matters."""
    column, text = (TensorProto.FLOAT, ["N", 1]), (TensorProto.STRING, ["N", 1])
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["amount", "count"], ["d"]),
            helper.make_node("Sigmoid", ["d"], ["probability"]),
            helper.make_node("Identity", ["text"], ["code"]),
        ],
        "graph",
        [helper.make_tensor_value_info(*each) for each in (("amount", *column), ("count", *column), ("text", *text))],
        [helper.make_tensor_value_info("probability", *column), helper.make_tensor_value_info("code", *text)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def lookup(*, broken: bool = False) -> onnx.ModelProto:
    """y = table[x], where x is 0 to 2; the broken one answers its example (0) with no number."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [float("nan") if broken else 1.0, 2.0, 3.0])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [table],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A folder and its digest."""

    folder: Path
    digest: str


def pinned(folder: Path, model: onnx.ModelProto) -> Pinned:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return Pinned(folder=folder, digest=digest_of(folder))


@pytest.fixture
def scorer_folder(tmp_path: Path) -> Pinned:
    return pinned(tmp_path / "scorer", scorer())


@pytest.fixture
def lookup_folder(tmp_path: Path) -> Pinned:
    return pinned(tmp_path / "lookup", lookup())


@pytest.fixture
def broken_folder(tmp_path: Path) -> Pinned:
    return pinned(tmp_path / "broken", lookup(broken=True))


class NativeServer:
    """`python -m pointsman_serving.native` on free ports; what it logs is kept."""

    def __init__(self, model: Pinned, name: str, *options: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pointsman_serving.native", "--name", name, "--version", "3"),
                *("--model-dir", str(model.folder), "--digest", model.digest),
                *("--http-port", "0", "--grpc-port", "0", *options),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._told = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                with self._told:
                    self.lines.append(line)
                    self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()

    def logged(self, event: str) -> dict[str, Any]:
        """The first log record of that event, waited for."""

        def found() -> dict[str, Any] | None:
            return next((each for each in map(json.loads, self.lines) if each["event"] == event), None)

        with self._told:
            self._told.wait_for(lambda: found() or self._ended, timeout=PATIENCE)
            record = found()
        assert record is not None, f"never logged {event!r}: {''.join(self.lines)}"
        return record

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.logged('listening')['http_port']}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.logged('listening')['grpc_port']}"

    def end(self) -> int:
        """Stop it, wait until it is gone and its log is read; its exit status."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@pytest.fixture
def start() -> Iterator[Callable[..., NativeServer]]:
    """Starts servers that are ended with the test."""
    started = list[NativeServer]()

    def begin(model: Pinned, *options: str, name: str = "scorer") -> NativeServer:
        started.append(NativeServer(model, name, *options))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeServer]:
    """One ready server of the scorer, taking 500 rows at once, for every test that leaves it as it was."""
    server = NativeServer(
        pinned(tmp_path_factory.mktemp("native") / "scorer", scorer()), "scorer", "--max-batch-size", "500"
    )
    try:
        server.logged("ready")
        yield server
    finally:
        server.end()
