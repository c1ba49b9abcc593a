"""API and dispatcher as they run in pods, on a store behind TCP and a password that comes late, dies and comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from pointsman.store.database import connect

pytestmark = pytest.mark.slow

ACCOUNTS = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "accounts.yaml"
KEY, TOKEN = "an-administrators-key-of-40-characters-xy", "the-accounts-token"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a module as a pod does: settings from the environment, logs on standard error."""
    started = list[subprocess.Popen[bytes]]()

    def one(module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{module}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            started.append(subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log))
        return started[-1]

    yield one
    for each in started:
        each.kill()
        each.wait()


def test_they_go_on_by_themselves_whenever_the_store_comes_and_goes(trial, start, tmp_path: Path, until) -> None:
    api_port, accounts_port, control_port = free_port(), free_port(), free_port()
    target = next(each for each in yaml.safe_load_all(ACCOUNTS.read_text()) if each["kind"] == "ActionTarget")
    secret = tmp_path / "secrets" / "accounts-token" / "token"
    settings = {
        "owner": "pod",
        "secretsFolder": str(tmp_path / "secrets"),
        "controlHost": "0.0.0.0",
        "controlPort": control_port,
        "targets": [target | {"url": f"http://127.0.0.1:{accounts_port}"}],
    }
    (tmp_path / "dispatcher.json").write_text(json.dumps(settings))
    database = str(tmp_path / "accounts.sqlite")
    start("pointsman.demo.accounts", PORT=str(accounts_port), ACCOUNTS_TOKEN=TOKEN, ACCOUNTS_DB=database)
    api = start("pointsman.console", "--port", str(api_port), POINTSMAN_STORE_URL=trial.url)
    config = ("--config", str(tmp_path / "dispatcher.json"))
    dispatcher = start("pointsman.actions.dispatcher", *config, POINTSMAN_STORE_URL=trial.url)

    with httpx2.Client(trust_env=False, timeout=30) as client:

        def asked(path: str, port: int = api_port, **more: object) -> httpx2.Response | None:
            try:
                return client.get(f"http://127.0.0.1:{port}{path}", **more)
            except httpx2.TransportError:
                return None

        def ready() -> int | None:
            answer = asked("/readyz")
            return None if answer is None else answer.status_code

        until(lambda: ready() == 503, "the API says that there is no store")
        trial.up()
        until(lambda: "has no schema" in asked("/readyz").json()["error"], "the API says that it is not prepared")
        prepared = {"POINTSMAN_STORE_OWNER_URL": trial.owner_url, "POINTSMAN_ADMIN_KEY": KEY}
        assert start("pointsman.store.prepare", **prepared).wait(60) == 0
        until(lambda: ready() == 200, "the API is ready")
        bearer = {"authorization": f"Bearer {KEY}"}
        until(lambda: asked("/v1/keys", headers=bearer).status_code == 200, "the administrator's key opens it")

        def seen() -> dict[str, object]:
            answer = asked("/-/targets", control_port)
            return {} if answer is None else answer.json()["targets"]["accounts"]

        until(
            lambda: seen().get("answers") and seen()["held"] == "SecretNotFound", "it answers, and its secret is missed"
        )
        assert seen()["missingSecrets"] == ["accounts-token/token"]
        commit_a_freeze(trial.url)
        secret.parent.mkdir(parents=True)
        secret.write_text(TOKEN)
        until(lambda: states(trial.url) == ["observed"], "the secret is found, and the freeze carried out")

        for _ in range(2):
            trial.kill()
            until(lambda: ready() == 503, "the API says that the store is away")
            trial.up()
            until(lambda: ready() == 200, "the API is ready again")
            commit_a_freeze(trial.url)
        until(lambda: states(trial.url) == ["observed"] * 3, "the dispatcher went on")

    assert (api.poll(), dispatcher.poll()) == (None, None)
    for process in (api, dispatcher):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    logs = "".join((tmp_path / f"pointsman.{name}.log").read_text() for name in ("console", "actions.dispatcher"))
    assert "Traceback" not in logs
    assert "ap'p" not in logs
    assert TOKEN not in logs


def commit_a_freeze(url: str) -> None:
    """As a graph does."""
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO outbox (action_id, day, decision_id, graph_uid, target, operation, parameters) "
            "VALUES (%s, current_date, %s, %s, 'accounts', 'freeze', %s::jsonb)",
            (uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), json.dumps({"account": f"A-{uuid.uuid4()}"})),
        )
        connection.execute("NOTIFY pointsman_outbox")


def states(url: str) -> list[str]:
    with connect(url) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM outbox").fetchall()]
