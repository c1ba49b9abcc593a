"""The servers that are compared, each started as a process of its own. All peers serve one ONNX file: the example's trees,
with the twelve inputs packed into one tensor, which is the form that suits them best (twelve tensors cost KServe five times as
much). The graphs are the fraud example, with both of its models inline, over a database of its own each.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import numpy as np
import onnx
import psutil
import psycopg
from onnx import TensorProto, helper

from pointsman.demo.model_files import write_model
from pointsman.governance.access import Role
from pointsman.governance.keys import make
from pointsman.library import load
from pointsman.local.leftovers import CHILD, INSTANCE, end, marked
from pointsman.local.postgres import PostgresServer
from pointsman.local.world import ONE_THREAD
from pointsman.models.manifest import digest_of
from pointsman.store.database import APP_ROLE, OWNER_ROLE, connect
from pointsman.store.migrate import migrate
from pointsman_serving.kserve_python.environment import ENVIRONMENT as KSERVE

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "manifests" / "examples" / "fraud"
READY_SECONDS = 180
NAME = "trees"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A server under test. `url` takes inferences, or single events and batches."""

    name: str
    url: str
    instance: str
    key: str = ""
    events: Path | None = None
    postgres: psutil.Process | None = None

    def cpu_seconds(self) -> float:
        """CPU seconds of all of its processes so far, by the scheduler's own count; PostgreSQL's where it writes there."""
        found = set(marked(self.instance, child=self.name))
        if self.postgres is not None:
            found |= {self.postgres, *self.postgres.children(recursive=True)}
        for each in list(found):
            found.update(_children(each))
        return sum(_scheduled(each.pid) for each in found)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _scheduled(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return total / 1e9


def pack(folder: Path) -> tuple[Path, str, dict[str, list[list[float]]]]:
    """The example's trees with one input [rows, 12] in place of twelve: a model folder, its digest, and an example row."""
    source = EXAMPLE / "models" / "fraud-scorer"
    model = onnx.load(source / "model.onnx")
    names = [each.name for each in model.graph.input]
    example = json.loads((source / "input_example.json").read_text())
    rows = np.hstack([np.asarray(example[name], np.float32).reshape(-1, 1) for name in names])
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)]))
    model.graph.node.insert(0, helper.make_node("Split", ["features"], names, axis=1))
    onnx.checker.check_model(model)
    write_model(folder, model.SerializeToString(), {"features": rows})
    return folder, digest_of(folder), {name: example[name] for name in names}


class Arms:
    """Starts arms and ends them all. Used as a context."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder, self._server = folder, server
        self.instance = uuid4().hex
        self.model, self.digest, self.example = pack(folder / "model")
        self.onnx = self.model / "model.onnx"

    def __enter__(self) -> Arms:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.instance)

    def kserve(self, name: str = "kserve") -> Arm:
        """KServe's ModelServer with a model class of a few lines."""
        port = _free_port()
        self._start(name, [str(KSERVE.python), "-I", str(HERE / "bare_kserve.py"), str(self.onnx), str(port)])
        return self._inferring(name, port)

    def triton(self) -> Arm:
        """Triton with its Python backend, as our runtime starts it; dynamic batching without a delay."""
        http, grpc, metrics = _free_port(), _free_port(), _free_port()
        own = ["--folder", str(self._folder / "triton"), "--metrics-port", str(metrics)]
        self._start("triton", [*self._starter("triton", http, grpc), *own])
        return self._inferring("triton", http)

    def native(self) -> Arm:
        """Our model server."""
        http, grpc = _free_port(), _free_port()
        self._start("native", self._starter("native", http, grpc))
        return self._inferring("native", http)

    def ray(self) -> Arm:
        """Ray Serve with its defaults."""
        port = _free_port()
        folder = self._folder / "r"
        self._start("ray", [sys.executable, str(HERE / "naive_ray.py"), str(self.onnx), str(port), str(folder)])
        return Arm(name="ray", url=self._until(f"http://127.0.0.1:{port}/", post=True), instance=self.instance)

    def graph(self, name: str, module: str, events: Path) -> Arm:
        """The fraud example's graph on one of our hosts, with keys and a store of its own."""
        port = _free_port()
        database = f"bench_{uuid4().hex[:8]}"
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" OWNER {OWNER_ROLE}')
        migrate(self._server.url(database, OWNER_ROLE))
        url = self._server.url(database, APP_ROLE)
        with connect(url) as connection:
            _, key = make(connection, "bench", Role.SERVICE, expires_at=None, now=datetime.now(UTC))
        resolved = load(EXAMPLE).graph.resolved
        inline = {node: model.model_copy(update={"placement": "Inline"}) for node, model in resolved.models.items()}
        config = {
            "databaseUrl": url,
            "port": port,
            "controlToken": uuid4().hex,
            "rayTempDir": str(self._folder / name[-1]),
            "resolved": resolved.model_copy(update={"models": inline}).model_dump(
                mode="json", by_alias=True, exclude_none=True
            ),
        }
        file = self._folder / f"{name}.json"
        file.write_text(json.dumps(config))
        self._start(name, [sys.executable, "-m", module, "--config", str(file)], ONE_THREAD)
        base = f"http://127.0.0.1:{port}/v1/graphs/{resolved.graph.metadata.name}"
        self._until(f"{base}/-/ready")
        return Arm(
            name=name,
            url=f"{base}/decisions",
            instance=self.instance,
            key=key,
            events=events,
            postgres=psutil.Process(int((self._server.data / "postmaster.pid").read_text().split()[0])),
        )

    def _starter(self, runtime: str, http: int, grpc: int) -> list[str]:
        model = ["--model-dir", str(self.model), "--digest", self.digest, "--name", NAME]
        ports = ["--http-port", str(http), "--grpc-port", str(grpc)]
        return [sys.executable, "-m", f"pointsman_serving.{runtime}", *model, *ports]

    def _start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        settings = {**os.environ, **(environment or {}), INSTANCE: self.instance, CHILD: name}
        with (self._folder / f"{name}.log").open("wb") as log:
            subprocess.Popen(command, env=settings, stdout=log, stderr=log, start_new_session=True)

    def _inferring(self, name: str, port: int) -> Arm:
        base = f"http://127.0.0.1:{port}/v2/models/{NAME}"
        self._until(f"{base}/ready")
        return Arm(name=name, url=f"{base}/infer", instance=self.instance)

    def _until(self, url: str, *, post: bool = False) -> str:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = httpx2.post(url, json=infer_body(self)) if post else httpx2.get(url)
                if answer.status_code == 200:
                    return url
            except httpx2.TransportError:
                pass
            time.sleep(0.2)
        raise SystemExit(f"no answer at {url} within {READY_SECONDS} s: see the logs in {self._folder}")


def stop(arm: Arm) -> None:
    """End an arm's processes."""
    end(arm.instance, child=arm.name)


def infer_body(arms: Arms) -> dict[str, object]:
    """One row of the example, as Open Inference Protocol v2 asks for it."""
    row = [float(values[0][0]) for values in arms.example.values()]
    return {"inputs": [{"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
