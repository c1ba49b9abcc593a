"""The fraud example, come up and Ready: in the local runtime, and on a real node of its own. Ended with the block.

Both get the same documents, those of the example; its bands act by themselves, so that what is decided is alike.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import yaml
from footprint import Used, of_cluster, of_home, used
from psycopg.rows import TupleRow

from harness.audit import Audit, Write
from harness.cluster import KubectlFailed
from harness.development import EXAMPLE as NAMESPACE
from harness.development import Parts, development
from harness.example import EXAMPLE, GRAPH, Fraud
from harness.operator import NAMESPACE as SYSTEM
from harness.waiting import wait_for
from pointsman.demo.register import register
from pointsman.local.client import ControlClient
from pointsman.local.home import Home
from pointsman.local.postgres import PostgresServer
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.up import down, up
from pointsman.store.database import APP_ROLE, connect

UP_SECONDS = 600
TOKEN = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "accounts-token"}}


@dataclass(frozen=True, kw_only=True)
class World:
    """Where the example runs. `came_up` are seconds from when it was applied, by what then was so; `writes` are the operator's
    since then, where there is one.
    """

    url: str
    key: str
    applied_at: datetime
    came_up: Mapping[str, float]
    used: Callable[[], dict[str, Used]]
    store: Callable[[], psycopg.Connection[TupleRow]]
    writes: Callable[[], list[Write]] | None = None

    @property
    def ready_at(self) -> datetime:
        """When the graph was Ready."""
        return self.applied_at + timedelta(seconds=self.came_up["ready"])


@contextmanager
def local(shown: Parts, probe: bytes) -> Iterator[World]:
    """The local runtime in a home of its own. `probe` is the event that is decided first."""
    with tempfile.TemporaryDirectory(prefix="pmb") as folder:
        home = Home(Path(folder))
        client, server = ControlClient(home), PostgresServer(home)
        try:
            with shown.part("the local runtime: PostgreSQL, MLflow, API, gateway"):
                up(home)
                registered(wait_for("MLflow answers", lambda: _component(client, "mlflow"), seconds=120))
            with shown.part("the example, applied to the local runtime"):
                key, applied_at = SecretStore(home.secrets).get(*FIRST_KEY) or "", datetime.now(UTC)

                def url() -> str:
                    return str(client.get("DecisionGraph", GRAPH).get("status", {}).get("url", ""))

                came_up = timed(
                    apply=lambda: client.apply(documents()),
                    ready=lambda: bool(client.status()["ready"]),
                    decides=lambda: bool(url()) and decides(url(), key, probe),
                )
            yield World(
                url=url(),
                key=key,
                applied_at=applied_at,
                came_up=came_up,
                used=lambda: used(of_home(home.instance)),
                store=lambda: connect(server.url("pointsman", APP_ROLE)),
            )
        finally:
            with shown.part("the local runtime is stopped"):
                down(home)
                if server.user:
                    shutil.rmtree(server.data.parent, ignore_errors=True)


@contextmanager
def cluster(shown: Parts, probe: bytes) -> Iterator[World]:
    """What `make cluster` starts, and the example in it as the README applies it."""
    with development(shown) as made:

        def address(service: str) -> str:
            return str(made.get("service", service, SYSTEM)["spec"]["clusterIP"])

        registry = f"http://{address('mlflow')}:5000"
        fraud = Fraud(
            cluster=made, namespace=NAMESPACE, gateway=f"http://{address('pointsman-gateway')}", registry=registry
        )
        with shown.part("the example's models, registered"):
            registered(registry)
        audit = Audit(made)
        with shown.part("the example, applied to the cluster"):
            moment, applied_at = audit.now(), datetime.now(UTC)
            came_up = timed(
                apply=lambda: made.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=yaml.safe_dump_all(documents())),
                ready=lambda: _is_ready(fraud),
                decides=lambda: decides(fraud.decisions, _key(fraud), probe),
            )
        yield World(
            url=fraud.decisions,
            key=_key(fraud),
            applied_at=applied_at,
            came_up=came_up,
            used=lambda: used(of_cluster(made)),
            store=fraud.store,
            writes=lambda: audit.since(moment),
        )


def documents() -> list[dict[str, Any]]:
    """The example as it lies in the repository, but that no certificate is asked for; and the target's secret."""
    found: list[dict[str, Any]] = [{**TOKEN, "stringData": {"token": secrets.token_urlsafe(24)}}]
    for file in sorted(EXAMPLE.glob("*.yaml")):
        found += yaml.safe_load_all(file.read_text())
    for each in found:
        if each["kind"] == "DecisionGraph":
            each["spec"]["certificates"] = "NotRequired"
    return found


def registered(registry: str) -> None:
    """Put the example's models into an MLflow."""
    for _ in register(EXAMPLE, registry):
        pass


def timed(*, apply: Callable[[], object], ready: Callable[[], bool], decides: Callable[[], bool]) -> dict[str, float]:
    """Seconds from the beginning of `apply` until each is so: `ready`, and `first_decision`."""
    left = {"ready": ready, "first_decision": decides}
    found = dict[str, float]()
    began = time.monotonic()
    apply()

    def all_is_so() -> bool:
        for name in [name for name, fact in left.items() if fact()]:
            found[name] = round(time.monotonic() - began, 1)
            del left[name]
        return not left

    wait_for("the example is Ready and decides", all_is_so, seconds=UP_SECONDS, every=0.3)
    return found


def decides(url: str, key: str, event: bytes) -> bool:
    """Whether an event is decided now; the same again is safe."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        return httpx2.post(url, content=event, headers=headers, timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _component(client: ControlClient, name: str) -> str:
    ready = (each for each in client.status()["components"] if (each["name"], each["state"]) == (name, "Ready"))
    return next((str(each["address"]) for each in ready), "")


def _is_ready(fraud: Fraud) -> bool:
    conditions = fraud.status().get("conditions", ())
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def _key(fraud: Fraud) -> str:
    """The first API key; nothing while the operator has not made it yet."""
    try:
        return fraud.secret("pointsman-keys", "adminKey")
    except KubectlFailed:
        return ""
