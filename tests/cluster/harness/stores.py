"""Where models lie outside the registry: servers of S3, Google Cloud Storage and the web, and what stands for Hugging Face.

S3 is VersityGW, which checks signatures; Google's is fake-gcs-server, which takes everybody. Hugging Face's own server cannot be
had: `_Hub` answers the questions by which its real client downloads a repository.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness import parts
from harness.certificates import Certificate
from harness.waiting import wait_for
from pointsman_images.cache import Say

KEY, SECRET = "AKIAPOINTSMAN", "the-secret-of-the-tests"
TOKEN = "hf_of-the-tests"
BUCKET = "models"
COMMIT = "5" * 40


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Addresses of the servers, as pods reach them."""

    s3: str
    gcs: str
    web: str
    hub: str


@contextmanager
def stores(host: str, folder: Path, models: dict[str, Path], shown: Certificate, say: Say) -> Iterator[Stores]:
    """Everything, with these models by name: in the bucket `models`, as archives on the web, as repositories of "risk"."""
    for root in ("s3", "gcs"):
        for name, model in models.items():
            shutil.copytree(model, folder / root / BUCKET / name)
    web = folder / "web"
    web.mkdir()
    for name, model in models.items():
        shutil.make_archive(str(web / name), "gztar", model)
    s3, gcs = _address(host), _address(host)
    with ExitStack() as running:
        credentials = ("--access", KEY, "--secret", SECRET)
        posix = ("posix", "--sidecar", folder / "metadata", folder / "s3")
        (folder / "metadata").mkdir()
        running.enter_context(
            _program(s3, [parts.build(parts.S3, say), *credentials, "--port", s3, *posix], folder / "s3.log")
        )
        where = ("-scheme", "http", "-host", host, "-port", gcs.rpartition(":")[2], "-public-host", gcs)
        data = ("-backend", "memory", "-data", folder / "gcs")
        running.enter_context(_program(gcs, [parts.build(parts.GCS, say), *where, *data], folder / "gcs.log"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        files = running.enter_context(_served(host, partial(_Files, directory=str(web)), context))
        hub = running.enter_context(_served(host, partial(_Hub, models=models)))
        yield Stores(s3=s3, gcs=f"http://{gcs}", web=f"https://{files}", hub=f"http://{hub}")


def _address(host: str) -> str:
    with socket.create_server((host, 0)) as opened:
        return f"{host}:{opened.getsockname()[1]}"


@contextmanager
def _program(address: str, command: Sequence[str | Path], log: Path) -> Iterator[None]:
    host, _, port = address.rpartition(":")
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    socket.create_connection((host, int(port)), timeout=1).close()
                except OSError:
                    return False
                return True

            wait_for(f"{command[0]} listens", answers)
            yield
        finally:
            process.kill()


@contextmanager
def _served(host: str, handler: Any, context: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer((host, 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"{host}:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Hub(BaseHTTPRequestHandler):
    """`risk/<model>`, to whoever has the token."""

    def __init__(self, *arguments: Any, models: dict[str, Path]) -> None:
        self._models = models
        super().__init__(*arguments)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts_of = self.path.partition("?")[0].strip("/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        match parts_of:
            case ["api", "models", "risk", name, "revision", _] if name in self._models:
                return self._json({"id": f"risk/{name}", "sha": COMMIT, "siblings": []})
            case ["api", "models", "risk", name, "tree", _] if name in self._models:
                return self._json([_entry(path, self._models[name]) for path in sorted(_files(self._models[name]))])
            case ["risk", name, "resolve", _, *path] if name in self._models:
                content = self._models[name].joinpath(*path).read_bytes()
                return self._answer(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT})
        return self._answer(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _files(model: Path) -> Iterator[Path]:
    return (path for path in model.rglob("*") if path.is_file())


def _entry(path: Path, model: Path) -> dict[str, Any]:
    content = path.read_bytes()
    name = path.relative_to(model).as_posix()
    return {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}


def _oid(content: bytes) -> str:
    """As git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
