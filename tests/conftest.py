"""Fixtures that several areas share: one embedded PostgreSQL and one MLflow a session, a fresh migrated database a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import psycopg

    from harness.kafka import Broker

EXAMPLE = Path(__file__).parent.parent / "manifests" / "examples" / "fraud"


settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # on a busy machine too, only what a test asserts may fail


class Modules(LoadScopeScheduling):
    """A module's tests run in one process, and so do all that share a node or a simulated cluster."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if not file.startswith("tests/cluster/"):
            return file
        return "real node" if "real_node" in file else "simulated clusters"


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Modules:
    return Modules(config, log)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running embedded PostgreSQL, the same one that `pointsman up` runs."""
    from pointsman.local.home import Home
    from pointsman.local.postgres import running_postgres

    with running_postgres(Home(tmp_path_factory.mktemp("pg"))) as server:
        with _admin(server) as admin:
            for setting in ("fsync", "full_page_writes"):  # a killed process loses nothing by it, only a machine
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def migrated(postgres) -> str:
    """The database that fresh ones are copied from: nobody may be connected to it."""
    from pointsman.store.migrate import migrate

    name = "migrated"
    with _admin(postgres) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER pointsman_owner")
    migrate(postgres.url(name, "pointsman_owner"))
    return name


@pytest.fixture
def database(postgres, migrated: str) -> Iterator[str]:
    """The name of a fresh, migrated database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with _admin(postgres) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE {migrated} OWNER pointsman_owner')
    yield name
    with _admin(postgres) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _admin(postgres: Any) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(postgres.url("postgres"), autocommit=True)


@pytest.fixture
def database_url(postgres, database: str) -> str:
    """The fresh database's URL with the application's role."""
    return postgres.url(database, "pointsman_app")


@pytest.fixture
def owner_url(postgres, database: str) -> str:
    """The fresh database's URL with the owner's role."""
    return postgres.url(database, "pointsman_owner")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where MLflow answers, and the folder in which it keeps files."""

    url: str
    artifacts: Path

    def publish(self, name: str, folder: Path, *, alias: str = "champion", experiment: str = "tests") -> str:
        from pointsman.demo.publish import Description, Publisher

        description = Description(
            params={"rows": "1"}, metrics={"average_precision": 0.5}, dataset_digest="sha256:ab", dataset_source="test"
        )
        with Publisher(self.url, experiment) as publisher:
            return publisher.publish(name, folder, description, alias=alias)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Kafka broker; in CI it must be, elsewhere its tests are skipped where Java or Maven is missing."""
    from harness.kafka import broker
    from pointsman_images.cache import Missing

    try:
        with broker(tmp_path_factory.mktemp("kafka"), print) as running:
            yield running
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no broker: {missing}", pytrace=False)
        pytest.skip(f"NOT TESTED: {missing}")


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _mlflow(tmp_path_factory.mktemp("mlflow"), "127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AbstractContextManager[Server]]:
    """A server of one's own on another address of this machine."""
    return lambda host: _mlflow(tmp_path_factory.mktemp("mlflow"), host)


@contextmanager
def _mlflow(home: Path, host: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", host]
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, cwd=home, stdout=output, stderr=output
        )
    server = Server(url=f"http://{host}:{port}", artifacts=home / "artifacts")
    try:
        _wait_until_it_answers(server.url, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import httpx2

    deadline = time.monotonic() + 120
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx2.HTTPError:
                time.sleep(0.1)
    raise AssertionError(f"MLflow did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    return _make_model


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return _make_model(tmp_path / "model", bias=0.0)


def _make_model(folder: Path, *, bias: float) -> Path:
    """A model folder: the sigmoid of one input and a bias."""
    import numpy as np
    from onnx import TensorProto, helper

    from pointsman.demo.model_files import write_model

    rows = "N"
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["amount", "bias"], ["sum"]),
            helper.make_node("Sigmoid", ["sum"], ["probability"]),
        ],
        "model",
        [helper.make_tensor_value_info("amount", TensorProto.FLOAT, [rows, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [rows, 1])],
        initializer=[helper.make_tensor("bias", TensorProto.FLOAT, [1], [bias])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    write_model(folder, model.SerializeToString(), {"amount": np.array([[1.0], [2.0]], dtype=np.float32)})
    return folder
