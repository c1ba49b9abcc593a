"""One run of a test cluster: its folder, its processes and their logs, and waits that name the log when they fail.

    with run("simulated") as made:
        made.start("kubelet", [...])
        made.wait("the node is Ready", node_is_ready, of="kubelet")

Whatever ends the harness ends the run: every process asks the kernel for its parent's death signal, and a sweeper
outside (`sweeper.py`) removes the rest.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import sweeper
from pointsman_images.cache import cache_folder


class NotUp(Exception):
    """A part did not come up, or ended; the message holds the end of its log."""


class Run:
    """The folder and the processes of one run. Not for several threads: a death signal is tied to one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in (sweeper.KEPT, "pki", "state", "tmp", "etc"):
            (folder / name).mkdir(parents=True)
        (folder / "pki").chmod(0o700)

    def path(self, *parts: str) -> Path:
        """A path inside the run's folder."""
        return self.folder.joinpath(*parts)

    def record(self, kind: str, line: str) -> None:
        """Tell the sweeper of something to remove, before or as soon as it is there."""
        with (self.folder / kind).open("a") as record:
            record.write(f"{line}\n")

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> int:
        """Start a part in a session of its own, its output in its log; returns the process id.

        It gets none of this process's environment but PATH: no proxy, no kubeconfig of the user's.
        """
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.path("tmp")), "TMPDIR": str(self.path("tmp"))}
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**clean, **(environment or {})},
                start_new_session=True,
            )
        self._processes[name] = process
        self.record(sweeper.PROCESSES, f"{process.pid} {sweeper.started_at(process.pid) or 0}")
        return process.pid

    def stop(self, name: str) -> None:
        """End one part in order, so that what it wrote is whole."""
        process = self._processes.pop(name)
        process.terminate()
        process.wait(30)

    def log(self, name: str) -> Path:
        """Where a part's log is."""
        return self.path(sweeper.KEPT, f"{name}.log")

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a part's log."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def tails(self, lines: int = 15) -> str:
        """The end of every part's log, each under its name."""
        return "\n".join(f"--- {self.log(name)}\n{self.tail(name, lines)}" for name in self._processes)

    def wait(self, what: str, fact: Callable[[], bool], *, of: str, seconds: float = 30) -> None:
        """Return once the fact holds; raise `NotUp` with a log: of what ended meanwhile, or of this part in the end."""
        deadline = time.monotonic() + seconds
        while not fact():
            self.watch(what)
            if time.monotonic() > deadline:
                raise NotUp(f"not in {seconds:g} s: {what}. {self.log(of)} ends:\n{self.tail(of)}")
            time.sleep(0.03)

    def watch(self, what: str = "the end of the cluster") -> None:
        """Raise `NotUp` with its log where a part has ended before what is said here."""
        for name, part in self._processes.items():
            if part.poll() is not None:
                end = f"{self.log(name)} ends:\n{self.tail(name)}"
                raise NotUp(f"{name} ended with {part.returncode} before: {what}. {end}")

    def end(self) -> None:
        """Kill every part at once (no state is kept that an orderly end would save) and remove what was made."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)
        left = sweeper.sweep(self.folder)
        if left:
            raise RuntimeError(f"the test cluster in {self.folder} left behind: {', '.join(left)}")


@contextmanager
def run(world: str) -> Iterator[Run]:
    """A fresh run, swept when the block ends; runs that a killed harness left are swept first."""
    runs = cache_folder() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    sweeper.sweep_abandoned(runs)
    folder = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{world}"
    folder.mkdir()
    with (folder / sweeper.OWNER).open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        made = Run(folder)
        watch = subprocess.Popen(
            [sys.executable, "-I", sweeper.__file__, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the harness's process group must not end it
        )
        try:
            yield made
        finally:
            try:
                made.end()
            finally:
                fcntl.flock(owner, fcntl.LOCK_UN)
                watch.wait(30)


def free_ports(count: int) -> list[int]:
    """That many ports of 127.0.0.1 that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
