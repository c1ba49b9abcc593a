"""The PostgreSQL for trials: made once, listens when all is there, keeps what was written over every end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import psycopg
import pytest

from pointsman.store.database import StoreUrlRefused, connect
from pointsman.store.trial import asked

pytestmark = pytest.mark.slow

OWNER = "postgresql://o:1@h/d"
APP = "postgresql://a:2@h/d"


def preparing(trial) -> subprocess.Popen[str]:
    environment = {"POINTSMAN_STORE_OWNER_URL": trial.owner_url, "POINTSMAN_ADMIN_KEY": "k" * 40}
    command = [sys.executable, "-m", "pointsman.store.prepare"]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def test_it_is_waited_for_and_has_what_its_urls_name_over_every_end(trial) -> None:
    with preparing(trial) as waiting:
        assert waiting.stderr is not None
        assert "waiting for the decision store" in waiting.stderr.readline()
        trial.up()
        assert waiting.wait(60) == 0, waiting.stderr.read()
    with connect(trial.url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("DELETE FROM ledger")
    with psycopg.connect(trial.mlflow_url) as registry:
        registry.execute("CREATE TABLE experiments (name text)")

    session = connect(trial.url)  # nobody's open session keeps it from ending
    session.execute("SELECT 1")
    assert trial.end() == 0
    session.close()
    assert "database system is shut down" in trial.log.read_text()

    trial.up()
    trial.kill()
    trial.up()
    assert "automatic recovery in progress" in trial.log.read_text()
    with psycopg.connect(trial.mlflow_url) as registry:
        assert registry.execute("SELECT count(*) FROM experiments").fetchone() == (0,)


def test_nobody_comes_in_without_a_password_and_a_new_one_is_taken_at_a_restart(trial) -> None:
    trial.up()
    for url in (
        trial.url.replace("ap'p", "wrong"),
        trial.url.replace(":ap'p", ""),
        f"postgresql://postgres@127.0.0.1:{trial.port}/postgres",
    ):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url, passfile="/nonexistent")
    assert (trial.folder / "run").stat().st_mode & 0o077 == 0
    trial.end()
    old, trial.url = trial.url, trial.url.replace("ap'p", "another")
    (trial.folder / "postgres").chmod(0o2770)  # as Kubernetes opens a volume to its group
    trial.up()
    psycopg.connect(trial.url).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(old)
    assert "another" not in trial.log.read_text()


def test_a_server_that_ends_by_itself_ends_it_too(trial) -> None:
    trial.up()
    (server,) = psutil.Process(trial.process.pid).children()
    server.kill()
    assert trial.process.wait(60) == 1
    assert "the server has ended by itself" in trial.log.read_text()


def test_told_to_stop_while_it_starts_it_stops(trial) -> None:
    process = trial.start()
    assert trial.end(signal.SIGTERM) in (0, -signal.SIGTERM)  # the latter before it has begun
    assert not trial.answers()
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        ({"POINTSMAN_STORE_URL": APP}, "POINTSMAN_STORE_OWNER_URL: is not set"),
        ({"POINTSMAN_STORE_URL": APP, "POINTSMAN_STORE_OWNER_URL": "postgresql://o@h/d"}, "names no password"),
        ({"POINTSMAN_STORE_URL": APP, "POINTSMAN_STORE_OWNER_URL": "postgresql://o:1@h/e"}, "need one database"),
        ({"POINTSMAN_STORE_URL": OWNER, "POINTSMAN_STORE_OWNER_URL": OWNER}, "and two roles"),
        (
            {
                "POINTSMAN_STORE_URL": APP,
                "POINTSMAN_STORE_OWNER_URL": OWNER,
                "POINTSMAN_MLFLOW_URL": "postgresql://m@h",
            },
            "POINTSMAN_MLFLOW_URL: names no password, dbname",
        ),
    ],
)
def test_urls_that_do_not_say_what_to_make_are_refused(urls: dict[str, str], says: str) -> None:
    with pytest.raises(StoreUrlRefused, match=says):
        asked(urls)
