"""The supervisor of a home: observe, decide, carry out, for every applied object, once a second and at every change.

`python -m pointsman.local.supervisor --home DIR`, usually below a keeper. It speaks to the command line over a unix socket
(`control`), keeps its children in a `ProcessTable`, and holds no rule of the product: those are in the plans.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import structlog

from pointsman.governance.access import Role
from pointsman.governance.keys import all_keys, digest_of, make
from pointsman.local.applied_objects import AppliedObjects
from pointsman.local.control import ControlSocket
from pointsman.local.home import Home, HomeInUse, HomeRefused
from pointsman.local.leftovers import end
from pointsman.local.mlflow_server import mlflow_spec
from pointsman.local.objects import ObjectStore
from pointsman.local.part import cause_of
from pointsman.local.ports import Ports
from pointsman.local.postgres import PostgresServer
from pointsman.local.processes import ProcessSpec, ProcessTable
from pointsman.local.reconcile import Reconciler
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.shown import Shown
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.store.database import APP_ROLE, OWNER_ROLE, connect

log = structlog.get_logger()

TICK_SECONDS = 1.0
"""The longest time between two reconciles."""
BOOT_POLL_SECONDS = 0.1
DATABASE = "pointsman"


class Supervisor:
    """One home's supervisor. `run` returns when it was told to stop and everything has stopped."""

    def __init__(self, home: Home) -> None:
        self._home, self._ports, self._secrets = home, Ports(home), SecretStore(home.secrets)
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()
        self._postgres = PostgresServer(home)
        self._database_url = self._postgres.url(DATABASE, APP_ROLE)
        self._table = ProcessTable(instance=home.instance, logs=home.logs, changed=self._wake.set)
        self._objects = AppliedObjects(ObjectStore(self._database_url), self._secrets, changed=self._wake.set)
        self._booting: str | None = "starting"
        self._carrying: asyncio.Task[None] | None = None
        self._waits_to_carry = False

    async def run(self) -> None:
        """Boot, reconcile until told to stop, then stop everything in the reverse order of starting."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        control = ControlSocket(
            self._objects,
            path=self._home.control_socket,
            shown=self.shown,
            database_url=self._database_url,
            stop=self.stop,
        )
        working = asyncio.create_task(self._work(), name="reconcile")
        told = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            async with control:
                await asyncio.wait({working, told, control.serving}, return_when=asyncio.FIRST_COMPLETED)
                self._booting = "stopping"
                log.info("stopping")
                told.cancel()
                working.cancel()
                ended = (await asyncio.gather(working, told, return_exceptions=True))[0]
                if self._carrying is not None:
                    await asyncio.gather(self._carrying, return_exceptions=True)
                await self._table.stop_all()
            if isinstance(ended, Exception):
                raise ended
        finally:
            self._objects.close()

    def stop(self) -> None:
        """Begin to stop. Safe twice."""
        self._stopping.set()

    def shown(self) -> Shown:
        """What is seen now, for the control socket."""
        return Shown(
            home=self._home, applied=self._objects.now, processes=self._table.observed(), booting=self._booting
        )

    async def _work(self) -> None:
        """Boot, then reconcile until cancelled. Raises what makes booting impossible."""
        await self._boot()
        registry = MlflowRegistry(f"http://127.0.0.1:{self._ports.of('mlflow')}", local_root=self._home.artifacts)
        reconciler = Reconciler(
            self._home, self._ports, self._secrets, registry, database_url=self._database_url, changed=self._wake.set
        )
        reconciler.remember(self._objects.now)
        try:
            while True:
                self._wake.clear()
                await self._reconcile(reconciler)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), TICK_SECONDS)
        finally:
            await reconciler.close()
            registry.close()

    async def _boot(self) -> None:
        self._booting = "ending what an earlier run left"
        await asyncio.to_thread(end, self._home.instance, but={os.getppid()})
        self._ports.free_again()
        self._booting = "PostgreSQL is starting"
        await asyncio.to_thread(self._postgres.initialise)
        await self._table.apply({"postgres": self._postgres_spec()})
        while not await asyncio.to_thread(self._postgres.answers):
            cause = cause_of(self._table.observed()["postgres"], self._home.logs)
            self._booting = f"PostgreSQL is starting{f': {cause}' if cause else ''}"
            await asyncio.sleep(BOOT_POLL_SECONDS)
        await asyncio.to_thread(self._postgres.ensure_databases)
        self._booting = "the decision store is brought up to date"
        await asyncio.to_thread(_migrate, self._postgres.url(DATABASE, OWNER_ROLE))
        await asyncio.to_thread(self._make_first_key)
        await self._objects.load()
        self._booting = None
        log.info("booted", objects=len(self._objects.now.stored))

    def _make_first_key(self) -> None:
        """Where there is no key that opens everything, one for whoever owns this home; `pointsman up` shows it once."""
        secret, field = FIRST_KEY
        now = datetime.now(UTC)
        with connect(self._database_url) as connection:
            known = all_keys(connection)
            kept = self._secrets.get(secret, field)
            if kept is not None and digest_of(kept) in known and known[digest_of(kept)].is_valid(now):
                return
            _, text = make(connection, "local-admin", Role.ADMIN, expires_at=None, now=now)
        self._secrets.put(secret, {field: text})
        log.info("made the first key", secret=secret)

    async def _reconcile(self, reconciler: Reconciler) -> None:
        """Observe, decide, carry out. While the database is away everything goes on but the statuses."""
        applied, now = self._objects.now, datetime.now(UTC)
        try:
            wanted = await reconciler.decide(applied, self._table.observed(), now=now)
            system = {"postgres": self._postgres_spec(), "mlflow": self._mlflow_spec()}
            self._carry_out({**system, **wanted.processes})
            await self._objects.write_statuses(applied, wanted.told, now=now)
        except psycopg.OperationalError as error:
            log.warning("the decision store is away", error=" ".join(str(error).split()))
        except Exception:  # the loop must live; the next tick tries again
            log.exception("a reconcile failed")

    def _carry_out(self, processes: Mapping[str, ProcessSpec]) -> None:
        """Give the table what is wanted; while something that must stop takes its time, the next reconcile does it."""
        if self._carrying is not None and not self._carrying.done():
            self._waits_to_carry = True
            return
        self._carrying = asyncio.create_task(self._table.apply(processes), name="carry out")
        self._carrying.add_done_callback(self._carried_out)

    def _carried_out(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("the processes could not be made what they should be", exc_info=task.exception())
        if self._waits_to_carry:
            self._waits_to_carry = False
            self._wake.set()

    def _mlflow_spec(self) -> ProcessSpec:
        return mlflow_spec(self._home, self._postgres, self._ports.of("mlflow"))

    def _postgres_spec(self) -> ProcessSpec:
        async def ready() -> bool:
            return await asyncio.to_thread(self._postgres.answers)

        return ProcessSpec(
            name="postgres",
            command=self._postgres.command(),
            user=self._postgres.user,
            folder=Path("/"),
            ready=ready,
            stop_signal=signal.SIGINT,
            stop_seconds=15,
            address=str(self._postgres.sockets),
        )


def _migrate(url: str) -> None:
    from pointsman.store.migrate import migrate  # a second of imports, which the socket need not wait for

    migrate(url)


def log_to(path: Path | None) -> None:
    """JSON lines, to a file or to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(
            file=sys.stderr if path is None else path.open("a", buffering=1, encoding="utf-8")
        ),
    )


def main() -> int:
    """Supervise a home until told to stop; 1 where that is impossible."""
    parser = argparse.ArgumentParser(prog="pointsman.local.supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the state folder")
    parser.add_argument("--foreground", action="store_true", help="log to standard error, not to logs/supervisor.log")
    asked = parser.parse_args()
    try:
        home = Home(asked.home).create()
        with home.held():
            log_to(None if asked.foreground else home.logs / "supervisor.log")
            asyncio.run(Supervisor(home).run())
    except (HomeInUse, HomeRefused) as error:
        print(f"pointsman: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except Exception as error:
        log.exception("the supervisor cannot go on")
        print(f"pointsman: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
