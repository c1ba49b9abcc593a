"""Asks graph hosts which revision they serve with, and action targets whether they listen. Beside the reconcile.

One that is slow or hangs keeps nobody waiting: each is asked by a task of its own, and the answers are read at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx2

HOST_SECONDS = 1.0
"""Between two questions to a host."""
SILENT_SECONDS, LISTENING_SECONDS = 1.0, 5.0
"""Between two looks at a target that did not listen, and at one that did."""
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class HostAnswer:
    """What a host says of itself; `revision` None where it does not decide yet, or nobody answered."""

    revision: str | None = None
    cause: str = ""
    listens: str | None = None
    """host:port at which the replica itself was asked, whatever stands before it"""


class Probes:
    """The last answers. `changed` is called when one differs from the one before."""

    def __init__(self, *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._client = httpx2.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, verify=False)
        self._hosts = dict[str, HostAnswer]()
        self._targets = dict[str, bool]()
        self._tasks = dict[tuple[str, str], asyncio.Task[None]]()

    def host(self, url: str) -> HostAnswer:
        """What the host at this address has answered."""
        return self._hosts.get(url, HostAnswer())

    def believe(self, url: str, revision: str) -> None:
        """What a host has said otherwise, until it is asked again."""
        self._hosts[url] = replace(self.host(url), revision=revision, cause="")

    def listens(self, url: str) -> bool | None:
        """Whether somebody listens at this address; None where nobody has looked yet."""
        return self._targets.get(url)

    def watch(self, *, hosts: Set[str], targets: Set[str]) -> None:
        """Ask these from now on, and no others."""
        wanted = {("host", url) for url in hosts} | {("target", url) for url in targets}
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
        for kind, url in wanted - self._tasks.keys():
            ask = self._ask_host if kind == "host" else self._ask_target
            self._tasks[kind, url] = asyncio.create_task(ask(url), name=f"probe {kind} {url}")
        self._hosts = {url: answer for url, answer in self._hosts.items() if url in hosts}
        self._targets = {url: answer for url, answer in self._targets.items() if url in targets}

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _ask_host(self, url: str) -> None:
        while True:
            began = time.monotonic()
            answer = await self._answer_of(url)
            if answer != self._hosts.get(url):
                self._hosts[url] = answer
                self._changed()
            await asyncio.sleep(max(0.0, HOST_SECONDS - (time.monotonic() - began)))

    async def _answer_of(self, url: str) -> HostAnswer:
        try:
            response = await self._client.get(f"{url}/-/ready")
            body = response.json()
            if response.status_code == 200:
                return HostAnswer(revision=str(body["revision"]), listens=body.get("listens"))
            return HostAnswer(cause=str(body.get("message", "")))
        except (httpx2.HTTPError, ValueError, KeyError, AttributeError):
            return HostAnswer()

    async def _ask_target(self, url: str) -> None:
        while True:
            listens = await _listens(url)
            if listens != self._targets.get(url):
                self._targets[url] = listens
                self._changed()
            await asyncio.sleep(LISTENING_SECONDS if listens else SILENT_SECONDS)


async def _listens(url: str) -> bool:
    """Whether a connection can be made; nothing is sent, so nothing is logged or counted there."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or _default_port(parts.scheme))
        writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return True


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
