"""A graph's host, or the API, in a thread of this process, for tests that need one to answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn

from pointsman.console.app import console_app
from pointsman.console.store import Store
from pointsman_serving.embedded import serve
from pointsman_serving.graph.config import HostConfig


@contextmanager
def hosted(config: HostConfig) -> Iterator[str]:
    """The host's address, `http://…/v1/graphs/<graph>`, once it is ready."""
    loop = asyncio.new_event_loop()
    task: asyncio.Task[None] | None = None

    def run() -> None:
        nonlocal task
        asyncio.set_event_loop(loop)
        task = loop.create_task(serve(config))
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    url = f"http://127.0.0.1:{config.port}/v1/graphs/{config.resolved.graph.metadata.name}"
    try:
        while True:
            try:
                if httpx2.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                    break
            except httpx2.TransportError:
                assert thread.is_alive()
        yield url
    finally:
        if task is not None and thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


@contextmanager
def api(database_url: str) -> Iterator[str]:
    """The API's address, once it is ready."""
    listening = socket.create_server(("127.0.0.1", 0))  # who asks before the server runs waits
    server = uvicorn.Server(uvicorn.Config(console_app(Store(database_url)), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        assert httpx2.get(f"{url}/readyz", timeout=60, trust_env=False).status_code == 200, "not ready"
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
