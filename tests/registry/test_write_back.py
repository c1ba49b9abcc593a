"""What became of a version is written back to a real MLflow as a tag, once, and beside everything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pointsman.deployments.history import Entry
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import ModelVersion, RegistryUnreachable
from pointsman.registry.write_back import WriteBack

pytestmark = pytest.mark.slow

TAG = "pointsman.dev/risk.fraud"
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


class Counting(MlflowRegistry):
    """A registry that knows how often it was written to."""

    written = 0

    def tag(self, version: ModelVersion, name: str, value: str) -> None:
        super().tag(version, name, value)
        self.written += 1


@pytest.fixture
def registry(mlflow_server: Any) -> Iterator[Counting]:
    with Counting(mlflow_server.url) as registry:
        yield registry


@pytest.fixture
def versions(
    mlflow_server: Any, model_folder: Path, request: pytest.FixtureRequest
) -> tuple[ModelVersion, ModelVersion]:
    """Two registered versions of a model of this test's own."""
    name = request.node.name.replace("test_", "").replace("_", "-")[:60]
    one, two = (mlflow_server.publish(name, model_folder) for _ in range(2))
    return ModelVersion(name=name, version=one), ModelVersion(name=name, version=two)


def entry(version: ModelVersion, **moments: str) -> Entry:
    uri = f"models:/{version.name}@champion"
    return {"version": version.version, "digest": "sha256:ab", "revision": f"r{version.version}", "uri": uri, **moments}


def told(registry: MlflowRegistry, version: ModelVersion) -> str | None:
    return (registry.tags(version) or {}).get(TAG)


def run(story: Callable[[WriteBack, Callable[[], Awaitable[None]]], Awaitable[None]], registry: Any) -> None:
    async def whole() -> None:
        write_back = WriteBack(registry, again_seconds=[0.05])

        async def settled() -> None:
            async with asyncio.timeout(20):
                while write_back.pending:
                    await asyncio.sleep(0.01)

        try:
            await story(write_back, settled)
        finally:
            await write_back.close()

    asyncio.run(whole())


def test_what_serves_what_served_and_what_failed_is_told(
    registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    one, two = versions

    async def story(write_back: WriteBack, settled: Callable[[], Awaitable[None]]) -> None:
        serves = entry(one, proposedAt="2026-11-01T00:00:00Z", servedFrom="2026-11-01T00:00:00Z")
        write_back.want(TAG, [serves])
        await settled()
        assert told(registry, one) == "serving since 2026-11-01T00:00:00Z as revision r1"
        assert told(registry, two) is None

        write_back.want(TAG, [serves, entry(two, proposedAt="2026-11-02T00:00:00Z", failedFor="ProbeFailed")])
        await settled()
        assert "failed as revision r2: ProbeFailed: " in (told(registry, two) or "")

        over = {**serves, "servedUntil": "2026-11-02T00:00:05Z"}
        now = entry(two, proposedAt="2026-11-02T00:00:00Z", servedFrom="2026-11-02T00:00:05Z")
        write_back.want(TAG, [over, now])
        await settled()
        assert told(registry, one) == "served from 2026-11-01T00:00:00Z until 2026-11-02T00:00:05Z as revision r1"
        assert told(registry, two) == "serving since 2026-11-02T00:00:05Z as revision r2"

        write_back.end(TAG, NOON)
        await settled()
        assert told(registry, two) == "served from 2026-11-02T00:00:05Z until 2026-11-03T12:00:00Z as revision r2"
        assert registry.written == 5

    run(story, registry)


def test_nothing_is_written_twice_and_nothing_after_a_restart(
    registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    history = [entry(versions[0], servedFrom="2026-11-01T00:00:00Z")]

    async def story(write_back: WriteBack, settled: Callable[[], Awaitable[None]]) -> None:
        for _ in range(3):
            write_back.want(TAG, list(history))
            await settled()

    run(story, registry)
    run(story, registry)
    assert registry.written == 1


def test_others_tags_and_other_deployments_tags_stay(
    registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    registry.tag(versions[0], "owner", "risk team")

    async def story(write_back: WriteBack, settled: Callable[[], Awaitable[None]]) -> None:
        write_back.want(TAG, [entry(versions[0], servedFrom="2026-11-01T00:00:00Z")])
        write_back.want("pointsman.dev/staging.fraud", [entry(versions[0], failedFor="OutOfMemory")])
        await settled()

    run(story, registry)
    assert set(registry.tags(versions[0]) or ()) >= {"owner", TAG, "pointsman.dev/staging.fraud"}


def test_a_version_that_was_deleted_from_the_registry_is_passed_over(
    registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    gone = ModelVersion(name=versions[0].name, version="99")

    async def story(write_back: WriteBack, settled: Callable[[], Awaitable[None]]) -> None:
        began = {"servedFrom": "2026-11-01T00:00:00Z"}
        write_back.want(TAG, [entry(gone, **began, servedUntil="2026-11-02T00:00:00Z"), entry(versions[0], **began)])
        await settled()

    run(story, registry)
    assert registry.tags(gone) is None
    assert told(registry, versions[0]) is not None


def test_a_registry_that_is_away_is_tried_again_until_it_takes_the_newest(
    mlflow_server: Any, registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def story(write_back: WriteBack, settled: Callable[[], Awaitable[None]]) -> None:
        write_back.want(TAG, [entry(versions[0], failedFor="Crashing")])
        await asyncio.sleep(0.2)
        assert write_back.pending, "it is still to be written"
        write_back.want(TAG, [entry(versions[0], servedFrom="2026-11-01T00:00:00Z")])
        with forwarding(mlflow_server.url, port):
            await settled()

    with MlflowRegistry(f"http://127.0.0.1:{port}") as away:
        run(story, away)
    assert told(registry, versions[0]) == "serving since 2026-11-01T00:00:00Z as revision r1"


def test_a_registry_that_may_not_be_written_to_says_so(
    mlflow_server: Any, registry: Counting, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    with forwarding(mlflow_server.url, 0, read_only=True) as url, MlflowRegistry(url) as read_only:
        assert read_only.tags(versions[0]) is not None
        with pytest.raises(RegistryUnreachable, match="refuses this: POST .*set-tag: status 403"):
            read_only.tag(versions[0], TAG, "serving")
    assert told(registry, versions[0]) is None


@contextmanager
def forwarding(url: str, port: int, *, read_only: bool = False) -> Iterator[str]:
    """MLflow behind another address, which lets nothing be changed where it is to be `read_only`."""
    import httpx2

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if read_only and self.command != "GET":
                self.reply(403, b"Forbidden")
                return
            headers: Mapping[str, str] = {"Content-Type": "application/json"}
            with httpx2.Client(trust_env=False, timeout=20) as client:
                got = client.request(self.command, url + self.path, content=body, headers=headers)
            self.reply(got.status_code, got.content)

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
