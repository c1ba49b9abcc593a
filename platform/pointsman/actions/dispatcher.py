"""Carries approved actions out: `python -m pointsman.actions.dispatcher --config FILE`, with POINTSMAN_STORE_URL set.

Any number of dispatchers may run on one store. This module reads the settings and reads them again when they change,
keeps one worker a target, is woken when something is committed, lets expired actions end, and stops in order on
SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import structlog

from pointsman.actions import outbox
from pointsman.actions.crash import crash_point
from pointsman.actions.effects import Settle, Terms, next_step
from pointsman.actions.metrics import Effects, exposition
from pointsman.actions.outbox import Outcome
from pointsman.actions.report import Report, TargetReport
from pointsman.actions.session import Session
from pointsman.actions.settings import InvalidSettings, Settings, read_settings
from pointsman.actions.status_port import StatusPort
from pointsman.actions.worker import Worker
from pointsman.api.reasons import Reason
from pointsman.logs import log_as_json
from pointsman.store.database import HOW

log = structlog.get_logger()

EXPIRED_AT_ONCE = 500
EXPIRY_LEASE_SECONDS = 10.0
STORE_AGAIN_SECONDS = 2.0
SETTINGS_CHECK_SECONDS = 0.5
FIGURES_EVERY_SECONDS = 30.0


class Dispatcher:
    """One process's dispatcher. `run` returns after `stop`."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self._owner = f"{settings.file.owner}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="store")
        self._workers = dict[str, Worker]()
        self._gone, self._effects = Counter[str](), Effects()
        self._reread, self._stopping = asyncio.Event(), asyncio.Event()
        self._applied = False

    def stop(self) -> None:
        """Finish what is under way and return from `run`."""
        self._stopping.set()
        self._reread.set()

    def reread(self) -> None:
        """Look at the settings file now."""
        self._reread.set()

    async def run(self) -> None:
        """Serve until told to stop."""
        port = StatusPort(
            {
                "/-/ready": self._ready,
                "/-/stats": self._stats,
                "/-/targets": lambda: self._report().document(),
                "/metrics": self._metrics,
            }
        )
        host, wanted = self._settings.file.control_host, self._settings.file.control_port
        if wanted is not None:
            log.info("status port open", address=f"{host}:{await port.open(host, wanted)}")
        await self._apply(self._settings)
        log.info("dispatcher started", owner=self._owner, targets=sorted(self._workers))
        beside: list[Coroutine[Any, Any, None]] = [self._listen(), self._expire(), self._say_figures()]
        tasks = [asyncio.create_task(each) for each in beside]
        try:
            await self._follow_settings()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
            await port.close()
            self._threads.shutdown()
            log.info("dispatcher stopped", **self._figures())

    async def _follow_settings(self) -> None:
        known = _stamp(self._path)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reread.wait(), SETTINGS_CHECK_SECONDS)
            asked = self._reread.is_set()
            self._reread.clear()
            found = _stamp(self._path)
            if self._stopping.is_set() or (found == known and not asked):
                continue
            known = found
            try:
                settings = read_settings(self._path, os.environ)
            except InvalidSettings as error:
                log.error("settings refused, the old ones stay", why=str(error))
                continue
            await self._apply(settings)
            log.info("settings applied", targets=sorted(self._workers))

    async def _apply(self, settings: Settings) -> None:
        """Stop the workers of targets that are gone or changed, and start those that are new or changed."""
        for name, why in settings.refused.items():
            log.error("target refused", target=name, why=why)
        shared = (
            self._settings.file.model_copy(update={"targets": []}),
            settings.file.model_copy(update={"targets": []}),
        )
        ended = {
            name: worker
            for name, worker in self._workers.items()
            if shared[0] != shared[1] or not _same(worker, settings, name)
        }
        await asyncio.gather(*(worker.stop() for worker in ended.values()))
        for name, worker in ended.items():
            self._gone += worker.figures
            del self._workers[name]
        self._settings = settings
        for name, registered in settings.targets.items():
            if name not in self._workers and not self._stopping.is_set():
                self._effects.expect(registered.target)
                self._workers[name] = Worker(
                    registered, settings, owner=self._owner, threads=self._threads, effects=self._effects
                )
        self._applied = True

    async def _listen(self) -> None:
        """Wake the workers as soon as actions are committed. Polling stands in while this connection is away."""
        while True:
            url = self._settings.store_url.get_secret_value()
            try:
                connection = await psycopg.AsyncConnection.connect(url, autocommit=True, **HOW)
                async with connection:
                    await connection.execute(f"LISTEN {outbox.CHANNEL}")
                    async for _ in connection.notifies():
                        for worker in self._workers.values():
                            worker.wake()
            except psycopg.Error as error:
                log.warning("store unavailable", error=type(error).__name__, again_in_seconds=STORE_AGAIN_SECONDS)
            await asyncio.sleep(STORE_AGAIN_SECONDS)

    async def _expire(self) -> None:
        """Let expired actions end, whatever holds their target, and let those without a target say so."""
        session = Session(self._settings.store_url.get_secret_value(), self._threads)
        try:
            while True:
                delay = self._settings.file.poll_seconds
                try:
                    await session.run(lambda cursor: outbox.say_no_target(cursor, self._settings.targets))
                    while await session.run(self._expire_some) == EXPIRED_AT_ONCE:
                        pass
                except psycopg.Error as error:
                    delay = STORE_AGAIN_SECONDS
                    log.warning("store unavailable", error=type(error).__name__, again_in_seconds=delay)
                await asyncio.sleep(delay)
        finally:
            await session.close()

    def _expire_some(self, cursor: psycopg.Cursor[Any]) -> int:
        now = outbox.clock(cursor)
        claims = outbox.claim_expired(
            cursor, owner=self._owner, limit=EXPIRED_AT_ONCE, lease_seconds=EXPIRY_LEASE_SECONDS, now=now
        )
        if not claims:
            return 0
        crash_point("before-expire")
        terms = Terms(idempotency="None", can_read_back=False)
        outcomes = list[Outcome]()
        for claim in claims:
            step = next_step(claim.effect, None, terms, now)
            assert isinstance(step, Settle)
            assert step.reason is Reason.Expired
            outcomes.append(Outcome(claim=claim, step=step, at=now))
        outbox.record(cursor, outcomes, owner=self._owner, now=now)
        crash_point("after-expire")
        self._gone["rejected"] += len(outcomes)
        for each in outcomes:
            self._effects.ended(each)
        log.warning("actions expired", count=len(outcomes))
        return len(claims)

    async def _say_figures(self) -> None:
        """One line now and then, while anything happens."""
        said: dict[str, int] = {}
        while True:
            await asyncio.sleep(FIGURES_EVERY_SECONDS)
            figures = self._figures()
            if figures != said:
                log.info("figures", **figures)
                said = figures

    def _figures(self) -> dict[str, int]:
        total = Counter(self._gone)
        for worker in self._workers.values():
            total.update(worker.figures)
        return dict(total)

    def _ready(self) -> dict[str, Any]:
        return {"ready": self._applied and not self._stopping.is_set(), "owner": self._owner}

    def _stats(self) -> dict[str, Any]:
        return {
            "total": self._figures(),
            "targets": {
                name: {"recorded": dict(worker.figures), "held": worker.held} for name, worker in self._workers.items()
            },
        }

    def _report(self) -> Report:
        refused = {
            name: TargetReport(answers=False, cause=f"it cannot be used: {why}")
            for name, why in self._settings.refused.items()
        }
        return Report(targets={**refused, **{name: each.report() for name, each in self._workers.items()}})

    def _metrics(self) -> bytes:
        targets = {name: each.registered.target for name, each in self._workers.items()}
        return exposition(self._effects, self._report(), targets)


def _same(worker: Worker, settings: Settings, name: str) -> bool:
    registered = settings.targets.get(name)
    old = worker.registered
    return registered is not None and registered.url == old.url and registered.target.spec == old.target.spec


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None while it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def serve(path: Path) -> None:
    """Run a dispatcher until SIGTERM or SIGINT; SIGHUP reads the settings again. Raises InvalidSettings."""
    dispatcher = Dispatcher(path, read_settings(path, os.environ))
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, dispatcher.stop)
    loop.add_signal_handler(signal.SIGHUP, dispatcher.reread)
    await dispatcher.run()


def main(arguments: list[str] | None = None) -> int:
    """The command; 2 when the settings cannot be used at all."""
    parser = argparse.ArgumentParser(prog="pointsman.actions.dispatcher", description="Carry approved actions out.")
    parser.add_argument("--config", type=Path, required=True, help="the settings, JSON; read again when they change")
    path: Path = parser.parse_args(arguments).config
    log_as_json()
    try:
        asyncio.run(serve(path))
    except InvalidSettings as error:
        log.error("cannot start", why=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
