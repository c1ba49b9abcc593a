"""What a registry answers is not trusted: names, sizes, addresses and shapes of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pointsman.registry.mlflow_rest import Limits, MlflowRegistry
from pointsman.registry.port import FilesRefused, ModelNotFound, ModelUri, RegistryUnreachable, ResolvedModel

Answers = dict[str, tuple[int, bytes]]

URI = ModelUri.parse("models:/m@champion")
ALIAS = "/api/2.0/mlflow/registered-models/alias"
PLACE = "/api/2.0/mlflow/model-versions/get-download-uri"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], str]]:
    """Starts a server that gives fixed answers by path; 404 and no JSON for the others."""
    started = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(urlsplit(self.path).path, (404, b"what?"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def fetched(url: str, folder: Path, artifact_uri: str = "mlflow-artifacts:/1/m/artifacts", **limits: int) -> Path:
    folder.mkdir(exist_ok=True)
    resolved = ResolvedModel(name="m", version="1", alias=None, artifact_uri=artifact_uri, run_id="")
    with MlflowRegistry(url, limits=Limits(**limits)) as registry:
        registry.fetch(resolved, folder)
    return folder


def listing(*files: dict[str, object]) -> tuple[int, bytes]:
    return 200, json.dumps({"files": list(files)}).encode()


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:evil", "line\nbreak", "nul\0", "x" * 256]
)
def test_a_file_whose_name_is_not_safe_is_refused(serve, tmp_path, name):
    url = serve({FILES: listing({"path": name, "is_dir": False, "file_size": 1})})
    with pytest.raises(FilesRefused, match="not safe"):
        fetched(url, tmp_path / "model")
    assert list(tmp_path.rglob("*")) == [tmp_path / "model"]


def test_folders_without_end_are_refused(serve, tmp_path):
    with pytest.raises(FilesRefused, match="folders deep"):
        fetched(serve({FILES: listing({"path": "again", "is_dir": True})}), tmp_path / "model")


def test_a_file_that_is_larger_than_it_said_is_refused(serve, tmp_path):
    files = {
        FILES: listing({"path": "model.onnx", "is_dir": False, "file_size": 1}),
        f"{FILES}/1/m/artifacts/model.onnx": (200, b"x" * 5_000),
    }
    with pytest.raises(FilesRefused, match="more than"):
        fetched(serve(files), tmp_path / "model", total_bytes=4_000)


def test_two_files_of_one_name_are_refused(serve, tmp_path):
    one = {"path": "model.onnx", "is_dir": False, "file_size": 1}
    files = {FILES: listing(one, one), f"{FILES}/1/m/artifacts/model.onnx": (200, b"x")}
    with pytest.raises(FilesRefused, match="twice"):
        fetched(serve(files), tmp_path / "model")


@pytest.mark.parametrize(
    ("artifact_uri", "message"),
    [
        ("s3://bucket/model", "hand them out"),
        ("https://169.254.169.254/latest", "hand them out"),
        ("file:///etc", "may not name it"),
        ("/etc", "may not name it"),
        ("mlflow-artifacts:/1/../../etc", "climbs"),
        ("mlflow-artifacts:/1/%2e%2e/etc", "climbs"),
    ],
)
def test_files_are_fetched_from_nowhere_else(serve, tmp_path, artifact_uri, message):
    with pytest.raises(FilesRefused, match=message):
        fetched(serve({}), tmp_path / "model", artifact_uri)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"model_version": {"version": "../1"}}'),
        (302, b""),
        (500, b'{"error_code": "INTERNAL_ERROR"}'),
    ],
)
def test_an_answer_that_is_not_mlflows_is_no_answer(serve, answer):
    with MlflowRegistry(serve({ALIAS: answer})) as registry, pytest.raises(RegistryUnreachable, match="as MLflow does"):
        registry.resolve(URI)


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_lets_us_read_nothing_is_said_to_refuse(serve, status):
    answer = (status, b'{"error_code": "PERMISSION_DENIED", "message": "no"}')
    with MlflowRegistry(serve({ALIAS: answer})) as registry, pytest.raises(RegistryUnreachable, match="refuses this"):
        registry.resolve(URI)


def test_a_version_that_is_not_ready_is_not_used(serve):
    version = {"model_version": {"version": "3", "status": "FAILED_REGISTRATION"}}
    url = serve({ALIAS: (200, json.dumps(version).encode())})
    with MlflowRegistry(url) as registry, pytest.raises(ModelNotFound, match='status is "FAILED_REGISTRATION"'):
        registry.resolve(URI)


def test_a_file_that_does_not_come_means_asking_again(serve, tmp_path):
    files = {FILES: listing({"path": "model.onnx", "is_dir": False, "file_size": 1})}
    with pytest.raises(RegistryUnreachable, match="status 404"):
        fetched(serve(files), tmp_path / "model")
