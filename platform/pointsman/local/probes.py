"""Asks graph hosts which revision they serve with, and the dispatcher what it sees of the targets. Beside the reconcile.

One that is slow or hangs keeps nobody waiting: each is asked by a task of its own, and the answers are read at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from pydantic import ValidationError

from pointsman.actions.report import Report, TargetReport
from pointsman.certificates.awaiting import Awaiting
from pointsman.certificates.report import BandReport
from pointsman.graphs.activity import QUIET, Activity
from pointsman.ingest.report import SourceReport

AGAIN_SECONDS = 1.0
"""Between two questions to one of them."""
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class HostAnswer:
    """What a host says of itself; `revision` None where it does not decide yet, or nobody answered."""

    revision: str | None = None
    cause: str = ""
    listens: str | None = None
    """host:port at which the replica itself was asked, whatever stands before it"""
    source: SourceReport | None = None
    """how it reads its source; None where events are sent to it"""
    bands: tuple[BandReport, ...] = ()
    """how its bands stand to their certificates"""
    activity: Activity = QUIET
    """what it says of its decisions"""
    awaits: Awaiting | None = None
    """which revision it takes over once that is certified"""
    models: Mapping[str, Any] = field(default_factory=dict)
    """what its nodes decide with: by node, the ModelDeployment and its version's digest"""


class Probes:
    """The last answers. `changed` is called when one differs from the one before."""

    def __init__(self, *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._client = httpx2.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, verify=False)
        self._hosts = dict[str, HostAnswer]()
        self._targets = Report()
        self._tasks = dict[tuple[str, str], asyncio.Task[None]]()

    def host(self, url: str) -> HostAnswer:
        """What the host at this address has answered."""
        return self._hosts.get(url, HostAnswer())

    def believe(self, url: str, revision: str) -> None:
        """What a host has said otherwise, until it is asked again."""
        self._hosts[url] = replace(self.host(url), revision=revision, cause="", awaits=None)

    def target(self, name: str) -> TargetReport | None:
        """What the dispatcher has told of a target; it stands while the dispatcher is away."""
        return self._targets.targets.get(name)

    def watch(self, *, hosts: Set[str], dispatcher: str | None) -> None:
        """Ask these from now on, and no others."""
        wanted = {("host", url) for url in hosts} | ({("dispatcher", dispatcher)} if dispatcher else set())
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
        for kind, url in wanted - self._tasks.keys():
            ask = self._ask_host if kind == "host" else self._ask_dispatcher
            self._tasks[kind, url] = asyncio.create_task(ask(url), name=f"probe {kind} {url}")
        self._hosts = {url: answer for url, answer in self._hosts.items() if url in hosts}

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
            await asyncio.sleep(max(0.0, AGAIN_SECONDS - (time.monotonic() - began)))

    async def _answer_of(self, url: str) -> HostAnswer:
        try:
            response = await self._client.get(f"{url}/-/ready")
            body = response.json()
            if response.status_code == 200:
                return HostAnswer(
                    revision=str(body["revision"]),
                    listens=body.get("listens"),
                    source=_source(body.get("source")),
                    bands=tuple(map(BandReport.model_validate, body.get("bands", ()))),
                    activity=Activity.model_validate(body.get("activity", {})),
                    awaits=_awaits(body.get("awaits")),
                    models=body.get("models") or {},
                )
            return HostAnswer(cause=str(body.get("message", "")))
        except (httpx2.HTTPError, ValueError, KeyError, AttributeError):
            return HostAnswer()

    async def _ask_dispatcher(self, url: str) -> None:
        while True:
            began = time.monotonic()
            with contextlib.suppress(httpx2.HTTPError, ValidationError):
                response = await self._client.get(f"{url}/-/targets")
                told = Report.model_validate_json(response.content).after(self._targets)
                if told != self._targets:
                    self._targets = told
                    self._changed()
            await asyncio.sleep(max(0.0, AGAIN_SECONDS - (time.monotonic() - began)))


def _awaits(said: object) -> Awaiting | None:
    return None if said is None else Awaiting.model_validate(said)


def _source(said: object) -> SourceReport | None:
    return None if said is None else SourceReport.model_validate(said)
