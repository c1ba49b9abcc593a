"""A small model in a pinned folder, and model servers of every runtime as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pointsman.local.example_probe import EXAMPLE, answers_example
from pointsman.local.model_runtimes import RUNTIMES
from pointsman.local.world import answers
from pointsman.models.artifact import digest_of, open_artifact
from pointsman.models.session import OnnxSession
from pointsman_serving.bento.environment import ENVIRONMENT as BENTOML
from pointsman_serving.environments import Environment, EnvironmentFailed
from pointsman_serving.kserve_python.environment import ENVIRONMENT as KSERVE
from pointsman_serving.triton.environment import ENVIRONMENT as TRITON

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
def pin() -> Callable[[Path, onnx.ModelProto], Pinned]:
    return pinned


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


class RuntimeServer:
    """A model server of any runtime, started by the starter that the local runtime uses, on free ports."""

    def __init__(self, runtime: str, model: Pinned, name: str, *options: str, folder: Path) -> None:
        self.runtime, self.name, self.model, self.folder = runtime, name, model, folder
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.http, self.grpc = f"127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        own = ["--folder", str(folder)] if runtime != "Native" else []
        own += ["--metrics-port", str(self.metrics_port)] if runtime == "Triton" else []
        own += ["--grpc-port", str(self.grpc_port)] if RUNTIMES[runtime].grpc else []
        self.log, self.scratch = folder.with_suffix(".log"), folder.with_suffix(".scratch")
        self.scratch.mkdir()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", RUNTIMES[runtime].module, "--name", name, "--version", "3"),
                    *("--model-dir", str(model.folder), "--digest", model.digest),
                    *("--http-port", str(self.http_port), *own, *options),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.scratch)},
            )

    def ready(self) -> RuntimeServer:
        """Wait until it answers, by the check of the local runtime; Native's own word for it is enough there."""
        url = f"http://{self.http}/v2/models/{self.name}"
        ready = answers(f"{url}/ready")
        if self.runtime != "Native":
            ready = answers_example(f"{url}/infer", self.folder / EXAMPLE)
        deadline = time.monotonic() + PATIENCE
        while not asyncio.run(ready()):
            assert self.process.poll() is None, f"it ended: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"it never answered: {self.log.read_text()[-2000:]}"
            time.sleep(0.05)
        return self

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def built(environment: Environment) -> Environment:
    """The environment, built once in the user's cache. In CI it must be; elsewhere its tests are skipped, saying why."""
    if environment.cannot is not None:
        pytest.skip(environment.cannot)
    try:
        environment.build(lambda line: None)
    except EnvironmentFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NOT TESTED: {error}")
    return environment


@pytest.fixture(scope="session")
def triton_environment() -> Environment:
    return built(TRITON)


@pytest.fixture(scope="session")
def kserve_environment() -> Environment:
    return built(KSERVE)


@pytest.fixture(scope="session")
def bentoml_environment() -> Environment:
    return built(BENTOML)


@pytest.fixture(scope="session")
def start_runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RuntimeServer]]:
    """Starts servers of any runtime, whose environment is built where it has one; all end with the session."""
    started = list[RuntimeServer]()
    needs = {"Triton": "triton_environment", "KServePython": "kserve_environment", "BentoML": "bentoml_environment"}

    def begin(runtime: str, model: Pinned, *options: str, name: str = "scorer") -> RuntimeServer:
        if runtime in needs:
            request.getfixturevalue(needs[runtime])
        folder = tmp_path_factory.mktemp(runtime.lower()) / "server"
        started.append(RuntimeServer(runtime, model, name, *options, folder=folder))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@pytest.fixture(scope="session")
def baseline() -> Pinned:
    """The example's small model: twelve inputs, and a label and a probability."""
    folder = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "models" / "fraud-baseline"
    return Pinned(folder=folder, digest=digest_of(folder))


@pytest.fixture(scope="session")
def baseline_server(start_runtime, baseline: Pinned) -> Callable[[str], RuntimeServer]:
    """One ready server of the example's model for each runtime, for tests that leave it as it was."""
    kept = dict[str, RuntimeServer]()

    def serving(runtime: str) -> RuntimeServer:
        if runtime not in kept:
            kept[runtime] = start_runtime(runtime, baseline, name="fraud-baseline").ready()
        return kept[runtime]

    return serving


@pytest.fixture(scope="session")
def rows(baseline: Pinned) -> Callable[[int], dict[str, Any]]:
    """Plausible inputs of the example's model, the same ones each time."""
    artifact = open_artifact(baseline.folder, expected_digest=baseline.digest)

    def made(count: int) -> dict[str, Any]:
        chance = np.random.default_rng(7)
        return {each.name: chance.uniform(0, 50, (count, 1)).astype(np.float32) for each in artifact.inputs}

    return made


@pytest.fixture(scope="session")
def expected(baseline: Pinned) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What the example's model says, in this process."""
    return OnnxSession(open_artifact(baseline.folder, expected_digest=baseline.digest)).infer


@pytest.fixture
def kserve_client(kserve_environment: Environment, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Asks by KServe's own client, in a process of its own: it cannot be imported beside tritonclient's gRPC."""

    def ask(protocol: str, address: str, model: str, inputs: dict[str, Any], *, health: bool = True) -> dict[str, Any]:
        np.savez(tmp_path / "inputs.npz", **inputs)
        script = Path(__file__).with_name("ask_by_kserve.py")
        asked = [protocol, address, model, str(tmp_path), str(int(health))]
        command = [str(kserve_environment.python), "-I", str(script), *asked]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        with np.load(tmp_path / "outputs.npz") as outputs:
            return dict(outputs)

    return ask
